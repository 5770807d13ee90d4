"""Everything that computes, on a device that refuses to be mixed with the CPU: the CPU's own values."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.ablation.atlas import WHOLE_NETWORK, ablation_atlas
from core.ablation.switch_off import REPLACEMENTS, ablated_logits
from core.attribution.methods import methods
from core.embedding.embed import features_of, last_before_head
from core.feature_visualization.parameterization import Colors
from core.feature_visualization.visualize import FOURIER, PIXELS, visualize
from core.filters.index import build_index
from core.history import EpochRecord, StepRecord, of_kind
from core.models.classifier import Classifier
from core.network.activations import activations, one_channel_of_each
from core.network.default_map import default_map
from core.network.effective_receptive_field import effective_field
from core.network.hooks import hooks_left
from core.network.unit import Unit
from core.occlusion.full_forwards import full_forwards
from core.occlusion.occlusion import occlusion_logits
from core.stored import to_answer
from core.training import run_parts
from core.training.augmentation import OPERATIONS, Augmentation, augment
from core.training.train import train
from core.training.training_settings import TrainingSettings
from tests.attribution.methods.classifiers import NETWORKS, SIDE, classifier, photo
from tests.pretend_device import NAME, DeviceMixed, PretendDevice

pytestmark = pytest.mark.pretend
METHODS = [member.name for member in methods]
# Small in `make test`; all of them in `make test-all`.
QUICK = ("small_cnn", "one_logit")
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.all) for name in NETWORKS]
FEW = {"integrated_gradients": {"n_steps": 4, "tolerance": None}, "smoothgrad": {"n_samples": 4},
       "occlusion": {"window": 16, "stride": 16}}  # fmt: skip
GRAY = Colors((0.0,) * 3, ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)), ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)))


def both(network: str) -> tuple[Classifier, Classifier]:
    """The same network on the CPU and on the device."""
    return classifier(network), classifier(network, NAME)


def images_of(n: int = 12) -> np.ndarray:
    return np.stack([photo(seed) for seed in range(n)])


def assert_near(found: np.ndarray, expected: np.ndarray, share: float = 1e-5) -> None:
    """To a share of the largest value."""
    largest = float(np.abs(expected).max(initial=0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * max(largest, 1e-9))


class TestTheDevice:
    def test_it_refuses_to_be_mixed(self, pretend: PretendDevice) -> None:
        here, there = torch.ones(2, 3), torch.ones(2, 3, device=NAME)
        for mixed in (lambda: here + there, lambda: there @ here.T, lambda: torch.cat([here, there])):
            with pytest.raises(DeviceMixed, match="was given tensors of the CPU"):
                mixed()
        weight = torch.ones(3, 2, requires_grad=True)
        with pytest.raises(DeviceMixed):
            F.linear(there, weight.T)
        assert there[torch.tensor([0])].device.type == NAME
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()

    def test_it_computes_with_gradients_in_place_and_in_inference_mode(self, pretend: PretendDevice) -> None:
        weight = nn.Parameter(torch.tensor([[2.0, 3.0]], device=NAME))
        (weight.square().sum() * 2).backward()
        assert weight.grad is not None
        assert weight.grad.tolist() == [[8.0, 12.0]]
        with torch.inference_mode():
            values = weight * 1
            values[:, 0] = 5
            assert values.add_(1).tolist() == [[6.0, 4.0]]

    def test_its_switches(self, pretend: PretendDevice) -> None:
        maps, weight = torch.rand(1, 8, 6, 6, device=NAME), torch.rand(4, 8, 3, 3, device=NAME)
        exact = F.conv2d(maps, weight).cpu()
        pretend.tf32 = torch.backends.cudnn.allow_tf32 = True
        apart = float((F.conv2d(maps, weight).cpu() - exact).abs().max() / exact.abs().max())
        assert 1e-6 < apart < 1e-3
        torch.backends.cudnn.allow_tf32 = False
        assert torch.equal(F.conv2d(maps, weight).cpu(), exact)
        pretend.float64 = False
        with pytest.raises(TypeError, match="no 64-bit floats"):
            maps.double()

    def test_it_counts_what_the_host_waits_for_where_core_does_it(self, pretend: PretendDevice) -> None:
        asked = classifier("small_cnn", NAME)
        pretend.forget()
        asked.predict_logits(photo()[None])
        assert sum(pretend.waits.values()) == 1
        assert next(iter(pretend.waits)).startswith("models/classifier.py:")


@pytest.mark.parametrize("network", EVERY)
@pytest.mark.parametrize("method", METHODS)
def test_every_attribution_method(method: str, network: str, pretend: PretendDevice) -> None:
    here, there = both(network)
    pretend.float64 = False
    expected = methods[method](here, photo(), 1, **FEW.get(method, {}))
    found = methods[method](there, photo(), 1, **FEW.get(method, {}))
    assert_near(found.values, expected.values, 1e-4)
    assert found.score == pytest.approx(expected.score, rel=1e-4, abs=1e-5)
    assert (found.note, found.found) == (expected.note, expected.found)
    assert hooks_left() == 0


@pytest.mark.parametrize("network", EVERY)
def test_occlusion(network: str, pretend: PretendDevice) -> None:
    here, there = both(network)
    expected = occlusion_logits(here, photo(), window=12, stride=12, engine=full_forwards)
    found = occlusion_logits(there, photo(), window=12, stride=9)
    assert found.engine == "full forwards"  # a GPU is idle on small blocks
    same = occlusion_logits(there, photo(), window=12, stride=12)
    assert_near(same.logits, expected.logits)


@pytest.mark.parametrize("float64", [True, False], ids=["float64", "no float64"])
def test_the_filter_index(float64: bool, pretend: PretendDevice) -> None:
    here, there = both("small_cnn")
    pretend.float64 = float64
    images, labels = images_of(24), np.arange(24) % 3
    whole = build_index(here, lambda rows: images[rows], labels, 3, k=4)
    expected = to_answer(whole)
    found = build_index(there, lambda rows: images[rows], labels, 3, k=4)
    assert "the maps are on a GPU" in found.engine
    found = to_answer(replace(found, engine=whole.engine))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if not isinstance(values, np.ndarray):
            assert found[name] == values
        elif values.dtype.kind in "iu":
            assert (found[name] == values).mean() > 0.999, name  # equal but for ties of rounding
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("layer", [0, -1], ids=["first", "last"])
def test_ablation_and_atlas(layer: int, how: str, pretend: PretendDevice) -> None:
    from core.filters.channel_layers import layers_of

    here, there = both("small_cnn")
    pretend.float64, pretend.tf32 = False, True
    images, rows = images_of(), np.arange(12)
    name = layers_of(here)[layer].name
    arguments = (lambda chosen: images[chosen], rows)
    expected = ablated_logits(here, *arguments, {name: [0, 2]}, how=how)
    assert_near(ablated_logits(there, *arguments, {name: [0, 2]}, how=how), expected)
    one = ablation_atlas(here, *arguments, rows % 5, name, how=how)
    two = ablation_atlas(there, *arguments, rows % 5, name, how=how)
    assert two.engine == one.engine != WHOLE_NETWORK
    np.testing.assert_array_equal(two.right, one.right)
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("picture", [FOURIER, PIXELS])
@pytest.mark.parametrize("unit", [Unit("conv2", 3), Unit("conv1", 1, (5, 5)), Unit(None, 2)])
def test_feature_visualization(unit: Unit, picture: str, pretend: PretendDevice) -> None:
    here, there = both("small_cnn")
    pretend.float64 = False
    settings = {"steps": 4, "every": 4, "picture": picture, "colors": GRAY, "smoothness": 0.5}
    expected, found = visualize(here, unit, **settings), visualize(there, unit, **settings)
    np.testing.assert_allclose(found.objectives, expected.objectives, rtol=1e-3, atol=1e-4)
    apart = found.frames[-1].pixels.astype(int) - expected.frames[-1].pixels
    assert np.abs(apart).max() <= 2


def test_feature_visualization_waits_once_a_step(pretend: PretendDevice) -> None:
    asked = classifier("small_cnn", NAME)
    waited = []
    for steps in (2, 12):
        pretend.forget()
        visualize(asked, Unit("conv2", 3), steps=steps, every=256, colors=GRAY)
        waited.append((sum(pretend.waits.values()), sum(pretend.copies.values())))
    (few, few_copies), (many, many_copies) = waited
    assert many - few == 10, pretend.waits
    assert many_copies - few_copies <= 10, pretend.copies


def test_activations_embedding_and_fields(pretend: PretendDevice) -> None:
    here, there = both("small_cnn")
    pretend.float64 = False
    layer = default_map(there).layer
    assert layer == default_map(here).layer
    assert_near(activations(there, photo(), layer).maps, activations(here, photo(), layer).maps)
    maps, expected = (one_channel_of_each(c, photo(), [layer], 2).maps for c in (there, here))
    assert_near(maps[layer], expected[layer])
    features, logits = features_of(there, images_of(), last_before_head(there))
    assert_near(features, features_of(here, images_of(), last_before_head(here))[0])
    assert_near(logits, here.predict_logits(images_of()))
    field, place = effective_field(there, photo()[None], layer=layer, draws=2)
    expected_field, expected_place = effective_field(here, photo()[None], layer=layer, draws=2)
    assert place == expected_place
    assert_near(field, expected_field, 1e-4)


@pytest.mark.parametrize("network", EVERY)
def test_short_digits_of_convolutions_are_for_training_only(network: str, pretend: PretendDevice) -> None:
    torch.backends.cudnn.allow_tf32 = pretend.tf32 = True
    here, there = both(network)
    assert_near(there.predict_logits(images_of(4)), here.predict_logits(images_of(4)))


def test_a_fault_of_the_device_is_raised_and_not_slow(
    pretend: PretendDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, images = classifier("small_cnn", NAME), images_of(4)
    layer = "conv1"

    def broken(*arguments: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("core.ablation.channel_removal.ChannelRemoval.begin", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        ablation_atlas(asked, lambda rows: images[rows], np.arange(4), np.arange(4), layer)


SHORT_RUN = {
    "dataset": "digits", "architecture": "small_cnn", "batch_size": 64, "epochs": 1, "train_images": 384,
    "architecture_settings": "widths=8,16; hidden=16; batch_norm=true", "seed": 1, "validation": 0.25,
    "learning_rate": 0.01,
}  # fmt: skip
RUNS = {
    "sgd": {"optimizer": "sgd"},
    "adam, lookahead, clipped": {"optimizer": "adam", "lookahead": True, "clip_gradient": 0.5},
    "adamw, augmented": {
        "optimizer": "adamw", "flip": "random", "crop": 1, "color": 0.3, "rand_augment": 5, "cutout": 3,
    },
    "muon": {"optimizer": "muon", "architecture": "speed_cnn", "architecture_settings": "widths=8,16"},
    "frozen features": {"trainable": "head"},
}  # fmt: skip


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path, pretend: PretendDevice):
    """A function that does six steps on a device and returns the records."""
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))

    def run(device: str, short: torch.dtype | None = None, stop_after: int = 10**9, name="", **settings):
        monkeypatch.setattr("core.training.train.device_named", lambda name: torch.device(device))
        monkeypatch.setattr(run_parts, "short_floats", lambda where: short)
        left = iter(range(10**9))
        stop = lambda: next(left) >= stop_after  # noqa: E731
        settings = TrainingSettings.of(SHORT_RUN | settings)
        return list(train(tmp_path / (name or f"{device} {short}"), settings, stop=stop))

    return run


@pytest.mark.parametrize("name", RUNS)
def test_six_steps_and_an_epoch_of_training(name: str, on, pretend: PretendDevice) -> None:
    pretend.float64 = False
    expected, found = on("cpu", **RUNS[name]), on(NAME, **RUNS[name])
    assert len(list(of_kind(found, StepRecord))) == 6
    for a, b in zip(of_kind(found, StepRecord), of_kind(expected, StepRecord), strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-3)
        assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=5e-3)
    (a,), (b,) = of_kind(found, EpochRecord), of_kind(expected, EpochRecord)
    assert a.validation_loss == pytest.approx(b.validation_loss, rel=1e-2)


def test_a_training_step_waits_once(on, pretend: PretendDevice) -> None:
    waited = []
    for stop_after in (2, 5):
        pretend.forget()
        on(NAME, stop_after=stop_after, name=f"stopped {stop_after}", **RUNS["sgd"])
        waited.append(pretend.waits.total())
    assert waited[1] - waited[0] == 3, pretend.waits


@pytest.mark.parametrize("short", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_training_in_16_bits(short: torch.dtype, on, pretend: PretendDevice) -> None:
    found = on(NAME, short, optimizer="sgd", epochs=2)
    (first, last) = of_kind(found, EpochRecord)
    assert math.isfinite(last.train_loss)
    assert last.train_loss < first.train_loss
    assert found[-1].reason == "all epochs done"
    expected = list(of_kind(on("cpu", optimizer="sgd", epochs=2), EpochRecord))[-1]
    assert last.train_loss == pytest.approx(expected.train_loss, rel=0.2)


@pytest.mark.parametrize(
    ("begun", "resumed"),
    [(torch.bfloat16, torch.float16), (None, torch.float16), (torch.float16, None)],
)
def test_a_run_is_resumed_in_other_floats(begun, resumed, on, pretend: PretendDevice) -> None:
    settings = {"optimizer": "sgd", "name": "run", "epochs": 2}
    on("cpu" if begun is None else NAME, begun, stop_after=3, **settings)
    found = on(NAME if resumed else "cpu", resumed, **settings)
    assert found[-1].kind == "end"
    assert all(math.isfinite(record.train_loss) for record in of_kind(found, EpochRecord))


@pytest.mark.parametrize("operations", [1, len(OPERATIONS)], ids=["one image", "many images"])
def test_the_choices_of_an_augmentation_are_moved_once(operations: int, pretend: PretendDevice) -> None:
    images = torch.randint(0, 256, (4 * operations, 12, 12, 3), dtype=torch.uint8)
    everything = Augmentation("random", 2, 0.4, 6, 4)
    expected = augment(images, everything, torch.Generator().manual_seed(0))
    there = images.to(NAME)
    pretend.forget()
    found = augment(there, everything, torch.Generator().manual_seed(0))
    assert pretend.waits.total() == 0, pretend.waits
    assert pretend.copies.total() <= 4, pretend.copies  # shifts, colors, operations, cutout
    apart = (found.cpu().int() - expected.int()).abs()
    assert int((apart > 1).sum()) == 0


def test_one_stream_of_batches_a_device(pretend: PretendDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU has no use for a batch on each thread of the CPU, and no memory for it."""
    import threading

    asked, images = classifier("small_cnn", NAME), images_of(24)
    threads: set[int] = set()
    inputs = asked.inputs

    def watched(pixels: np.ndarray) -> torch.Tensor:
        threads.add(threading.get_ident())
        return inputs(pixels)

    monkeypatch.setattr(asked, "inputs", watched)
    monkeypatch.setattr("core.filters.index._batch_size", lambda layers: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        build_index(asked, lambda rows: images[rows], np.arange(24) % 3, 3, k=2)
    finally:
        torch.set_num_threads(before)
    assert threads == {threading.get_ident()}


def test_what_is_seen_is_as_large_as_the_network_takes() -> None:
    assert photo().shape == (SIDE, SIDE, 3)
