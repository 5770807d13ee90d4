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
