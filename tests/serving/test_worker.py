"""The worker: equal questions share one answer, unwanted ones end, errors reach whoever asked."""

import threading
import time

import numpy as np
import pytest

from core import store
from core.errors import Abandoned, BadImage, UnknownName
from core.serving import worker

NAME = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "_counted", None)
    store.forget_memory()


def asked(key, analysis, **options):
    task = worker.submit(key, NAME, analysis, **options)
    try:
        assert task.wait(60)
        return task.answer()
    finally:
        task.leave()


def key_for(*parts):
    return store.key_of("test", "worker", parts)


def test_fifty_sessions_that_ask_one_question_cost_one_run():
    runs = []
    pixels = np.full((1, 224, 224, 3), 100, np.uint8)

    def analysis(classifier, progress):
        runs.append(1)
        time.sleep(0.2)
        return {"logits": classifier.predict_logits(pixels)}

    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(asked(key_for("one"), analysis)["logits"]))
        for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1
    assert len(answers) == 50
    assert all((answer == answers[0]).all() for answer in answers)
    # Asked again later it is found in the store.
    asked(key_for("one"), analysis)
    assert len(runs) == 1


def test_an_error_reaches_everyone_and_is_not_stored():
    def analysis(classifier, progress):
        raise BadImage("not this one")

    for _ in range(2):
        with pytest.raises(BadImage, match="not this one"):
            asked(key_for("error"), analysis)
    assert asked(key_for("error"), lambda classifier, progress: {"fine": True}) == {"fine": True}


def test_an_unknown_classifier_is_an_error_of_the_question():
    task = worker.submit(key_for("unknown"), "no_such_network", lambda classifier, progress: {})
    assert task.wait(60)
    with pytest.raises(UnknownName, match="no_such_network"):
        task.answer()
    task.leave()


def test_what_nobody_waits_for_ends_at_its_next_batch():
    started, ended = threading.Event(), threading.Event()

    def analysis(classifier, progress):
        try:
            for step in range(1000):
                started.set()
                time.sleep(0.01)
                progress(step / 1000, "")
        except Abandoned:
            ended.set()
            raise
        return {"steps": 1000}

    task = worker.submit(key_for("unwanted"), NAME, analysis)
    assert started.wait(60)
    task.leave()
    assert ended.wait(5)
    assert task.wait(5)
    assert store.find(key_for("unwanted")) is None
    assert asked(key_for("next"), lambda classifier, progress: {"fine": True}) == {"fine": True}


def test_who_joins_a_question_that_is_being_dropped_still_gets_an_answer():
    begun = threading.Event()

    def analysis(classifier, progress):
        begun.set()
        for step in range(20):
            time.sleep(0.01)
            progress(step / 20, "")
        return {"fine": True}

    first = worker.submit(key_for("joined"), NAME, analysis)
    assert begun.wait(60)
    first.leave()
    second = worker.submit(key_for("joined"), NAME, analysis)
    assert second.wait(60)
    assert second.answer() == {"fine": True}
    second.leave()


def test_a_short_question_goes_in_between_the_batches_of_a_long_one():
    order, begun = [], threading.Event()

    def long(classifier, progress):
        begun.set()
        for step in range(200):
            time.sleep(0.01)
            progress(step / 200, "")
        order.append("long")
        return {}

    def short(classifier, progress):
        order.append("short")
        return {"gradient": bool(__import__("torch").is_grad_enabled())}

    slow = worker.submit(key_for("long"), NAME, long, short=False)
    assert begun.wait(60)
    assert asked(key_for("short"), short) == {"gradient": True}
    assert slow.wait(60)
    slow.leave()
    assert order == ["short", "long"]


def test_progress_and_place_in_the_queue_can_be_read():
    begun, go = threading.Event(), threading.Event()

    def analysis(classifier, progress):
        progress(0.25, "a quarter")
        begun.set()
        go.wait(30)
        return {}

    first = worker.submit(key_for("first"), NAME, analysis)
    second = worker.submit(key_for("second"), NAME, lambda classifier, progress: {})
    assert begun.wait(60)
    assert (first.share, first.message) == (0.25, "a quarter")
    assert (first.ahead(), second.ahead()) == (0, 1)
    go.set()
    for task in (first, second):
        assert task.wait(60)
        task.leave()


def test_closing_ends_the_thread_and_the_next_question_starts_one():
    asked(key_for("before"), lambda classifier, progress: {})
    worker.close()
    assert not worker._thread.is_alive()
    assert asked(key_for("after"), lambda classifier, progress: {"fine": True}) == {"fine": True}
