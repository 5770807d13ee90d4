"""The worker: equal questions share one answer, unwanted ones end, errors reach whoever asked."""

import itertools
import threading
import time

import numpy as np
import pytest

from core import roles, store
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


def test_an_analysis_may_do_what_its_asker_may(monkeypatch):
    """A browser is known in the thread of its session only, and the analysis runs in another one."""
    here = threading.current_thread()
    pupil = roles.Visitor("ann", may_all=False)
    monkeypatch.setattr(
        roles, "_visitor", lambda: pupil if threading.current_thread() is here else roles.USER
    )

    def analysis(classifier, progress):
        roles.visitor().require_teacher("import a checkpoint")
        return {}

    with pytest.raises(roles.NotAllowed, match="Only the teacher may import a checkpoint"):
        asked(key_for("not hers"), analysis)
    pupil = roles.Visitor("teacher", may_all=True)
    assert asked(key_for("the teacher's"), analysis) == {}


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
    assert not worker._threads
    assert asked(key_for("after"), lambda classifier, progress: {"fine": True}) == {"fine": True}


def test_one_thread_at_a_time_computes_however_many_questions_are_under_way():
    """Long and short ones, of many sessions, that hand their turns to each other at every batch."""
    inside, most, wrong = [0], [0], []
    ends: dict[str, float] = {}

    def batches(count, name):
        def analysis(classifier, progress):
            for step in range(count):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                if inside[0] != 1:
                    wrong.append(name)
                time.sleep(0.005)
                inside[0] -= 1
                progress(step / count, "")
            ends[name] = time.monotonic()
            return {"name": name}

        return analysis

    tasks = []
    for session in range(12):
        for kind in ("long", "short", "quick"):
            name = f"{kind} {session}"
            count = {"long": 60, "short": 10, "quick": 1}[kind]
            task = worker.submit(
                key_for("many", name), NAME, batches(count, name),
                session=str(session), label=kind, short=kind != "long", quick=kind == "quick",
            )  # fmt: skip
            tasks.append((task, str(session), name))
    for task, session, name in tasks:
        assert task.wait(60)
        assert task.answer() == {"name": name}
        task.leave(session)
    assert not wrong
    assert most == [1]


def test_two_long_questions_of_two_sessions_alternate():
    order = []

    def long(name):
        def analysis(classifier, progress):
            for step in range(300):
                order.append(name)
                time.sleep(0.005)
                progress(step / 300, "")
            return {}

        return analysis

    tasks = [
        worker.submit(key_for("alternate", name), NAME, long(name), session=name, short=False)
        for name in ("a", "b")
    ]
    for task, name in zip(tasks, ("a", "b"), strict=True):
        assert task.wait(60)
        task.leave(name)
    changes = sum(first != second for first, second in itertools.pairwise(order))
    assert changes >= 4, order
    assert order.index("b") < 200  # and not after the last batch of the other


def test_a_prediction_goes_in_between_the_batches_of_a_short_question_of_another():
    order, begun = [], threading.Event()

    def attribution(classifier, progress):
        begun.set()
        for step in range(100):
            time.sleep(0.01)
            progress(step / 100, "")
        order.append("attribution")
        return {}

    def prediction(classifier, progress):
        order.append("prediction")
        return {}

    slow = [
        worker.submit(key_for("five", i), NAME, attribution, session=str(i), label="attribution")
        for i in range(5)
    ]
    assert begun.wait(60)
    asked(key_for("newcomer"), prediction, quick=True)
    assert order == ["prediction"]
    for i, task in enumerate(slow):
        task.leave(str(i))


def test_with_a_hook_set_nobody_else_has_a_turn(monkeypatch):
    import core.network.hooks

    hooks, begun, order = [0], threading.Event(), []
    monkeypatch.setattr(core.network.hooks, "hooks_left", lambda: hooks[0])

    def hooked(classifier, progress):
        hooks[0] = 1
        begun.set()
        for step in range(50):
            time.sleep(0.01)
            progress(step / 100, "")
        order.append("hooks are off")
        hooks[0] = 0
        progress(0.5, "")
        return {}

    slow = worker.submit(key_for("hooked"), NAME, hooked, session="a")
    assert begun.wait(60)
    asked(key_for("quick"), lambda classifier, progress: order.append("quick") or {}, quick=True)
    assert order == ["hooks are off", "quick"]
    assert slow.wait(60)
    slow.leave("a")


def test_what_was_begun_side_by_side_rests_while_another_has_its_turn(monkeypatch):
    """The threads that compute a question's batches are held back, too, and lose none of them."""
    import torch

    from core.compute import threads

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    busy, wrong, begun = [0], [], threading.Event()
    lock = threading.Lock()

    def batch(number):
        with lock:
            busy[0] += 1
        begun.set()
        time.sleep(0.01)
        with lock:
            busy[0] -= 1
        return number

    def parallel(classifier, progress):
        def told():
            progress(0.5, "")

        return {"numbers": list(threads.side_by_side(batch, range(100), told))}

    def quick(classifier, progress):
        for _ in range(5):
            wrong.append(busy[0])
            time.sleep(0.005)
        return {}

    slow = worker.submit(key_for("parallel"), NAME, parallel, session="a")
    assert begun.wait(60)
    for i in range(5):
        asked(key_for("quick beside", i), quick, quick=True)
    assert slow.wait(60)
    assert slow.answer() == {"numbers": list(range(100))}
    slow.leave("a")
    assert wrong == [0] * 25


def test_a_question_of_many_sessions_counts_once_in_the_line():
    go, begun = threading.Event(), threading.Event()

    def wait(classifier, progress):
        begun.set()
        go.wait(30)
        return {}

    first = worker.submit(key_for("held"), NAME, wait, session="first", label="Saliency")
    assert begun.wait(60)
    shared = [
        worker.submit(key_for("shared"), NAME, lambda c, p: {}, session=f"s{i}", label="Occlusion")
        for i in range(9)
    ]
    last = worker.submit(key_for("last"), NAME, lambda c, p: {}, session="last")
    place = last.place()
    assert place.ahead == 2
    assert place.labels == ("Saliency", "Occlusion")
    assert place.seconds > 0
    assert last.place(age=60) is last.place(age=60)
    assert shared[0].place(age=60).ahead == 1
    go.set()
    for task, session in [(first, "first"), (last, "last"), *((t, f"s{i}") for i, t in enumerate(shared))]:
        assert task.wait(60)
        task.leave(session)


def test_what_is_left_in_the_middle_ends_although_it_is_not_its_turn():
    ended, begun = threading.Event(), threading.Event()

    def long(classifier, progress):
        begun.set()
        try:
            for step in range(10_000):
                time.sleep(0.002)
                progress(step / 10_000, "")
        except Abandoned:
            ended.set()
            raise
        return {}

    a = worker.submit(key_for("leaves"), NAME, long, session="a", short=False)
    assert begun.wait(60)
    b = worker.submit(key_for("stays"), NAME, lambda c, p: long(c, p), session="b", short=False)
    time.sleep(0.7)  # longer than a turn
    a.leave("a")
    assert ended.wait(5)
    b.leave("b")
    assert b.wait(5)
