"""Train one multi-layer perceptron by hand in NumPy, with scikit-learn or with PyTorch, to compare them."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn

from core.data.catalogue import open_for_training
from core.data.dataset import Split
from core.data.fitting import fitted
from core.data.preprocessing import Preprocessing, normalize
from core.evaluation.accuracy import measure
from core.history import FILE, Record, history_file
from core.models.card import ModelCard
from core.models.checkpoint import CARD, build, load_card, save_checkpoint
from core.models.classifier import Classifier
from core.paths import write_whole
from core.runs.verdict import verdict
from core.settings import Choice, Range, Text, numbers_in
from core.training import numpy_mlp
from core.training.data import TrainingData, prepare
from core.training.folder import machine, versions
from core.training.optimizers import rate_factor

IMPLEMENTATIONS = ("numpy", "scikit-learn", "pytorch")


def train_from_scratch(
    folder: Path,
    *,
    implementation: Annotated[str, Choice(*IMPLEMENTATIONS)] = "numpy",
    dataset: Annotated[str, Text(r"\S.*", "fashion_mnist")] = "fashion_mnist",
    widths: Annotated[str, Text(r"|[1-9]\d*(,[1-9]\d*)*", "256,128")] = "256,128",
    activation: Annotated[str, Choice(*numpy_mlp.ACTIVATIONS)] = "relu",
    learning_rate: Annotated[float, Range(1e-6, 10, logarithmic=True)] = 0.1,
    schedule: Annotated[str, Choice("constant", "linear", "cosine")] = "constant",
    batch_size: Annotated[int, Range(1, 4096)] = 64,
    epochs: Annotated[int, Range(1, 1000)] = 30,
    initialization: Annotated[str, Choice(*numpy_mlp.INITIALIZATIONS)] = "xavier",
    pixels: Annotated[str, Choice("0 to 1", "standardised")] = "0 to 1",
    validation: Annotated[float, Range(0, 0.5)] = 0.1,
    train_images: Annotated[int | None, Range(2, 10_000_000)] = None,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    command: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Mini-batch gradient descent and nothing else: no momentum, no weight decay.

    NumPy and PyTorch begin with the same weights and see the same batches, so their curves are equal but for
    rounding; scikit-learn draws its own. The best epoch's weights become a checkpoint of the architecture
    `mlp`. The caller writes the records to `history.jsonl`.

    A network without nonlinearity at the rate 0.1 shows how training dies: activation="linear",
    batch_size=13, initialization="small", pixels="standardised", epochs=50 on Fashion-MNIST with seed 0 falls
    to a loss of 0.56, its gradient norm creeps up from 2.64 to 2.77, and in epoch 24 all is NaN (seed and
    machine move the epoch). Small batches make noise at a large rate, noise makes the first layer's weights
    grow, longer weights make the loss steeper, until a step leaps over the valley to where it is steeper
    still. Batches of 16 break in epoch 8, batches of 20 and 32 survive 24 and more; a bounded activation such
    as tanh cannot run away like this. In seconds: dataset="digits", widths="128,64", learning_rate=0.2,
    batch_size=16, epochs=60 and the rest as above breaks in epoch 38, its gradient norm up from 0.25 to 3.7.

    Args:
        folder: The run's own folder.
        implementation: Who computes: NumPy by hand, scikit-learn's MLPClassifier, or PyTorch's autograd.
        dataset: Name of a data set.
        widths: Neurons of each hidden layer, separated by commas.
        activation: Between the layers. With "linear" the whole network is one linear map, however deep.
        learning_rate: What the gradient is multiplied by at every step, in the first epoch.
        schedule: How the rate falls from epoch to epoch, to nearly nothing in the last.
        batch_size: Images a step.
        epochs: How often every training image is seen.
        initialization: Of the weights, by NumPy and PyTorch.
        pixels: What the network gets: values of 0 to 1, or brought to mean 0 and deviation 1.
        validation: Share of the training images held out to choose the best epoch.
        train_images: Train on so many images only, drawn with the classes in proportion.
        seed: Of weights and order.
        stop: Asked after every epoch.
    Yields:
        "start", then an "epoch" record each, then "end".
    """
    opened = open_for_training(dataset)
    data = prepare(
        opened, input_size=None, channels=None, validation=validation, train_images=train_images, seed=seed
    )
    if pixels == "0 to 1":
        zeros, ones = (0.0,) * data.preprocessing.channels, (1.0,) * data.preprocessing.channels
        data = dataclasses.replace(
            data, preprocessing=dataclasses.replace(data.preprocessing, mean=zeros, std=ones)
        )
    train = _inputs(data.train, data.preprocessing)
    held_out = _inputs(data.validation, data.preprocessing) if data.validation is not None else None
    sizes = [train[0].shape[1], *numbers_in(widths), opened.number_of_classes]
    yield {
        "kind": "start", "epochs": epochs, "steps_an_epoch": -(-len(train[1]) // batch_size),
        "train_images": len(train[1]), "validation_images": 0 if held_out is None else len(held_out[1]),
        "device": "cpu", "implementation": implementation,
        "parameters": sum(a * b + b for a, b in pairwise(sizes)),
        "settings": {
            "implementation": implementation, "dataset": dataset, "architecture": "mlp", "widths": widths,
            "activation": activation, "learning_rate": learning_rate, "schedule": schedule,
            "batch_size": batch_size, "epochs": epochs, "initialization": initialization, "pixels": pixels,
            "validation": validation, "train_images": train_images, "seed": seed,
        },
    }  # fmt: skip
    records, weights_now = _start(
        implementation, sizes, activation, initialization, train, held_out,
        rates=[learning_rate * rate_factor(schedule, epoch / epochs) for epoch in range(epochs)],
        batch_size=batch_size, seed=seed,
    )  # fmt: skip
    past: list[Record] = []
    best: Record | None = None
    kept: numpy_mlp.NumpyMLP | None = None
    stopped = False
    for record in records:
        past.append(record)
        yield record
        if not np.isfinite(record["train_loss"]):
            break
        if best is None or record.get("validation_accuracy", 0) > best.get("validation_accuracy", -1):
            best, kept = record, _copy(weights_now())
        if stop():
            stopped = True
            break
    metrics: dict[str, Any] = {}
    if best is not None and kept is not None:
        card = ModelCard(
            name=folder.name, architecture="mlp", settings={"widths": widths, "activation": activation},
            class_names=opened.class_names, preprocessing=data.preprocessing,
            title=f"MLP ({activation}, {implementation}) on {opened.title}", dataset=opened.name,
            dataset_fingerprint=data.fingerprint, command=command, seed=seed, license=opened.license,
            versions=_versions(implementation),
        )  # fmt: skip
        module = _module(card, kept)
        metrics = _metrics(module, card, data, past, best)
        save_checkpoint(folder, module, dataclasses.replace(card, metrics=metrics))
    if stopped:
        return
    words = verdict(past, planned_epochs=epochs, learning_rate=learning_rate)
    broken = not np.isfinite(past[-1]["train_loss"])
    yield {
        "kind": "end", "reason": "not finite" if broken else "all epochs done", "verdict": words.sentence,
        "best_epoch": words.best_epoch, "metrics": metrics,
    }  # fmt: skip


def train_three_ways(folder: Path, *, implementation: str, **settings: Any) -> Iterator[tuple[str, Record]]:
    """`train_from_scratch`, then the same by the other implementations, of which only the histories are kept.

    The card of the first tells under "others" what they reached.

    Yields:
        The file in the folder that a record belongs to, and the record.
    """
    for record in train_from_scratch(folder, implementation=implementation, **settings):
        yield FILE, record
    for other in (one for one in IMPLEMENTATIONS if one != implementation):
        with tempfile.TemporaryDirectory() as elsewhere:
            for record in train_from_scratch(Path(elsewhere), implementation=other, **settings):
                yield history_file(other), record
        if record["kind"] == "end" and (folder / CARD).exists():
            card = load_card(folder)
            figures = {
                name: record["metrics"][name] for name in ("test", "training") if name in record["metrics"]
            }
            others = {**card.metrics.get("others", {}), other: figures}
            card = dataclasses.replace(card, metrics={**card.metrics, "others": others})
            write_whole(folder / CARD, card.to_json().encode())


def _inputs(split: Split, preprocessing: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Normalized pixels in one row an image, in the order of PyTorch's flatten, and the labels."""
    images = fitted(split.images, preprocessing)(np.arange(len(split)))
    return normalize(images, preprocessing).reshape(len(images), -1), split.labels


def _start(
    implementation: str, sizes: list[int], activation: str, initialization: str,
    train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray] | None, *,
    rates: list[float], batch_size: int, seed: int,
) -> tuple[Iterator[Record], Callable[[], numpy_mlp.NumpyMLP]]:  # fmt: skip
    """The records of an implementation, and a function that tells its weights of the moment."""
    plan: dict[str, Any] = {"rates": rates, "batch_size": batch_size, "seed": seed}
    if implementation == "scikit-learn":
        from core.training import sklearn_mlp

        classifier = sklearn_mlp.make_classifier(sizes[1:-1], activation, batch_size=batch_size, seed=seed)
        records = sklearn_mlp.train_epochs(classifier, train, held_out, rates=rates, classes=sizes[-1])
        return records, lambda: sklearn_mlp.network_of(classifier)
    network = numpy_mlp.initialize(sizes, activation, seed=seed, initialization=initialization)
    if implementation == "pytorch":
        from core.training import torch_mlp

        return torch_mlp.train_epochs(network, train, held_out, **plan), lambda: network
    return numpy_mlp.train_epochs(network, train, held_out, **plan), lambda: network


def _copy(network: numpy_mlp.NumpyMLP) -> numpy_mlp.NumpyMLP:
    return numpy_mlp.NumpyMLP(
        [w.copy() for w in network.weights], [b.copy() for b in network.biases], network.activation
    )


def _module(card: ModelCard, network: numpy_mlp.NumpyMLP) -> nn.Module:
    """The weights in the architecture `mlp`."""
    module = build(card)
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for part, weight, bias in zip(linear, network.weights, network.biases, strict=True):
            part.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            part.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
    return module


def _metrics(
    module: nn.Module, card: ModelCard, data: TrainingData, past: list[Record], best: Record
) -> dict[str, Any]:
    """What the best epoch's weights reach on the test images, and what it took to get there."""
    metrics: dict[str, Any] = {}
    if data.test is not None:
        metrics["test"] = measure(Classifier(module, card, device=torch.device("cpu")), data.test)
    if "validation_accuracy" in best:
        metrics["validation"] = {k: best[f"validation_{k}"] for k in ("accuracy", "loss")}
    metrics["training"] = {
        "epochs": len(past),
        "best_epoch": best["epoch"],
        "seconds": round(sum(record["seconds"] for record in past), 1),
        "machine": machine(),
        "parameters": sum(p.numel() for p in module.parameters()),
    }
    return metrics


def _versions(implementation: str) -> dict[str, str]:
    if implementation != "scikit-learn":
        return versions()
    return {**versions(), "scikit-learn": version("scikit-learn")}
