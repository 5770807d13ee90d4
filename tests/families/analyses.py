"""Everything that Convoscope can ask of a network, with what tells a right answer from a wrong one.

An analysis is a function of a `Trial`. It answers with the way that was taken (`Found`), and raises: a
ConvoscopeError where the network is refused in words, `AssertionError` where the answer is wrong.
"""

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.ablation.atlas import ablation_atlas
from core.ablation.channel_removal import channel_removal
from core.ablation.switch_off import ablated_logits
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.embedding.embed import features_of, last_before_head
from core.errors import ConvoscopeError
from core.feature_visualization.parameterization import Colors
from core.feature_visualization.visualize import visualize
from core.filters.channel_layers import ChannelLayer, layers_of
from core.filters.index import build_index
from core.models.classifier import Classifier
from core.network.activations import activations
from core.network.default_map import default_map
from core.network.effective_receptive_field import effective_field
from core.network.graph import CANNOT_FOLLOW, NetworkGraph, traced
from core.network.head import head_of
from core.network.hooks import altered, captured, hooks_left
from core.network.receptive_field import gradient_box, receptive_field
from core.network.unit import Unit
from core.occlusion.full_forwards import full_forwards
from core.occlusion.incremental import incremental_engine
from core.occlusion.occlusion import occlusion_logits
from core.progress import no_progress
from tests.network.module_state import state_of

EXACT, GENERAL = "exact", "general"
IMAGES = 4
MOST_CHANNELS = 32  # of a layer whose every channel is a pass through the whole network
ROUNDINGS = 5  # an answer may be so many times as far off as the rounding of the network itself
GRAY = Colors((0.0,) * 3, ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)), ((1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0)))


@dataclass(frozen=True)
class Found:
    """How an analysis was answered.

    Attributes:
        way: `EXACT` or `GENERAL` where there are two ways, else "".
        words: What to say of it, such as the layer that was chosen.
        cost: Its time as a multiple of forward passes of one image; None where that says nothing.
    """

    way: str = ""
    words: str = ""
    cost: float | None = None


@dataclass(frozen=True)
class Trial:
    """A network with some images.

    Attributes:
        images: (N, H, W, C) uint8
        forward: Seconds of one pass of one image, in a batch of `IMAGES`.
    """

    classifier: Classifier
    images: np.ndarray
    forward: float

    @property
    def image(self) -> np.ndarray:
        return self.images[0]

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        return self.images[rows]

    @property
    def side(self) -> int:
        return self.image.shape[0]


@dataclass(frozen=True)
class Result:
    """What became of one analysis.

    Attributes:
        outcome: "done", "not offered" (refused in words), "wrong" or "crashed".
    """

    analysis: str
    outcome: str
    found: Found = Found()


def ask_everything(classifier: Classifier, images: np.ndarray) -> list[Result]:
    """Every analysis of one network; after each the network must be as it was."""
    classifier.predict_logits(images)
    began = time.perf_counter()
    answer = classifier.predict_logits(images)
    trial = Trial(classifier, images, (time.perf_counter() - began) / len(images))
    assert np.isfinite(answer).all(), "the network itself answers with something that is not finite"
    found = [_asked(name, analysis, trial) for name, analysis in ANALYSES.items()]
    # The same batch in the same way; a way of convolution that was measured meanwhile adds in another order.
    _near(classifier.predict_logits(images), answer, 1e-4, "the answers after all analyses")
    return found


def _asked(name: str, analysis: Callable[[Trial], Found], trial: Trial) -> Result:
    before = state_of(trial.classifier.module)
    try:
        result = Result(name, "done", analysis(trial))
    except ConvoscopeError as error:
        result = Result(name, "not offered", Found(words=str(error)))
    except AssertionError as error:
        result = Result(name, "wrong", Found(words=str(error).strip()[:500]))
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is what is looked for
        result = Result(name, "crashed", Found(words=f"{type(error).__name__}: {error}"[:500]))
    after = state_of(trial.classifier.module)
    changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    if changed or hooks_left():
        return Result(name, "wrong", Found(words=f"left changed: {changed[:5]}, hooks: {hooks_left()}"))
    return result


def _near(found: np.ndarray, expected: np.ndarray, share: float, what: str) -> None:
    assert found.shape == expected.shape, f"{what} has the shape {found.shape}, not {expected.shape}"
    assert np.isfinite(found).all(), f"{what}: not finite"
    largest = max(float(np.abs(expected).max(initial=0)), 1e-6)
    apart = float(np.abs(found - expected).max(initial=0)) / largest
    assert apart <= share, f"{what}: {apart:.1e} of the largest value apart"


def why_not_followed(classifier: Classifier) -> str:
    """Why the code of a network cannot be followed; empty where it can."""
    module = classifier.module
    height, width = classifier.card.preprocessing.input_size
    if traced(module, example=torch.zeros(1, 3, height, width)) is not None:
        return ""
    try:
        NetworkGraph(module)
    except CANNOT_FOLLOW as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return f"its code cannot be followed: {first}"
    return "its code gives other answers when it is followed"


def occlusion(trial: Trial) -> Found:
    """The map as it is made, and the exact engine where there is one, against whole passes."""
    c, side, image = trial.classifier, trial.side, trial.image
    settings = {"window": max(1, side // 4), "stride": max(1, side // 8)}
    occlusion_logits(c, image, **settings)
    began = time.perf_counter()
    found = occlusion_logits(c, image, **settings)
    seconds = time.perf_counter() - began
    plain = occlusion_logits(c, image, **settings, engine=full_forwards)
    share = max(1e-4, ROUNDINGS * _rounding(trial))
    _near(found.logits, plain.logits, share, "the logits of hidden windows")
    cost = seconds / found.logits[..., 0].size / trial.forward
    filled = np.full_like(image, 128)
    corners = np.array([(top, left) for top in plain.tops for left in plain.lefts])
    exact = incremental_engine(c, image, filled, corners, plain.window)
    if exact is None:
        why = why_not_followed(c) or "computing only what a window changes would save too little"
        return Found(GENERAL, why, cost)
    logits = exact(c, image, filled, corners, plain.window, no_progress)
    _near(logits.reshape(plain.logits.shape), plain.logits, share, "the logits of the exact engine")
    if found.engine != "incremental":
        return Found(
            GENERAL, "the exact engine serves, but whole passes were as quick for so few windows", cost
        )
    return Found(EXACT, cost=cost)


def _rounding(trial: Trial) -> float:
    """How far the network's own 32-bit logits are from its 64-bit ones, as a share of the largest.

    Random weights make some networks enlarge rounding a thousandfold.
    """
    twin = copy.deepcopy(trial.classifier.module).double()
    inputs = trial.classifier.inputs(trial.images)
    try:
        with torch.inference_mode():
            exact = twin(inputs.double())
            short = trial.classifier.module(inputs)
    except RuntimeError:  # a network that makes 32-bit numbers itself
        return 0.0
    return float((short - exact).abs().max() / exact.abs().max())


def attribution(name: str, **settings: object) -> Callable[[Trial], Found]:
    """One method; the map must be finite, of the image's or the layer's size, and say why if it is blank."""

    def analysis(trial: Trial) -> Found:
        target = int(trial.classifier.predict_logits(trial.images[:1])[0].argmax())
        began = time.perf_counter()
        result = methods[name](trial.classifier, trial.image, target, **settings)
        seconds = time.perf_counter() - began
        assert np.isfinite(result.values).all(), "the map is not finite"
        assert result.note or not result.is_blank, "the map is blank, and nothing says why"
        if name == "grad_cam":
            _check_grad_cam(trial, target, result.values, str((result.found or {}).get("layer")))
        elif name != "occlusion":
            assert result.values.shape[-2:] == trial.image.shape[:2], "the map is not of the image's size"
        if name == "saliency":
            _check_gradient(trial, target, result)
        words = str((result.found or {}).get("layer", "")) if name == "grad_cam" else ""
        return Found(words=". ".join(filter(None, (words, result.note))), cost=seconds / trial.forward)

    return analysis


def _check_gradient(trial: Trial, target: int, result: Attribution) -> None:
    """Against PyTorch's own gradient of a copy, in 32 and in 64 bits: the nearer one counts."""
    apart = []
    for dtype in (torch.float32, torch.float64):
        twin = copy.deepcopy(trial.classifier.module).to(dtype)
        inputs = trial.classifier.inputs(trial.images[:1]).to(dtype).contiguous().requires_grad_()
        try:
            score = twin(inputs).reshape(-1)[target]
        except RuntimeError:  # a network that makes 32-bit numbers itself
            continue
        (gradient,) = torch.autograd.grad(score, inputs)
        expected = gradient[0] if result.signed else gradient[0].abs()
        values = result.values
        largest = max(float(expected.max()), 1e-12)
        apart.append(float(np.abs(values - expected.numpy()).max()) / largest)
        if apart[-1] <= 1e-3:
            return
    raise AssertionError(f"the gradient is {min(apart):.1e} of the largest value off")


def _check_grad_cam(trial: Trial, target: int, values: np.ndarray, layer: str) -> None:
    """A map of the image's own grid: its places see the parts of the image that they lie over."""
    chosen = default_map(trial.classifier)
    assert chosen.layer == layer
    assert values.shape == chosen.size, f"{values.shape} is not the map of {layer}"
    rows, columns = chosen.size
    assert abs(rows - columns) <= 1, f"{layer} has a map of {rows} × {columns} of a square image"


def filter_index(trial: Trial) -> Found:
    c = trial.classifier
    layers = layers_of(c)
    labels = np.arange(IMAGES) % 2
    build_index(c, trial.pixels, labels, 2, k=1)
    began = time.perf_counter()
    answer = build_index(c, trial.pixels, labels, 2, k=1)
    seconds = time.perf_counter() - began
    sites = {layer.site for layer in layers}
    with torch.inference_mode(), captured(c.module, sites) as maps:
        c.module(c.inputs(trial.images))
    for number, layer in enumerate(layers):
        largest = maps[layer.site].float().flatten(2).amax(2).amax(0).numpy()
        _near(
            answer.layers[number].top_values[:, 0],
            largest,
            1e-3,
            f"the strongest activations of {layer.name}",
        )
    return Found(words=answer.engine, cost=seconds / IMAGES / trial.forward)


def switch_off(trial: Trial) -> Found:
    c, rows = trial.classifier, np.arange(IMAGES)
    for layer in _some(layers_of(c)):

        def off(output: Tensor) -> Tensor:
            output = output.clone()
            output[:, 0] = 0
            return output

        with torch.inference_mode(), altered(c.module, {layer.site: off}):
            expected = c.logits(c.inputs(trial.images)).numpy()
        found = ablated_logits(c, trial.pixels, rows, {layer.name: [0]})
        _near(found, expected, 1e-4, f"the logits without a channel of {layer.name}")
    return Found()


def atlas(trial: Trial) -> Found:
    c, rows = trial.classifier, np.arange(IMAGES)
    layers = layers_of(c)
    few = c.inputs(trial.images[:2])
    some = _some(layers)
    exact = [layer for layer in some if channel_removal(c.module, layer.site, few) is not None]
    tried = exact or [layer for layer in some if layer.channels <= MOST_CHANNELS]
    labels = c.predict_logits(trial.images).argmax(1)
    if tried:
        layer = min(tried, key=lambda layer: layer.channels)
        found = ablation_atlas(c, trial.pixels, rows, labels, layer.name)
        alone = ablated_logits(c, trial.pixels, rows, {layer.name: [0]})
        rise = _entropy(alone, labels) - _entropy(c.predict_logits(trial.images), labels)
        assert abs(float(found.loss[0]) - rise) <= 1e-3 * max(1.0, abs(rise)), f"the atlas of {layer.name}"
    if len(exact) == len(some):
        return Found(EXACT)
    why = why_not_followed(c) or f"of {len(some)} layers tried {len(exact)} can be cut out"
    return Found(EXACT if exact else GENERAL, why)


def _entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))


def visualization(trial: Trial) -> Found:
    c = trial.classifier
    units = [Unit(None, 1)]
    with suppress(ConvoscopeError):  # a network without any map
        units.append(Unit(default_map(c).layer, 0))
    words = ""
    for unit in units:
        found = visualize(c, unit, steps=2, every=2, colors=GRAY)
        assert np.isfinite(found.objectives).all(), "the objective is not finite"
        assert np.isfinite(found.logits).all(), "the logits of the picture are not finite"
        words = found.note or words
    return Found(words=words)


def layer_activations(trial: Trial) -> Found:
    chosen = default_map(trial.classifier)
    maps = activations(trial.classifier, trial.image, chosen.layer).maps
    assert maps.shape == chosen.shape, f"{maps.shape} is not {chosen.shape}"
    assert np.isfinite(maps).all(), "not finite"
    return Found(words=f"{chosen.layer}, {' × '.join(map(str, chosen.shape))}")


def embedding(trial: Trial) -> Found:
    c = trial.classifier
    layer = last_before_head(c)
    features, logits = features_of(c, trial.images, layer)
    _near(logits, c.predict_logits(trial.images), 1e-4, "the logits beside the features")
    head = head_of(c)
    part = c.module.get_submodule(head.layer)
    if (
        type(part) is nn.Linear
        and part.out_features == logits.shape[1]
        and features.shape[1] == part.in_features
    ):
        with torch.inference_mode():
            made = part(torch.from_numpy(features)).numpy()
        # Of two heads whose logits are used together, the first alone is not the answer.
        one_head = (
            sum(type(m) is nn.Linear and m.out_features == logits.shape[1] for m in c.module.modules()) == 1
        )
        if one_head:
            _near(made, logits, 1e-3, f"the head on the features of {layer}")
    return Found(words=f"{features.shape[1]} features of {layer}")


def fields(trial: Trial) -> Found:
    """What the rules say a place sees holds all that moves it."""
    c = trial.classifier
    chosen = default_map(c)
    effective, place = (None, (chosen.size[0] // 2, chosen.size[1] // 2))
    if chosen.tokens is None and chosen.channel_dim == 1:
        effective, place = effective_field(c, trial.images[:1], layer=chosen.layer, draws=1)
        assert np.isfinite(effective).all(), "the effective field is not finite"
    field = receptive_field(c.module, chosen.layer, (trial.side, trial.side))
    box = field.box(*place)
    if chosen.tokens is None and chosen.channel_dim == 1:
        seen = gradient_box(c.module, chosen.layer, c.inputs(trial.images[:1]), *place)
        inside = (
            box.top <= seen.top
            and box.left <= seen.left
            and seen.bottom <= box.bottom
            and seen.right <= box.right
        )
        assert inside, f"{box} does not hold {seen}"
    return Found(words=f"{chosen.layer}: {box.height} × {box.width} pixels")


def _some(layers: list[ChannelLayer]) -> list[ChannelLayer]:
    """The first, the middle one and the last."""
    return list({layer.name: layer for layer in (layers[0], layers[len(layers) // 2], layers[-1])}.values())


ANALYSES: dict[str, Callable[[Trial], Found]] = {
    "occlusion": occlusion,
    "integrated gradients": attribution("integrated_gradients", n_steps=8, tolerance=None),
    "saliency": attribution("saliency"),
    "gradient × input": attribution("gradient_x_input"),
    "SmoothGrad": attribution("smoothgrad", n_samples=4),
    "guided backprop": attribution("guided_backprop"),
    "Grad-CAM": attribution("grad_cam"),
    "DeepLIFT": attribution("deeplift"),
    "filter index": filter_index,
    "switch-off": switch_off,
    "atlas": atlas,
    "feature visualization": visualization,
    "activations": layer_activations,
    "embedding": embedding,
    "receptive field": fields,
}
