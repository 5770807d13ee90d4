"""Train one multi-layer perceptron by hand in NumPy, with scikit-learn or with PyTorch, to compare them."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.data.catalogue import open_for_training
from core.data.dataset import ImageDataset, Split
from core.data.fitting import fitted
from core.data.preprocessing import Preprocessing, normalize
from core.history import FILE, EndRecord, EpochRecord, Record, StartRecord, history_file
from core.models.card import ModelCard
from core.models.checkpoint import CARD, build, load_card, save_checkpoint
from core.models.classifier import Classifier
from core.paths import write_whole
from core.settings import JsonObject
from core.training import numpy_mlp
from core.training.data import TrainingData, prepare
from core.training.folder import versions
from core.training.from_scratch_settings import FROM_ZERO_TO_ONE, IMPLEMENTATIONS, FromScratchSettings
from core.training.results import end_record, measured
from core.training.train import never

Labeled = tuple[np.ndarray, np.ndarray]  # inputs (N, F) float32 and labels (N,) int64


def train_from_scratch(
    folder: Path,
    settings: FromScratchSettings,
    *,
    command: str = "",
    stop: Callable[[], bool] = never,
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
        command: The shell command that the card is to name.
        stop: Asked after every epoch.
    Yields:
        A "start", then an "epoch" record each, then an "end" unless it was stopped.
    """
    task = _task_of(settings)
    yield task.start_record()
    records, weights_now = _implementation(task)
    past: list[EpochRecord] = []
    best: EpochRecord | None = None
    kept: numpy_mlp.NumpyMLP | None = None
    stopped = broken = False
    for record in records:
        past.append(record)
        yield record
        if broken := record.train_loss is None or not np.isfinite(record.train_loss):
            break
        if best is None or (record.validation_accuracy or 0) > (best.validation_accuracy or -1):
            best, kept = record, _copy(weights_now())
        if stopped := stop():
            break
    metrics: JsonObject = {}
    if best is not None and kept is not None:
        metrics = _store(folder, task, kept, past, best, command)
    if not stopped:
        yield end_record(past, best, metrics, broken, settings.epochs, settings.learning_rate)


def train_three_ways(
    folder: Path, settings: FromScratchSettings, *, command: str = ""
) -> Iterator[tuple[str, Record]]:
    """`train_from_scratch`, then the same by the other implementations, of which only the histories are kept.

    The card of the first tells under "others" what they reached.

    Yields:
        The file in the folder that a record belongs to, and the record.
    """
    for record in train_from_scratch(folder, settings, command=command):
        yield FILE, record
    for other in (one for one in IMPLEMENTATIONS if one != settings.implementation):
        with tempfile.TemporaryDirectory() as elsewhere:
            theirs = dataclasses.replace(settings, implementation=other)
            for record in train_from_scratch(Path(elsewhere), theirs):
                yield history_file(other), record
        if isinstance(record, EndRecord) and (folder / CARD).exists():
            card = load_card(folder)
            figures = {name: record.metrics[name] for name in ("test", "training") if name in record.metrics}
            others = {**card.metrics.get("others", {}), other: figures}
            card = dataclasses.replace(card, metrics={**card.metrics, "others": others})
            write_whole(folder / CARD, card.to_json().encode())


@dataclass(frozen=True)
class _Task:
    """What is to be learned.

    Attributes:
        sizes: The number of inputs, of neurons in each hidden layer, and of classes.
    """

    settings: FromScratchSettings
    opened: ImageDataset
    data: TrainingData
    train: Labeled
    held_out: Labeled | None
    sizes: list[int]

    def start_record(self) -> StartRecord:
        return StartRecord(
            epochs=self.settings.epochs,
            steps_an_epoch=-(-len(self.train[1]) // self.settings.batch_size),
            train_images=len(self.train[1]),
            validation_images=0 if self.held_out is None else len(self.held_out[1]),
            device="cpu",
            implementation=self.settings.implementation,
            parameters=sum(a * b + b for a, b in pairwise(self.sizes)),
            settings=self.settings.as_values(),
        )


def _task_of(settings: FromScratchSettings) -> _Task:
    opened = open_for_training(settings.dataset)
    data = prepare(
        opened, input_size=None, channels=None, validation=settings.validation,
        train_images=settings.train_images, seed=settings.seed,
    )  # fmt: skip
    if settings.pixels == FROM_ZERO_TO_ONE:
        channels = data.preprocessing.channels
        zero_to_one = dataclasses.replace(data.preprocessing, mean=(0.0,) * channels, std=(1.0,) * channels)
        data = dataclasses.replace(data, preprocessing=zero_to_one)
    train = _inputs(data.train, data.preprocessing)
    held_out = _inputs(data.validation, data.preprocessing) if data.validation is not None else None
    sizes = [train[0].shape[1], *settings.hidden_widths, opened.number_of_classes]
    return _Task(settings, opened, data, train, held_out, sizes)


def _store(
    folder: Path, task: _Task, network: numpy_mlp.NumpyMLP, past: Sequence[EpochRecord], best: EpochRecord,
    command: str,
) -> JsonObject:  # fmt: skip
    """Save the best weights as a checkpoint; its metrics."""
    settings, opened = task.settings, task.opened
    card = ModelCard(
        name=folder.name,
        architecture="mlp",
        settings={"widths": settings.widths, "activation": settings.activation},
        class_names=opened.class_names,
        preprocessing=task.data.preprocessing,
        title=f"MLP ({settings.activation}, {settings.implementation}) on {opened.title}",
        dataset=opened.name,
        dataset_fingerprint=task.data.fingerprint,
        command=command,
        seed=settings.seed,
        license=opened.license,
        versions=_versions(settings.implementation),
    )
    module = _module(card, network)
    classifier = Classifier(module, card, device=torch.device("cpu"))
    metrics = measured(classifier, task.data.test, past, best)
    save_checkpoint(folder, module, dataclasses.replace(card, metrics=metrics))
    return metrics


def _inputs(split: Split, preprocessing: Preprocessing) -> Labeled:
    """Normalized pixels in one row an image, in the order of PyTorch's flatten, and the labels."""
    images = fitted(split.images, preprocessing)(np.arange(len(split)))
    return normalize(images, preprocessing).reshape(len(images), -1), split.labels


def _implementation(task: _Task) -> tuple[Iterator[EpochRecord], Callable[[], numpy_mlp.NumpyMLP]]:
    """The records of an implementation, and a function that tells its weights of the moment."""
    settings, sizes = task.settings, task.sizes
    rates, batch_size, seed = settings.rates, settings.batch_size, settings.seed
    if settings.implementation == "scikit-learn":
        from core.training import sklearn_mlp

        classifier = sklearn_mlp.make_classifier(
            sizes[1:-1], settings.activation, batch_size=batch_size, seed=seed
        )
        records = sklearn_mlp.train_epochs(
            classifier, task.train, task.held_out, rates=rates, classes=sizes[-1]
        )
        return records, lambda: sklearn_mlp.network_of(classifier)
    network = numpy_mlp.initialize(
        sizes, settings.activation, seed=seed, initialization=settings.initialization
    )
    train_epochs = numpy_mlp.train_epochs
    if settings.implementation == "pytorch":
        from core.training.torch_mlp import train_epochs

    records = train_epochs(network, task.train, task.held_out, rates=rates, batch_size=batch_size, seed=seed)
    return records, lambda: network


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


def _versions(implementation: str) -> dict[str, str]:
    if implementation != "scikit-learn":
        return versions()
    return {**versions(), "scikit-learn": version("scikit-learn")}
