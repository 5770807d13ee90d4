"""The door to the models: whose question it is, and what a visitor reads while others have their turns."""

from dataclasses import dataclass

from streamlit.testing.v1 import AppTest

from core.serving import worker
from core.serving.worker import Place
from pages.elements.ask import in_words


def _page():
    from core.models.question import Question
    from pages.elements.ask import asked
    from tests.pages.elements.test_ask import Answered

    question = Question("test of a session", "efficientnet_lite0", Answered, ("one",))
    asked(question, lambda classifier, progress: Answered(1), quick=True)


@dataclass(frozen=True)
class Answered:
    number: int


def test_a_question_says_of_which_session_it_is_and_what_kind(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    seen, real = [], worker.submit

    def submit(*args, **options):
        seen.append(options)
        return real(*args, **options)

    monkeypatch.setattr(worker, "submit", submit)
    app = AppTest.from_function(_page, default_timeout=60).run()
    assert not app.exception
    (options,) = seen
    assert options["session"]
    assert (options["label"], options["quick"], options["short"]) == ("test of a session", True, True)
    assert not worker._line  # and it was left under the same name


def test_who_is_before_a_question_and_about_how_long_is_said():
    assert in_words(Place(0, (), 0.0), "Occlusion") == ""
    one = in_words(Place(1, ("saliency",), 3.4), "Occlusion")
    assert one == "Occlusion: 1 question is before yours (saliency), about 3 s"
    many = in_words(Place(9, ("a", "b", "a", "c_d", "e"), 200.0), "Map")
    assert many == "Map: 9 questions are before yours (a, b, c d, …), about 3 min"
    assert in_words(Place(2, (), 0.2), "Map").endswith("less than a second")


def _bars():
    from types import SimpleNamespace as Simple

    import numpy as np

    from pages.elements.pickers.choose import show_prediction

    card = Simple(class_names=("**b** ~~s~~", "[x](http://a.b)"))
    show_prediction(Simple(card=card, logits=np.array([3.0, 0.0]), image=Simple(label="")))


def test_markup_in_a_class_name_is_shown_and_not_obeyed():
    app = AppTest.from_function(_bars, default_timeout=60).run()
    assert not app.exception
    first, second = (bar.proto.text for bar in app.get("progress"))
    assert first.startswith("\\*\\*b\\*\\* \\~\\~s")
    assert second.startswith("\\[x\\]\\(")


def _full():
    import errno

    from pages.elements.page import errors_shown

    with errors_shown():
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    with errors_shown():
        raise FileNotFoundError(2, "No such file", "/tmp/x")


def test_a_full_disk_is_a_sentence_on_a_page_and_not_a_defect():
    app = AppTest.from_function(_full, default_timeout=60).run()
    assert "is full" in app.error[0].value
    assert "CONVOSCOPE" in app.error[0].value
    assert "defect" in app.error[1].value


def _waiting():

    import streamlit as st

    from core.serving.worker import Place
    from pages.elements import ask

    drawn, looks = [], []

    class Bar:
        def progress(self, share, text):
            drawn.append(text)

    class Task:
        running, share, message = False, 0.0, ""

        def wait(self, seconds):
            looks.append(seconds)
            return len(looks) > 40  # ten seconds

        def place(self, *, age=0.0):
            return Place(30, ("saliency",), 100.0 - len(looks) / 4)

    st.progress = lambda *a, **k: Bar()
    ask._show(Task(), "k" * 64, st.empty(), ask.Shown("Map"))
    st.text(f"{len(looks)} {len(drawn)} {len(set(drawn))}")


def test_who_waits_in_the_line_draws_only_what_has_changed():
    import streamlit as st

    held = st.progress
    try:
        app = AppTest.from_function(_waiting, default_timeout=60).run()
    finally:
        st.progress = held
    assert not app.exception
    looks, drawn, different = map(int, app.text[0].value.split())
    assert looks == 41
    assert drawn == different <= 4
