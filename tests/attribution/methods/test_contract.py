"""What holds for every registered method on every network."""

import numpy as np
import pytest
import torch

from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.errors import ConvoscopeError, TargetOutOfRange
from core.models.classifier import Classifier
from core.network.hooks import hooks_left
from tests.attribution.methods.classifiers import NETWORKS, classifier, photo

# Cheap settings, so that each combination runs in a moment.
QUICK = {
    "integrated_gradients": {"n_steps": 4, "tolerance": None},
    "smoothgrad": {"n_samples": 3},
    "occlusion": {"window": 16, "stride": 16},
}
METHODS = methods.names()


def settings_for(method: str) -> dict:
    return QUICK.get(method, {})


def state(asked: Classifier) -> list[tuple]:
    """All of the module that an analysis could leave changed."""
    module = asked.module
    hooks = [
        (len(part._forward_hooks), len(part._forward_pre_hooks), len(part._backward_hooks), part.training,
         getattr(part, "inplace", None))
        for part in module.modules()
    ]  # fmt: skip
    tensors = [(name, value.sum().item()) for name, value in module.state_dict().items()]
    grads = [(parameter.grad is None, parameter.requires_grad) for parameter in module.parameters()]
    return [*hooks, *tensors, *grads]


def test_the_methods_of_the_page_are_there_in_order() -> None:
    assert METHODS == [
        "integrated_gradients", "saliency", "gradient_x_input", "smoothgrad", "guided_backprop", "grad_cam",
        "deeplift", "occlusion",
    ]  # fmt: skip
    assert all(member.summary and all(s.help for s in member.settings) for member in methods)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_contract(method: str, network: str) -> None:
    asked, image = classifier(network), photo()
    before = state(asked)
    told: list[int] = []
    logits = asked.predict_logits(image[None])[0]

    def progress(share: float, message: str) -> None:
        told.append(hooks_left())
        assert 0 <= share <= 1

    result = methods[method](asked, image, 1, **settings_for(method), progress=progress)

    assert isinstance(result, Attribution)
    assert result.values.dtype == np.float32
    assert np.isfinite(result.values).all()
    if result.values.ndim == 3:
        assert result.values.shape == (3, 48, 48)
    assert (result.target, result.method) == (1, method)
    assert result.score == pytest.approx(float(logits[1]), abs=1e-5 * max(1, abs(float(logits[1]))))
    assert set(result.settings) == {setting.name for setting in methods[method].settings}
    assert result.note or not result.is_blank
    assert told
    assert not any(told), "progress was called while a hook was set"
    assert hooks_left() == 0
    assert state(asked) == before
    again = methods[method](asked, image, 1, **settings_for(method))
    # A batch of another size may add in another order; nothing else may differ.
    assert np.abs(again.values - result.values).max() <= 1e-4 * max(np.abs(result.values).max(), 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_the_probability_may_be_explained(method: str) -> None:
    asked, image = classifier("small_cnn"), photo()
    result = methods[method](asked, image, 1, output="probability", **settings_for(method))
    logits = torch.tensor(asked.predict_logits(image[None])[0])
    assert result.score == pytest.approx(float(logits.softmax(0)[1]), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [-1, 5])
def test_a_target_that_is_not_there(method: str, target: int) -> None:
    with pytest.raises(TargetOutOfRange, match=rf"The target is class {target}, but this classifier has 5"):
        methods[method](classifier("small_cnn"), photo(), target)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("failing", ["output", "pool2"])
def test_nothing_is_left_after_a_failure(method: str, failing: str) -> None:
    asked, image = classifier("small_cnn"), photo()
    part = asked.module.get_submodule(failing)

    def fail(inputs: torch.Tensor) -> torch.Tensor:
        raise FloatingPointError("broken on purpose")

    part.forward = fail
    before = state(asked)
    with pytest.raises(FloatingPointError, match="broken on purpose"):
        methods[method](asked, image, 1, **settings_for(method))
    assert hooks_left() == 0
    assert state(asked) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_answers_with_no_numbers_is_named(method: str) -> None:
    asked = classifier("small_cnn")
    asked.module.get_submodule("output").bias.fill_(float("nan"))
    with pytest.raises(ConvoscopeError, match="of small_cnn is not a finite number for this image"):
        methods[method](asked, photo(), 1, **settings_for(method))


@pytest.mark.parametrize("method", METHODS)
def test_a_blank_map_says_why(method: str) -> None:
    asked = classifier("small_cnn")
    asked.module.get_submodule("output").weight.zero_()
    result = methods[method](asked, photo(), 1, **settings_for(method))
    assert result.is_blank
    assert result.note.startswith("The map is blank: ")


@pytest.mark.parametrize("method", METHODS)
def test_inside_inference_mode(method: str) -> None:
    asked, image = classifier("small_cnn"), photo()
    outside = methods[method](asked, image, 2, **settings_for(method)).values
    with torch.inference_mode():
        inside = methods[method](asked, image, 2, **settings_for(method)).values
    assert np.allclose(inside, outside, atol=1e-5 * np.abs(outside).max())
