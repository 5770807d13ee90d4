"""What a run is measured against, and when its difference could be chance."""

import numpy as np
import pytest

from core.evaluation.intervals import difference_interval
from core.history import MeasuredAccuracy
from core.runs.differences import base_of, changed_settings, run_difference
from core.runs.run_list import RunFigures


def test_the_interval_of_a_difference_is_that_which_is_published() -> None:
    # Newcombe 1998, table II, method 10: 56/70 − 48/80 and 9/10 − 3/10
    assert difference_interval((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference_interval((9, 10), (3, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.binomial(400, 0.9, 2000), rng.binomial(300, 0.85, 2000)
    ends = [difference_interval((int(a), 400), (int(b), 300)) for a, b in zip(first, second, strict=True)]
    held = np.mean([low <= 0.05 <= high for low, high in ends])
    assert 0.935 < held < 0.97


def test_the_base_is_what_one_thing_was_changed_about() -> None:
    settings = {
        "leaky": {"activation": "leaky_relu", "rate": 1, "norm": True},
        "plain": {"activation": "relu", "rate": 1, "norm": True},
        "fast": {"activation": "relu", "rate": 5, "norm": True},
        "bare": {"activation": "relu", "rate": 1, "norm": False},
    }
    assert base_of(settings) == "plain"
    assert changed_settings(settings["plain"], settings["fast"]) == {"rate": 5}


def test_test_images_count_before_those_held_out() -> None:
    def figures(test: float) -> RunFigures:
        measured = MeasuredAccuracy(test, (0.0, 1.0), 1000)
        return RunFigures(1, 1, validation_accuracy=0.5, validation_images=10, test=measured)

    base = figures(0.90)
    better = run_difference({}, {}, base, figures(0.95))
    assert better.of == "test"
    assert better.interval == pytest.approx(difference_interval((950, 1000), (900, 1000)))
    assert better.sentence.startswith("+5.00 points (")
    assert better.sentence.endswith("better")
    worse = run_difference({}, {}, base, figures(0.85))
    assert worse.sentence.startswith("−5.00 points (−")
    held = run_difference({}, {}, base, RunFigures(1, 1, validation_accuracy=0.6, validation_images=10))
    assert held.of == "validation"
    assert held.sentence.endswith("could be chance")
    assert run_difference({}, {}, base, None).sentence == ""
