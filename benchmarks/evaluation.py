"""Evaluating a split against the bare forward pass of the same network, in its best batch size."""

import numpy as np
import torch

from benchmarks import Row, alternate, bare_forward
from core.data.dataset import Split
from core.data.preprocessing import Preprocessing
from core.evaluation.confusion import class_scores, confusion_matrix
from core.evaluation.prediction import predict_split, predictions_of
from core.models.card import ModelCard
from core.models.checkpoint import build
from core.models.classifier import Classifier

IMAGES, CLASSES = 16_000, tuple("abcdefghij")


def measure() -> list[Row]:
    """From pixels to the matrix and its figures; theirs is the module alone on inputs that are ready."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, IMAGES)
    split = Split(rng.integers(0, 256, (IMAGES, 28, 28, 1), np.uint8), labels)
    card = ModelCard("benchmark", "small_cnn", CLASSES, Preprocessing((28, 28), (0.3,), (0.35,), channels=1))
    torch.manual_seed(0)
    classifier = Classifier(build(card), card)
    inputs = classifier.inputs(split.images)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = predict_split(classifier, split)
        predictions = predictions_of(found["ours"], split, CLASSES, CLASSES)
        class_scores(confusion_matrix(predictions.labels, predictions.predicted, len(CLASSES)))

    bare, size = bare_forward(classifier.module, inputs, (64, 256, 1024))

    def theirs() -> None:
        found["theirs"] = bare().numpy()

    mine, other = alternate(ours, theirs, 9)
    difference = float(np.abs(found["ours"] - found["theirs"]).max())
    return [
        Row(
            f"Evaluation: logits, matrix and figures of {IMAGES:,} images, small_cnn at 28 × 28",
            f"the forward pass alone, {size} a batch",
            mine,
            other,
            f"logits differ by {difference:.1e}",
        )
    ]
