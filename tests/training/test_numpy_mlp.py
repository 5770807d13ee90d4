"""The perceptron by hand against autograd and finite differences; three implementations, one curve."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.errors import UnknownName
from core.history import EpochRecord, append_record, of_kind, plain_record, read_history, variants
from core.models.activation_functions import activation_function
from core.training import numpy_mlp, sklearn_mlp, torch_mlp
from core.training.from_scratch_settings import FromScratchSettings


def blobs(seed: int = 0, n: int = 300, features: int = 6, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centers = np.random.default_rng(1).normal(0, 2, (classes, features))
    return (centers[labels] + rng.normal(size=(n, features))).astype(np.float32), labels


@pytest.mark.parametrize("activation", numpy_mlp.ACTIVATIONS)
@pytest.mark.parametrize("widths", [[], [5], [7, 4, 3]])
def test_gradients_equal_autograds(activation: str, widths: list[int]) -> None:
    inputs, labels = blobs(n=17)
    network = numpy_mlp.initialize([6, *widths, 3], activation, seed=3, dtype=np.float64)
    network.biases = [np.random.default_rng(5).normal(size=b.shape) for b in network.biases]
    loss, logits, by_weights, by_biases = numpy_mlp.loss_and_gradients(network, inputs, labels)

    weights = [torch.from_numpy(w).requires_grad_() for w in network.weights]
    biases = [torch.from_numpy(b).requires_grad_() for b in network.biases]
    x = torch.from_numpy(inputs.astype(np.float64))
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = F.linear(x, weight, bias)
        if layer < len(weights) - 1:
            x = activation_function(activation)(x)
    expected = F.cross_entropy(x, torch.from_numpy(labels))
    expected.backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-12)
    np.testing.assert_allclose(logits, x.detach().numpy(), rtol=1e-12)
    for ours, theirs in zip(by_weights + by_biases, weights + biases, strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "linear"])
def test_gradients_equal_finite_differences(activation: str) -> None:
    inputs, labels = blobs(n=9)
    network = numpy_mlp.initialize([6, 4, 3], activation, seed=0, dtype=np.float64)
    _, _, by_weights, by_biases = numpy_mlp.loss_and_gradients(network, inputs, labels)
    for values, gradients in zip(network.weights + network.biases, by_weights + by_biases, strict=True):
        for place in np.ndindex(values.shape):
            sides = []
            for step in (1e-5, -1e-5):
                values[place] += step
                sides.append(numpy_mlp.loss_and_gradients(network, inputs, labels)[0])
                values[place] -= step
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(gradients[place], rel=1e-5, abs=1e-9)


def test_cross_entropy_survives_logits_of_any_size() -> None:
    losses, probabilities = numpy_mlp.cross_entropy(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.array([1, 1]))
    np.testing.assert_allclose(losses, [1e4, 0])
    np.testing.assert_allclose(probabilities, [[1, 0], [0, 1]])


def test_first_weights_have_the_spread_that_is_published() -> None:
    xavier = numpy_mlp.initialize([300, 500], "tanh", seed=1).weights[0]
    assert np.abs(xavier).max() <= np.sqrt(6 / 800)
    assert xavier.std() == pytest.approx(np.sqrt(2 / 800), rel=0.02)
    he = numpy_mlp.initialize([300, 500], "relu", seed=1, initialization="he").weights[0]
    assert he.std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    again = numpy_mlp.initialize([300, 500], "relu", seed=1, initialization="he").weights[0]
    assert np.array_equal(he, again)


RATES = [0.05, 0.05, 0.05, 0.04, 0.03, 0.01]
PLAN: dict[str, Any] = {"rates": RATES, "batch_size": 16, "seed": 7}


@pytest.mark.parametrize("activation", numpy_mlp.ACTIVATIONS)
def test_numpy_and_pytorch_draw_the_same_curve(activation: str) -> None:
    train, held_out = blobs(), blobs(1)
    curves = []
    for implementation in (numpy_mlp, torch_mlp):
        network = numpy_mlp.initialize([6, 8, 3], activation, seed=2, dtype=np.float64)
        data = [(x.astype(np.float64), y) for x, y in (train, held_out)]
        curves.append(list(implementation.train_epochs(network, *data, **PLAN)))
    assert len(curves[0]) == 6
    for ours, theirs in zip(*curves, strict=True):
        first, second = plain_record(ours), plain_record(theirs)
        assert set(first) == set(second)
        for name in set(first) - {"seconds", "images_per_second", "kind"}:
            assert first[name] == pytest.approx(second[name], rel=1e-6), name


def test_scikit_learn_writes_the_same_records_and_learns_as_well() -> None:
    train, held_out = blobs(), blobs(1)
    network = numpy_mlp.initialize([6, 8, 3], "tanh", seed=2)
    ours = list(numpy_mlp.train_epochs(network, train, held_out, **PLAN))
    classifier = sklearn_mlp.make_classifier([8], "tanh", batch_size=16, seed=2)
    theirs = list(sklearn_mlp.train_epochs(classifier, train, held_out, rates=RATES, classes=3))
    assert [set(plain_record(r)) for r in theirs] == [set(plain_record(r)) for r in ours]
    assert [r.step for r in theirs] == [r.step for r in ours]
    assert theirs[-1].train_loss == pytest.approx(classifier.loss_, rel=1e-4)
    assert theirs[-1].validation_accuracy == pytest.approx(classifier.score(*held_out))
    assert abs(theirs[-1].validation_loss - ours[-1].validation_loss) < 0.1


def test_two_classes_of_scikit_learn_have_one_logit_and_become_two() -> None:
    train = blobs(classes=2)
    classifier = sklearn_mlp.make_classifier([4], "relu", batch_size=16, seed=0)
    records = list(sklearn_mlp.train_epochs(classifier, train, train, rates=[0.05] * 3, classes=2))
    network = sklearn_mlp.network_of(classifier)
    probabilities = numpy_mlp.cross_entropy(network.logits(train[0]), train[1])[1]
    np.testing.assert_allclose(probabilities, classifier.predict_proba(train[0]), rtol=1e-4, atol=1e-6)
    assert records[-1].validation_accuracy > 0.8


@pytest.mark.parametrize("implementation", ["numpy", "pytorch", "scikit-learn"])
def test_a_rate_far_too_large_ends_the_run_with_a_loss_that_is_no_number(implementation: str) -> None:
    train = (100 * blobs()[0], blobs()[1])
    if implementation == "scikit-learn":
        classifier = sklearn_mlp.make_classifier([8, 8], "linear", batch_size=16, seed=0)
        records = list(sklearn_mlp.train_epochs(classifier, train, train, rates=[5.0] * 50, classes=3))
    else:
        module = numpy_mlp if implementation == "numpy" else torch_mlp
        network = numpy_mlp.initialize([6, 8, 8, 3], "linear", seed=0)
        records = list(module.train_epochs(network, train, train, **{**PLAN, "rates": [5.0] * 50}))
    assert len(records) < 50
    assert not np.isfinite(records[-1].train_loss)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UnknownName, match=r"no activation named 'reluu'. Did you mean 'relu'"):
        numpy_mlp.initialize([2, 2], "reluu", seed=0)
    with pytest.raises(
        UnknownName, match=r"no initialization named 'zeros'. Choose one of xavier, he, small"
    ):
        numpy_mlp.initialize([2, 2], "relu", seed=0, initialization="zeros")


@pytest.mark.parametrize("implementation", ["numpy", "scikit-learn"])
def test_a_run_becomes_a_checkpoint_that_answers_as_measured(implementation: str, tmp_path: Path) -> None:
    from core.data.catalogue import open_dataset
    from core.evaluation.accuracy import measure
    from core.models.checkpoint import load_checkpoint
    from core.training.from_scratch import train_from_scratch

    folder = tmp_path / "run"
    plan: dict[str, Any] = {"dataset": "digits", "widths": "20", "epochs": 8, "batch_size": 16}
    settings = FromScratchSettings(implementation=implementation, **plan)
    records = list(train_from_scratch(folder, settings))
    assert [r.kind for r in records] == ["start", *["epoch"] * 8, "end"]
    assert records[0].settings["activation"] == "relu"
    assert records[-1].verdict
    classifier = load_checkpoint(folder)
    test = open_dataset("digits").splits["test"]
    metrics = classifier.card.metrics
    assert measure(classifier, test).accuracy == metrics["test"]["accuracy"] > 0.9
    best = max(r.validation_accuracy for r in of_kind(records, EpochRecord))
    assert metrics["validation"]["accuracy"] == best


def test_a_rate_of_nearly_nothing_stops_every_implementation() -> None:
    train = blobs()
    rates = [0.05, 1e-12]
    networks = []
    for implementation in (numpy_mlp, torch_mlp):
        network = numpy_mlp.initialize([6, 8, 3], "tanh", seed=2)
        records = implementation.train_epochs(network, train, None, rates=rates, batch_size=16, seed=0)
        networks.append((network, next(records), network.weights[0].copy(), list(records)))
    classifier = sklearn_mlp.make_classifier([8], "tanh", batch_size=16, seed=2)
    records = sklearn_mlp.train_epochs(classifier, train, None, rates=rates, classes=3)
    first = next(records)
    before = classifier.coefs_[0].copy()
    assert [r.learning_rate for r in (first, *records)] == rates
    np.testing.assert_allclose(classifier.coefs_[0], before, atol=1e-9)
    for network, first, before, rest in networks:
        assert [r.learning_rate for r in (first, *rest)] == rates
        np.testing.assert_allclose(network.weights[0], before, atol=1e-9)


def test_three_ways_are_three_histories_beside_one_checkpoint(tmp_path: Path) -> None:
    from core.models.checkpoint import load_card
    from core.training.from_scratch import train_three_ways

    folder = tmp_path / "perceptron"
    plan: dict[str, Any] = {"dataset": "digits", "widths": "20", "epochs": 3, "schedule": "linear"}
    settings = FromScratchSettings(implementation="numpy", **plan)
    for file, record in train_three_ways(folder, settings, command="as typed"):
        append_record(folder / file, record)
    assert variants(folder) == ["pytorch", "scikit-learn"]
    ends = {}
    for name in ("", "_pytorch", "_scikit-learn"):
        history = read_history(folder / f"history{name}.jsonl")
        assert [r.kind for r in history] == ["start", *["epoch"] * 3, "end"]
        assert [r.learning_rate for r in history[1:4]] == pytest.approx([0.1, 0.2 / 3, 0.1 / 3])
        ends[name] = history[-1].test.accuracy
    card = load_card(folder)
    assert card.command == "as typed"
    assert card.metrics["test"]["accuracy"] == ends[""]
    others = {name: figures["test"]["accuracy"] for name, figures in card.metrics["others"].items()}
    assert others == {"scikit-learn": ends["_scikit-learn"], "pytorch": ends["_pytorch"]}
    assert ends["_pytorch"] == pytest.approx(ends[""], abs=0.02)  # the same steps, but for rounding
