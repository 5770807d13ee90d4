"""Whichever engine wins, the map is the same, and what won is remembered."""

import numpy as np
import pytest
import timm
import torch
import torchvision

from core.compute.convolution import nothing_measured
from core.occlusion import quickest
from core.occlusion.full_forwards import full_forwards
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.quickest import is_prepared
from tests.network.test_feature_maps import classifier_of
from tests.network.test_fused_graph import network


def photo(side=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def check(c, found, side=64, seed=0):
    with nothing_measured():
        plain = occlusion_logits(
            c, photo(side, seed), window=found.window, stride=found.stride, engine=full_forwards
        )
    largest = float(np.abs(plain.logits).max())
    np.testing.assert_allclose(found.logits, plain.logits, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", ["mobilenet_v3_small"])
def test_a_race_gives_every_place_its_logits(name, monkeypatch):
    monkeypatch.setattr(quickest, "DECISIVE_SAVING", float("inf"))
    c = classifier_of(network(name), (64, 64))
    shares = []
    found = occlusion_logits(c, photo(), window=7, stride=7, progress=lambda share, _: shares.append(share))
    assert found.engine in (quickest.BLOCKS, quickest.FULL)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert is_prepared(c, 7)
    check(c, found)
    check(c, occlusion_logits(c, photo(64, 1), window=7, stride=7), 64, 1)


@pytest.mark.parametrize("name", ["densenet121"])
def test_networks_that_decide_by_sizes_get_blocks(name, monkeypatch):
    monkeypatch.setattr(quickest, "DECISIVE_SAVING", 1.0)
    c = classifier_of(network(name), (64, 64))
    found = occlusion_logits(c, photo(), window=3, stride=7)
    assert found.engine == quickest.BLOCKS
    check(c, found)


def test_where_blocks_save_nothing_none_are_prepared(monkeypatch):
    c = classifier_of(network("mobilenet_v3_small"), (64, 64))  # each map of its gates is the mean of a map
    proven = []
    monkeypatch.setattr("core.occlusion.incremental.Blocks.is_proven", lambda *_: proven.append(1))
    assert occlusion_logits(c, photo(), window=33, stride=3).engine == quickest.FULL
    assert not proven


def test_the_winner_is_asked_at_once_the_next_time(monkeypatch):
    c = classifier_of(network("mobilenet_v3_small"), (64, 64))
    occlusion_logits(c, photo(), window=7, stride=7)
    monkeypatch.setattr(quickest, "PLACES_OF_A_RACE", 0)  # another race would fail
    asked = []
    before = quickest._ways
    monkeypatch.setattr(quickest, "_ways", lambda *given: asked.append(given[-1]) or before(*given))
    check(c, occlusion_logits(c, photo(), window=7, stride=7))
    assert asked != [None]


def test_a_map_that_nobody_waits_for_ends():
    c = classifier_of(timm.create_model("resnet10t", num_classes=4).eval(), (64, 64))

    class Enough(Exception):
        pass

    def stop(share, message):
        raise Enough

    with pytest.raises(Enough):
        occlusion_logits(c, photo(), window=7, stride=7, progress=stop)


def test_a_network_that_cannot_be_followed_is_answered_by_whole_passes():
    class Deciding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torchvision.models.squeezenet1_1(weights=None, num_classes=4)

        def forward(self, x):
            return self.body(x) if x.mean() > 0 else self.body(x) + 1

    torch.manual_seed(0)
    c = classifier_of(Deciding().eval(), (64, 64))
    found = occlusion_logits(c, photo(), window=7, stride=7)
    assert found.engine == quickest.FULL
    check(c, found)
