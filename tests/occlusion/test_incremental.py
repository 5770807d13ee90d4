"""The incremental engine against whole forward passes, on random networks, images, windows and borders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.occlusion.block_plan import LocalNetwork
from core.occlusion.changed_block import span
from core.occlusion.full_forwards import full_forwards
from core.occlusion.incremental import head_of, incremental_engine
from core.occlusion.local_layers import describe
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.toom_cook import LARGEST_PIECE, ProductConvolution, number_of_points, pieces
from tests.attribution.methods.classifiers import NETWORKS, classifier, photo


class Sum(nn.Module):
    """A residual block: what a 1×1 convolution makes of the input, added to what a body makes of it."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def _classifier(module, size, channels=3, classes=4):
    preprocessing = Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels)
    card = ModelCard("test", "none", tuple(f"class {i}" for i in range(classes)), preprocessing)
    return Classifier(module, card, torch.device("cpu"))


@st.composite
def _layer(draw, channels):
    """A layer that keeps or shrinks the map, and its number of channels."""
    kind = draw(st.sampled_from(["conv", "conv", "conv3", "max", "mean", "norm", "act", "sum", "depthwise"]))
    wide = draw(st.sampled_from([4, 8, 32]))
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    dilation, padding = draw(st.integers(1, 2)), draw(st.integers(0, 2))
    if kind == "conv":
        return nn.Conv2d(channels, wide, kernel, stride, padding, dilation), wide
    if kind == "conv3":
        return nn.Conv2d(channels, wide, 3, padding=draw(st.integers(0, 1)), bias=draw(st.booleans())), wide
    if kind == "depthwise":
        return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels), channels
    if kind == "max":
        pad = min(padding, kernel // 2)
        return nn.MaxPool2d(kernel, stride, pad, dilation, ceil_mode=draw(st.booleans())), channels
    if kind == "mean":
        return nn.AvgPool2d(
            kernel, stride, min(padding, kernel // 2), ceil_mode=draw(st.booleans())
        ), channels
    if kind == "norm":
        return nn.BatchNorm2d(channels), channels
    if kind == "act":
        return draw(
            st.sampled_from([nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Hardswish(), nn.Dropout()])
        ), channels
    body = nn.Sequential(
        nn.Conv2d(channels, wide, 3, stride, 1),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, 1, 1),
    )
    return Sum(body, nn.Conv2d(channels, wide, 1, stride)), wide


@st.composite
def _networks(draw):
    """(module, size, channels of the image, window): a stack of layers that leaves at least one place."""
    size = draw(st.integers(9, 26)), draw(st.integers(9, 26))
    colors = channels = draw(st.sampled_from([1, 3]))
    torch.manual_seed(draw(st.integers(0, 2**20)))
    layers, maps = [], torch.zeros(1, colors, *size)
    for _ in range(draw(st.integers(1, 6))):
        layer, after = draw(_layer(channels))
        try:
            ahead = layer.eval()(maps)
        except RuntimeError:  # no place would be left
            continue
        if not ahead.isfinite().all():  # a pool whose window holds nothing but padding
            continue
        maps, channels = ahead, after
        layers.append(layer)
    end = draw(st.sampled_from(["flatten", "mean"]))
    if end == "mean":
        layers.append(nn.AdaptiveAvgPool2d(1))
        maps = layers[-1](maps)
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps.numel(), 4))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    return module, size, colors, draw(st.integers(1, min(size)))


def _always(monkeypatch):
    """Blocks and products wherever they are possible, not only where they pay."""
    monkeypatch.setattr("core.occlusion.incremental.SMALLEST_SAVING", 0.0)
    monkeypatch.setattr("core.occlusion.block_plan.COST_OF_A_PRODUCT", 0.0)
    monkeypatch.setattr("core.occlusion.block_plan.WEIGHTS_WORTH_PACKING", 0)
    monkeypatch.setattr("core.occlusion.incremental.MULTIPLICATIONS_PER_MOVED_NUMBER", 0)


@settings(max_examples=80, deadline=None)
@given(_networks(), st.integers(0, 2**20), st.booleans())
def test_equals_whole_forward_passes(network, seed, by_products):
    module, size, colors, window = network
    rng = np.random.default_rng(seed)
    image, filled = (rng.integers(0, 256, (*size, colors), np.uint8) for _ in range(2))
    corners = np.stack([rng.integers(0, side - window + 1, 24) for side in size], axis=1)
    corners[:4] = [(a, b) for a in (0, size[0] - window) for b in (0, size[1] - window)]
    asked = _classifier(module, size, colors)
    with pytest.MonkeyPatch.context() as patch:
        _always(patch)
        if not by_products:
            patch.setattr("core.occlusion.block_plan.COST_OF_A_PRODUCT", 1e9)
        engine = incremental_engine(asked, image, filled, corners, window)
        assert engine is not None
        found = engine(asked, image, filled, corners, window)
    expected = full_forwards(asked, image, filled, corners, window)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_real_architectures_at_every_place(name, monkeypatch):
    _always(monkeypatch)
    asked, image = classifier(name), photo()
    filled = np.full_like(image, 128)
    corners = np.array([(a, b) for a in (*range(0, 40, 7), 39) for b in (*range(0, 40, 7), 39)])
    engine = incremental_engine(asked, image, filled, corners, 9)
    assert engine is not None
    expected = full_forwards(asked, image, filled, corners, 9)
    np.testing.assert_allclose(
        engine(asked, image, filled, corners, 9), expected, atol=1e-5 * max(1, np.abs(expected).max())
    )


def test_every_convolution_pool_and_addition_of_a_resnet_is_understood():
    asked = classifier("resnet18")
    with torch.inference_mode():
        known = describe(asked.module, asked.inputs(photo()[None]))
    parts = [known.graph.part(n) for n in known.layers]
    assert sum(isinstance(part, nn.Conv2d) for part in parts) == 20
    assert sum(isinstance(part, nn.MaxPool2d) for part in parts) == 1
    assert sum(n.op == "call_function" for n in known.pointwise) == 8


class Follows(nn.Module):
    """Decides by what it computes, so that it cannot be traced."""

    def forward(self, x):
        return x.mean((2, 3))[:, :1].expand(-1, 4) if x.sum() > 0 else x.mean((2, 3))[:, 1:2].expand(-1, 4)


def _wide():
    torch.manual_seed(0)
    module = models["wide_cnn"](channels=3, number_of_classes=4, input_size=(32, 32), width=1 / 16)
    return _classifier(module, (32, 32))


def test_the_map_says_which_engine_ran():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    asked = _wide()
    found = occlusion_logits(asked, image, window=3, stride=2)
    assert found.engine == "incremental"
    plain = occlusion_logits(asked, image, window=3, stride=2, engine=full_forwards)
    assert plain.engine == "full forwards"
    np.testing.assert_allclose(found.logits, plain.logits, atol=1e-5)
    assert occlusion_logits(_classifier(Follows(), (32, 32)), image, window=3).engine == "full forwards"
    # All of the image changes the one linear layer at once: nothing is saved.
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))
    assert occlusion_logits(_classifier(flat, (32, 32)), image, window=3).engine == "full forwards"


@pytest.mark.parametrize("threads", [1, 3])
def test_who_no_longer_wants_the_map_stops_it_and_the_next_is_whole(threads, monkeypatch):
    monkeypatch.setattr("core.occlusion.incremental.LARGEST_BATCH", 4)  # many batches
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    asked, image = _wide(), np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    told = []

    def progress(share, note):
        told.append(share)
        if 0 < share < 1:
            raise KeyError("not wanted")

    with pytest.raises(KeyError, match="not wanted"):
        occlusion_logits(asked, image, window=3, stride=2, progress=progress)
    assert max(told) < 0.5
    found = occlusion_logits(asked, image, window=3, stride=2)
    expected = occlusion_logits(asked, image, window=3, stride=2, engine=full_forwards)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)


def test_a_hook_is_not_passed_by():
    asked, calls = _wide(), []
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    handle = asked.module.conv2.register_forward_hook(lambda *_: calls.append(1))
    assert occlusion_logits(asked, image, window=3, stride=8).engine == "full forwards"
    handle.remove()
    assert calls
    assert occlusion_logits(asked, image, window=3, stride=3).engine == "incremental"


def test_training_statistics_are_not_place_by_place():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    asked = _classifier(module, (16, 16))
    with torch.inference_mode():
        known = describe(asked.module, torch.zeros(1, 3, 16, 16))
    assert len(known.layers) == 1
    assert not known.pointwise


def test_progress_rises_to_one_and_can_end_the_work(monkeypatch):
    monkeypatch.setattr("core.occlusion.incremental.LARGEST_BATCH", 20)
    image, shares = np.zeros((32, 32, 3), np.uint8), []
    occlusion_logits(_wide(), image, window=3, stride=2, progress=lambda share, _: shares.append(share))
    assert len(shares) > 5
    assert shares == sorted(shares)
    assert shares[-1] == 1

    def stop(share, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        occlusion_logits(_wide(), image, window=3, stride=2, progress=stop)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, LARGEST_PIECE))
def test_pieces_tile_the_shorter_side(inputs, outputs, largest):
    made = pieces(inputs, outputs, largest)
    assert max(piece.n for piece in made) <= largest
    assert sum(piece.points for piece in made) == number_of_points(min(inputs, outputs), largest)
    assert sum(piece.n for piece in made) == min(inputs, outputs)
    assert [piece.offset for piece in made] == [sum(p.n for p in made[:i]) for i in range(len(made))]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 16),
    st.integers(3, 16),
    st.integers(0, 2),
    st.integers(1, LARGEST_PIECE),
    st.integers(0, 2**20),
)
def test_products_are_the_convolution(height, width, padding, largest, seed):
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(5, 6, 3, 3, generator=rng)
    maps = torch.randn(3, 6, height, width, generator=rng)
    expected = torch.nn.functional.conv2d(maps.double(), weight.double(), padding=padding)
    rows = torch.zeros(expected[:, 0].numel() + 1, 5)
    all_of = [span(torch.zeros(3, dtype=torch.int64), torch.full((3,), n - 1), n) for n in maps.shape[2:]]
    after = [span(torch.zeros(3, dtype=torch.int64), torch.full((3,), n - 1), n) for n in expected.shape[2:]]
    ProductConvolution(weight, largest).add(
        rows, maps.permute(0, 2, 3, 1).contiguous(), tuple(all_of), tuple(after), (padding, padding)
    )
    found = rows[:-1].view(3, *expected.shape[2:], 5)
    np.testing.assert_allclose(found.permute(0, 3, 1, 2), expected, atol=3e-5 * expected.abs().max())


def test_weights_that_change_in_place_are_seen():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    asked = _wide()
    before = occlusion_logits(asked, image, window=3, stride=4)
    for part in asked.module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.mul_(1.5)
    after = occlusion_logits(asked, image, window=3, stride=4)
    plain = occlusion_logits(asked, image, window=3, stride=4, engine=full_forwards)
    assert after.engine == "incremental"
    np.testing.assert_allclose(after.logits, plain.logits, atol=1e-5)
    assert np.abs(after.logits - before.logits).max() > 1e-3


class Squeezing(nn.Module):
    """A linear layer in the middle, whose answer weighs the channels of the map it came from."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze = nn.Linear(8, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        x = self.conv(x)
        weights = torch.sigmoid(self.squeeze(x.mean((2, 3))))
        return self.last((x * weights[:, :, None, None]).amax((2, 3)))


class Remembering(nn.Module):
    """What the linear layer is given goes around it, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x):
        x = self.conv(x).amax((2, 3))
        return torch.relu(self.linear(x)) + x * 0.5


HEADS = {
    "two layers": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 49, 9), nn.ReLU(),
            nn.Linear(9, 4),
        ),
        ["4", "5", "6", "output"],
    ),
    "in the middle": (Squeezing, ["last", "output"]),
    "with what it is given": (Remembering, ["linear", "relu", "mul", "add", "output"]),
    "none": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), ["output"]),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("most", [1, 2**30])
def test_the_head_gets_many_batches_at_once_and_answers_as_for_each(name, most, monkeypatch):
    torch.manual_seed(0)
    make, expected = HEADS[name]
    classifier = _classifier(make(), (16, 16))
    monkeypatch.setattr("core.occlusion.incremental.BATCH_MULTIPLICATIONS", 1.0)  # a window a batch
    monkeypatch.setattr("core.occlusion.incremental.SMALLEST_SAVING", 0.0)
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    filled = np.full_like(image, 128)
    corners = np.array([(y, x) for y in range(0, 12, 3) for x in range(0, 12, 2)])
    with torch.inference_mode():
        head = head_of(LocalNetwork(classifier, describe(classifier.module, classifier.inputs(image[None]))))
    names = [str(node.target) if node.op == "call_module" else node.name for node in head.nodes]
    assert names == expected
    engine = incremental_engine(classifier, image, filled, corners, 4)
    monkeypatch.setattr("core.occlusion.incremental.BATCH_BYTES", most)
    found = engine(classifier, image, filled, corners, 4)
    np.testing.assert_allclose(found, full_forwards(classifier, image, filled, corners, 4), atol=1e-5)
