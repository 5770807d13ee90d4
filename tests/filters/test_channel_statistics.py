"""What is added up of a layer: the compiled loop against PyTorch's operations, to the last bit."""

import numpy as np
import pytest
import torch

from core.filters.channel_layers import ChannelLayer
from core.filters.channel_statistics import LayerSums
from core.filters.map_statistics import Figures

LAYER = ChannelLayer("conv", "conv", "", False, 2, (1, 1), (1, 1), 1)


def batches(classes, seed, scale=1.0, n=40, channels=6, spoiled=False):
    """Figures of images that come class by class, with many equal values."""
    rng = np.random.default_rng(seed)
    order = np.argsort(labels := rng.integers(0, classes, n), kind="stable")
    for part in np.array_split(order, 4):
        shape = (len(part), channels)
        largest = (rng.integers(-3, 9, shape) * scale * rng.choice([0.25, 1, 7.7])).astype(np.float32)
        if spoiled:
            largest[rng.random(shape) < 0.2] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
        places = rng.integers(0, 99, shape).astype(np.int32)
        rest = (rng.integers(0, 50, shape).astype(np.float32) for _ in range(3))
        figures = Figures(*(torch.from_numpy(a) for a in (largest, places, *rest)))
        yield figures, torch.from_numpy(part), labels[part]


@pytest.mark.parametrize(("classes", "k"), [(1, 3), (3, 1), (5, 16), (130, 4)])
@pytest.mark.parametrize(("scale", "spoiled"), [(1.0, False), (1e-7, False), (1e5, False), (1.0, True)])
def test_the_compiled_loop_adds_what_pytorch_adds(classes, k, scale, spoiled):
    one, other = (LayerSums(6, classes, k) for _ in range(2))
    for seed in range(3):
        for batch in batches(classes, seed, scale * 3**seed, spoiled=spoiled):
            one.add(*batch)
            other.add_reduced(*batch)
    for name, value in one.arrays().items():
        np.testing.assert_array_equal(value, other.arrays()[name], err_msg=name)


def test_lists_are_those_of_a_plain_sort():
    sums = LayerSums(2, 2, 3)
    seen = list(batches(2, 0, channels=2))
    for batch in seen:
        sums.add(*batch)
    rows = torch.cat([rows for _, rows, _ in seen]).numpy()
    largest = torch.cat([figures.largest for figures, _, _ in seen]).numpy()
    labels = np.concatenate([labels for _, _, labels in seen])
    found = sums.finished(LAYER, torch.ones(2, 1, 1, 1), np.bincount(labels))
    for c in range(2):
        best = np.lexsort((rows, -largest[:, c]))[:3]
        assert found.top_rows[c].tolist() == rows[best].tolist()
        assert found.top_values[c].tolist() == largest[best, c].tolist()
        worst = np.lexsort((rows, largest[:, c]))[:3]
        assert found.weak_rows[c].tolist() == rows[worst].tolist()
