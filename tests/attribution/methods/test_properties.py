"""What each method promises, on networks where the answer is known."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from core.attribution.adaptive_quadrature import Piece, cut_worst, first_pieces, integral, is_settled
from core.attribution.baselines import BASELINES, baseline_images
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.errors import ConvoscopeError, UnknownName
from core.models.classifier import Classifier
from core.network.feature_maps import feature_maps
from tests.attribution.methods.classifiers import classifier, photo


def test_smoothgrad_with_one_sample_and_no_noise_is_the_gradient() -> None:
    asked, image = classifier("resnet18"), photo()
    smooth = methods["smoothgrad"](asked, image, 2, n_samples=1, noise=0).values
    assert np.array_equal(smooth, methods["saliency"](asked, image, 2).values)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    ("method", "network"),
    [
        *product(["integrated_gradients", "deeplift"], ["small_cnn", "one_logit"]),
        ("deeplift", "resnet18"), ("deeplift", "efficientnet_lite0"),
        *(
            pytest.param("integrated_gradients", network, marks=pytest.mark.all)  # 6 to 16 seconds each
            for network in ("resnet18", "efficientnet_lite0")
        ),
    ],
)  # fmt: skip
def test_the_map_adds_up(method: str, network: str, baseline: str) -> None:
    """Completeness, here within 1 % (integrated gradients) or rounding (DeepLIFT, which takes no steps)."""
    result = methods[method](classifier(network), photo(), 1, baseline=baseline)
    assert result.expected == pytest.approx(_expected(network, baseline), abs=1e-4)
    error = abs(result.convergence_delta)
    assert error <= (0.01 if method == "integrated_gradients" else 1e-4) * abs(result.expected) + 2e-5
    assert not result.note


def _expected(network: str, baseline: str) -> float:
    asked, image = classifier(network), photo()
    pictures = baseline_images(baseline, image, samples=4, seed=0)
    images = torch.cat([asked.inputs(image[None]), asked.inputs(pictures)])
    with torch.no_grad():
        logits = asked.logits(images)[:, 1]
    return float(logits[0] - logits[1:].mean())


def test_a_linear_network_is_explained_exactly_by_all_that_promise_a_sum() -> None:
    torch.manual_seed(0)
    card = classifier("small_cnn").card
    asked = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 5)), card, torch.device("cpu"))
    image = photo()
    weight = asked.module[1].weight[3].reshape(3, 48, 48).numpy()
    inputs = asked.inputs(image[None])[0].numpy()
    black = asked.inputs(np.zeros((1, 48, 48, 3), np.uint8))[0].numpy()
    for name in ("integrated_gradients", "deeplift"):
        result = methods[name](asked, image, 3, baseline="black")
        assert np.allclose(result.values, weight * (inputs - black), atol=1e-5)
    assert np.allclose(methods["gradient_x_input"](asked, image, 3).values, weight * inputs, atol=1e-5)
    with pytest.raises(ConvoscopeError, match="has no layer whose output has rows and columns"):
        methods["grad_cam"](asked, image, 3)


def without_kinks() -> Classifier:
    """Max pooling has some: on a black image all places of a window are equal, and rounding chooses one."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * 11 * 11, 16), nn.Tanh(),
        nn.Linear(16, 5),
    )  # fmt: skip
    return Classifier(module, classifier("tanh").card, torch.device("cpu"))


@pytest.mark.parametrize("rule", ["adaptive", "midpoint", "gauss_legendre", "trapezoid"])
def test_all_rules_tend_to_one_integral(rule: str) -> None:
    """On a network without kinks, where Gauss and Legendre are exact."""
    asked, image = without_kinks(), photo()
    run = methods["integrated_gradients"]
    exact = run(asked, image, 2, n_steps=48, tolerance=None, rule="gauss_legendre").values
    values = run(asked, image, 2, n_steps=128, tolerance=None, rule=rule).values
    assert np.abs(values - exact).max() <= 2e-3 * np.abs(exact).max()


@pytest.mark.parametrize("rule", ["adaptive", "midpoint", "gauss_legendre", "trapezoid"])
def test_steps_are_doubled_until_the_tolerance_is_reached(rule: str) -> None:
    asked, image = without_kinks(), photo()
    run = methods["integrated_gradients"]
    result = run(asked, image, 2, n_steps=2, tolerance=0.5, rule=rule)
    steps = result.found["steps"]
    assert steps > 2
    assert result.completeness_error <= 0.5
    if rule != "adaptive":  # the same as asking for so many steps at once: nothing is counted twice
        assert steps & (steps - 1) == 0
        once = run(asked, image, 2, n_steps=steps, tolerance=None, rule=rule)
        assert np.abs(once.values - result.values).max() <= 1e-3 * np.abs(once.values).max()


def test_adaptive_steps_find_a_kink_that_equal_steps_miss() -> None:
    """The score rises by 1 within a hundredth of the path: 33 pieces are enough, 33 equal ones are not."""

    def scores(places: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(places - 0.031) * 1000))

    def parts(places: np.ndarray) -> list[torch.Tensor]:
        values = scores(places)
        return [torch.tensor([1000 * v * (1 - v)]) for v in values]

    equal = float(integral(first_pieces(33, parts, scores)))
    pieces = first_pieces(9, parts, scores)
    while len(pieces) < 33:
        pieces = cut_worst(pieces, 1, parts, scores)
    assert abs(equal - 1) > 0.1
    assert float(integral(pieces)) == pytest.approx(1, abs=0.01)
    assert sum(piece.high - piece.low for piece in pieces) == pytest.approx(1)
    assert [p.high for p in pieces[:-1]] == pytest.approx([p.low for p in pieces[1:]])


def test_few_steps_are_enough_where_the_score_is_smooth() -> None:
    asked, image = without_kinks(), photo()
    run = methods["integrated_gradients"]
    result = run(asked, image, 2, n_steps=64)
    exact = run(asked, image, 2, n_steps=48, tolerance=None, rule="gauss_legendre").values
    assert result.found["steps"] < 64
    assert result.completeness_error <= 1
    assert np.abs(result.values - exact).max() <= 2e-2 * np.abs(exact).max()
    assert run(asked, image, 2, n_steps=64, tolerance=None).found["steps"] == 64


def test_errors_that_cancel_do_not_settle_a_path() -> None:
    def piece(low: float, high: float, rises: float, slope: float) -> Piece:
        return Piece(low, high, 0.0, rises, torch.tensor([slope]), slope)

    right = [piece(0, 0.5, 1.0, 2.0), piece(0.5, 1, 1.0, 2.0)]
    by_chance = [piece(0, 0.5, 1.5, 2.0), piece(0.5, 1, 0.5, 2.0)]
    assert float(integral(right)) == float(integral(by_chance)) == 2.0
    assert is_settled(right, 0.02)
    assert not is_settled(by_chance, 0.02)
    assert not is_settled([piece(0, 1, 1.0, 1.1)], 0.02)


def test_occlusion_of_a_linear_network_is_the_weight_under_the_window() -> None:
    card = classifier("small_cnn").card
    asked = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 48, 5)), card, torch.device("cpu"))
    asked.module[1].weight.zero_()
    asked.module[1].weight[2].reshape(3, 48, 48)[:, 10, 20] = 1.0  # one pixel counts
    image = photo()
    result = methods["occlusion"](asked, image, 2, window=1, stride=1, fill="black")
    black = asked.inputs(np.zeros((1, 48, 48, 3), np.uint8))[0, :, 10, 20]
    fall = float((asked.inputs(image[None])[0, :, 10, 20] - black).sum())
    assert result.values[10, 20] == pytest.approx(fall, abs=1e-4)
    assert np.count_nonzero(result.values) == 1


def test_grad_cam_finds_the_last_map_and_max_pools() -> None:
    asked, image = classifier("resnet18"), photo()
    result = methods["grad_cam"](asked, image, 1)
    assert result.found == {"layer": "layer1"}  # the last with 7 places a side at least, of 48 pixels
    assert result.values.shape == feature_maps(asked)["layer1"].size == (12, 12)
    assert result.values.min() >= 0
    largest = methods["grad_cam"](asked, image, 1, pooling="max", positive_only=False)
    average = methods["grad_cam"](asked, image, 1, positive_only=False)
    assert largest.signed
    assert (largest.values >= average.values).all()  # activations after a ReLU, weights at least as large


def test_a_layer_that_is_no_map_is_named() -> None:
    with pytest.raises(UnknownName, match="There is no layer with a feature map named 'fc'"):
        methods["grad_cam"](classifier("resnet18"), photo(), 1, layer="fc")


def test_baselines_are_pixel_colors() -> None:
    image = photo()
    assert set(np.unique(baseline_images("gray", image))) == {128.0}
    assert np.allclose(baseline_images("mean", image)[0, 0, 0], image.mean((0, 1)), atol=1e-3)
    blurred = baseline_images("blur", image)[0]
    assert blurred.std() < 0.6 * image.std()
    assert blurred.mean() == pytest.approx(image.mean(), rel=0.1)
    noise = baseline_images("noise average", image, samples=3, seed=1)
    assert noise.shape == (3, *image.shape)
    assert np.array_equal(noise, baseline_images("noise average", image, samples=3, seed=1))
    assert noise.min() >= 0
    assert noise.max() <= 255


def test_a_map_of_the_baseline_itself_says_so() -> None:
    black = np.zeros((48, 48, 3), np.uint8)
    for name in ("integrated_gradients", "deeplift"):
        result = methods[name](classifier("small_cnn"), black, 1, baseline="black")
        assert result.note == "The map is blank: the image is the baseline. Choose another baseline."
        assert result.completeness_error == 0


def test_the_error_is_a_percentage_of_what_should_be_explained() -> None:
    values = np.full((3, 2, 2), 0.5, np.float32)
    made = Attribution(values, 0, 1.0, True, "x", {}, expected=8.0)
    assert made.convergence_delta == pytest.approx(-2)
    assert made.completeness_error == pytest.approx(25)
    assert Attribution(values, 0, 1.0, True, "x", {}, expected=0.0).completeness_error == float("inf")
    assert Attribution(values, 0, 1.0, True, "x", {}).completeness_error is None
