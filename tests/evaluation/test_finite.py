"""No figure is ever made of NaN or infinities: they are counted and named instead."""

import numpy as np
import pytest

from core.data.dataset import Split
from core.evaluation.calibration import calibration
from core.evaluation.confusion import top_k_accuracy
from core.evaluation.finite import NotFinite, check_finite
from core.evaluation.one_vs_rest import curves, one_vs_rest
from core.evaluation.prediction import predictions_of
from core.evaluation.probabilities import probabilities

LABELS = np.array([1, 0, 0, 1, 1])
SPLIT = Split(np.zeros((5, 4, 4, 1), np.uint8), LABELS)


def _spoiled(value: float, shape: tuple[int, ...] = (5, 2)) -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    values[2] = value
    values[4] = value
    return values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("figure", "shape"), [
    (lambda v: top_k_accuracy(v, LABELS, 1), (5, 2)),
    (lambda v: probabilities(v), (5, 2)),
    (lambda v: predictions_of(v, SPLIT, ("a", "b"), ("a", "b")), (5, 2)),
    (lambda v: curves(v, LABELS == 1), (5,)),
    (lambda v: one_vs_rest(v, LABELS == 1, 0.5), (5,)),
    (lambda v: calibration(v, LABELS == 1), (5,)),
])  # fmt: skip
def test_every_figure_refuses_them_and_says_which(value, figure, shape):
    with pytest.raises(NotFinite, match=r"of 2 of 5 images are not finite .* first those of image 2"):
        figure(_spoiled(value, shape))
    figure(np.random.default_rng(1).random(shape))


def test_one_image_and_none_are_checked_too():
    check_finite(np.zeros((0, 3)), "logits")
    with pytest.raises(NotFinite, match="1 of 1 images"):
        check_finite(np.array(np.nan), "logits")
