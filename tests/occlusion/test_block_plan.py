"""What windows cost in blocks: never more than whole passes, and less for smaller windows."""

import numpy as np
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.occlusion.block_plan import LocalNetwork, block_lengths, multiplications, plan_of
from core.occlusion.local_layers import describe

SIDE = 32


def _network() -> LocalNetwork:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    ).eval()  # fmt: skip
    preprocessing = Preprocessing((SIDE, SIDE), (0.0,) * 3, (1.0,) * 3)
    card = ModelCard("made here", "made here", ("a", "b"), preprocessing)
    with torch.no_grad():
        found = describe(module, torch.randn(1, 3, SIDE, SIDE))
    assert found is not None
    return LocalNetwork(Classifier(module, card), found)


def _corners(window: int) -> np.ndarray:
    places = np.arange(0, SIDE - window + 1, 4)
    return np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(-1, 2)


def test_the_whole_pass_is_counted_as_its_layers_are():
    expected = SIDE**2 * 8 * 27 + (SIDE // 2) ** 2 * (8 * 72 + 8 * 8) + 16
    assert _network().multiplications == expected


def test_blocks_cost_less_for_smaller_windows_and_never_more_than_whole_passes():
    network = _network()
    costs = [
        multiplications(network, _corners(window), window) / len(_corners(window)) for window in (1, 5, 9, 17)
    ]
    assert costs == sorted(costs)
    assert costs[0] < 0.3 * network.multiplications
    assert costs[-1] <= network.multiplications


def test_lengths_hold_the_window_and_grow_by_what_kernels_see():
    network = _network()
    starts = torch.arange(0, SIDE - 4, 4)
    (lengths,) = {tuple(found.values()) for found in block_lengths(network, starts, 5, 0)}
    assert min(lengths) >= 3
    assert max(lengths) <= SIDE
    assert lengths[0] == 5


def test_a_plan_has_a_block_for_every_changing_step():
    network = _network()
    plan = plan_of(network, _corners(5), 5)
    assert plan is not None
