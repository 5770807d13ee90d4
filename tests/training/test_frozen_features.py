"""Frozen features: equal to what the network makes, kept, and taken up where they were broken off."""

import numpy as np
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.training.data import inputs_of
from core.training.freezing import freeze, head_of, last_block_of, set_training
from core.training.frozen_features import IMAGES_A_BLOCK as BLOCK
from core.training.frozen_features import body_and_head, can_be_cut, compute_features, features_file

CPU = torch.device("cpu")
SEEN = Preprocessing((8, 8), (0.5,), (0.25,), channels=1)


def network(name="small_cnn", **settings):
    torch.manual_seed(0)
    return models[name](channels=1, number_of_classes=3, input_size=(8, 8), **settings).eval()


def test_features_are_those_of_the_network_and_an_interruption_costs_a_block(tmp_path):
    module = network(widths="4,8", hidden=6)
    images = np.random.default_rng(0).integers(0, 256, (50 * BLOCK, 8, 8, 1)).astype(np.uint8)
    name, _ = head_of(module)
    whole = module(inputs_of(torch.from_numpy(images), SEEN)).detach()
    assert can_be_cut(module, name, inputs_of(torch.from_numpy(images[:2]), SEEN))
    body, head = body_and_head(module, name)
    file, asked = tmp_path / "features.npy", []

    def pixels(rows):
        asked.extend(rows.tolist())
        return images[rows]

    broken_off = compute_features(body, pixels, len(images), SEEN, file, CPU)
    while next(broken_off) < 40 * BLOCK:
        pass
    broken_off.close()
    assert not file.exists()
    asked.clear()
    assert list(compute_features(body, pixels, len(images), SEEN, file, CPU))[-1] == len(images)
    assert min(asked) == 32 * BLOCK
    features = torch.from_numpy(np.load(file).astype(np.float32))
    assert torch.allclose(head(features), whole, atol=5e-3)
    asked.clear()
    assert list(compute_features(body, pixels, len(images), SEEN, file, CPU)) == [len(images)]
    assert asked == []


def test_the_file_is_named_by_all_that_features_depend_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    module = network()
    name = features_file(module, "a", SEEN)
    assert name == features_file(network(), "a", SEEN)
    assert name != features_file(module, "b", SEEN)
    assert name != features_file(module, "a", Preprocessing((8, 8), (0.4,), (0.25,), channels=1))
    next(module.parameters()).data[0] += 1e-3
    assert name != features_file(module, "a", SEEN)


def test_a_network_that_does_more_after_its_head_is_not_cut():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return 2 * self.head(x)

    module = Scaled()
    assert not can_be_cut(module, "head", torch.randn(2, 4))
    assert isinstance(module.head, nn.Linear), "and it is put together again"


def test_frozen_parts_neither_learn_nor_change_their_running_means():
    module = network("resnet18", width=0.125)
    learning = freeze(module, "last block")
    set_training(module, learning)
    trained = {name.split(".")[0] for name, p in module.named_parameters() if p.requires_grad}
    assert trained == {"layer4", "fc"}
    before = {name: b.clone() for name, b in module.named_buffers() if "running" in name}
    module(torch.randn(4, 1, 8, 8))
    changed = {
        n.split(".")[0] for n, b in module.named_buffers() if n in before and not torch.equal(b, before[n])
    }
    assert changed == {"layer4"}
    assert [type(part).__name__ for part in last_block_of(module)] == ["Sequential"]


def test_what_was_frozen_from_the_start_stays_so():
    module = network("speed_cnn", widths="4,4")
    freeze(module, "everything")
    assert not module.whiten.weight.requires_grad


def test_two_runs_that_need_the_same_features_do_not_write_into_each_other(tmp_path):
    module = network(widths="4,8", hidden=6)
    images = np.random.default_rng(0).integers(0, 256, (4 * BLOCK, 8, 8, 1)).astype(np.uint8)
    body, _ = body_and_head(module, head_of(module)[0])

    def computed(file):
        return compute_features(body, images.__getitem__, len(images), SEEN, file, CPU)

    list(computed(tmp_path / "alone.npy"))
    first, second = computed(tmp_path / "both.npy"), computed(tmp_path / "both.npy")
    assert [next(first), next(second), next(first), next(second)] == [BLOCK, 0, 2 * BLOCK, 0]
    assert list(first)[-1] == list(second)[-1] == len(images)
    assert np.array_equal(np.load(tmp_path / "both.npy"), np.load(tmp_path / "alone.npy"))
