"""Every method beside Captum's, with the same network, image, baseline and steps."""

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from core.attribution.baselines import baseline_images
from core.attribution.methods import methods
from core.models.classifier import Classifier
from core.network.hooks import hooks_left
from tests.attribution.methods.classifiers import classifier, photo

RELU_NETWORKS = ["small_cnn", "resnet18"]


class Logits(nn.Module):
    """What Captum is given: a module of the network's logits."""

    def __init__(self, asked: Classifier) -> None:
        super().__init__()
        self.module, self.asked = asked.module, asked

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.asked.logits(inputs)


def compare(ours: np.ndarray, theirs: torch.Tensor) -> None:
    theirs_values = theirs.detach().numpy()
    assert np.abs(theirs_values).max() > 0
    assert np.abs(ours - theirs_values).max() <= 1e-4 * np.abs(theirs_values).max()


@pytest.mark.parametrize("name", ["small_cnn", "tanh", "resnet18", "efficientnet_lite0", "squeeze_excite"])
@pytest.mark.parametrize("target", [0, 3])
def test_gradients(name: str, target: int) -> None:
    asked, image = classifier(name), photo()
    inputs = asked.inputs(image[None])
    theirs = captum.attr.Saliency(Logits(asked)).attribute(inputs.clone(), target, abs=False)[0]
    compare(methods["saliency"](asked, image, target).values, theirs)
    theirs = captum.attr.InputXGradient(Logits(asked)).attribute(inputs.clone(), target)[0]
    compare(methods["gradient_x_input"](asked, image, target).values, theirs)


@pytest.mark.parametrize("name", ["small_cnn", "tanh"])
@pytest.mark.parametrize("baseline", ["black", "gray", "blur", "mean"])
@pytest.mark.parametrize(
    ("rule", "theirs"), [("midpoint", "riemann_middle"), ("gauss_legendre", "gausslegendre")]
)
def test_integrated_gradients(name: str, baseline: str, rule: str, theirs: str) -> None:
    asked, image = classifier(name), photo()
    ours = methods["integrated_gradients"](
        asked, image, 1, baseline=baseline, n_steps=16, tolerance=None, rule=rule
    )
    values, delta = captum.attr.IntegratedGradients(Logits(asked)).attribute(
        asked.inputs(image[None]),
        asked.inputs(baseline_images(baseline, image)),
        target=1,
        n_steps=16,
        method=theirs,
        return_convergence_delta=True,
    )
    compare(ours.values, values[0])
    assert ours.convergence_delta == pytest.approx(float(delta), abs=1e-4 * max(1, abs(ours.score)))


@pytest.mark.parametrize("name", RELU_NETWORKS)
def test_smoothgrad(name: str) -> None:
    asked, image = classifier(name), photo()
    inputs = asked.inputs(image[None]).contiguous()
    deviation = 0.2 * float(inputs.max() - inputs.min())
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(Logits(asked)))
    for average, theirs in (("gradients", "smoothgrad"), ("squares", "smoothgrad_sq")):
        ours = methods["smoothgrad"](asked, image, 2, n_samples=5, noise=20, average=average, seed=7)
        torch.manual_seed(7)
        values = tunnel.attribute(inputs, nt_type=theirs, nt_samples=5, stdevs=deviation, target=2, abs=False)
        compare(ours.values, values[0])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", RELU_NETWORKS)
def test_guided_backprop(name: str) -> None:
    asked, image = classifier(name), photo()
    theirs = captum.attr.GuidedBackprop(Logits(asked)).attribute(asked.inputs(image[None]), 2)[0]
    compare(methods["guided_backprop"](asked, image, 2).values, theirs)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("small_cnn", "conv3"),
        ("small_cnn", "activation2"),
        ("resnet18", "layer4"),
        ("resnet18", "layer2.0.relu"),
    ],
)
@pytest.mark.parametrize("positive_only", [True, False])
def test_grad_cam(name: str, layer: str, positive_only: bool) -> None:
    asked, image = classifier(name), photo()
    ours = methods["grad_cam"](asked, image, 1, layer=layer, positive_only=positive_only)
    theirs = captum.attr.LayerGradCam(Logits(asked), asked.module.get_submodule(layer))
    values = theirs.attribute(asked.inputs(image[None]), 1, relu_attributions=positive_only)[0, 0]
    compare(ours.values, values)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.ELU, nn.Softplus])
@pytest.mark.parametrize("baseline", ["black", "blur", "white"])
def test_deeplift(activation: type[nn.Module], baseline: str) -> None:
    """Where Captum is complete: pooling windows do not overlap, no activation right before or after."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), activation(), nn.Conv2d(8, 8, 1), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), activation(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(8 * 11 * 11, 16), activation(), nn.Linear(16, 5),
    )  # fmt: skip
    asked, image = Classifier(module, classifier("small_cnn").card, torch.device("cpu")), photo()
    ours = methods["deeplift"](asked, image, 1, baseline=baseline)
    theirs, delta = captum.attr.DeepLift(Logits(asked)).attribute(
        asked.inputs(image[None]),
        asked.inputs(baseline_images(baseline, image)),
        1,
        return_convergence_delta=True,
    )
    assert abs(float(delta)) < 1e-5
    compare(ours.values, theirs[0])
    assert hooks_left() == 0
