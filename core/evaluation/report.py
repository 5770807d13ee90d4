"""All figures of one evaluation together, as the command line prints them."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from core.evaluation.calibration import calibration
from core.evaluation.confusion import accuracy, class_scores, confusion_matrix, top_k_accuracy
from core.evaluation.findings import Finding, findings
from core.evaluation.prediction import Predictions
from core.settings import JsonObject


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class, each with its 95% interval; `support` is how many images it has."""

    name: str
    support: int
    recall: float
    recall_interval: tuple[float, float]
    precision: float
    precision_interval: tuple[float, float]
    f1: float
    f1_interval: tuple[float, float]


@dataclass(frozen=True)
class EvaluationReport:
    """How good a classifier is on a split.

    Attributes:
        interval: The 95% interval of the accuracy.
        macro, weighted: Means of precision, recall and F1 over the classes.
        top_k: Accuracy by k, of 1, 3 and 5 as far as there are classes.
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    macro: dict[str, float]
    weighted: dict[str, float]
    by_class: list[ClassFigures]
    top_k: dict[int, float]
    calibration_error: float
    class_names: tuple[str, ...]
    matrix: np.ndarray
    findings: list[Finding]
    note: str

    def to_json(self) -> JsonObject:
        """What `json.dumps` takes."""
        values = dataclasses.asdict(self)
        values["matrix"] = self.matrix.tolist()
        values["by_class"] = [{"class": figures.pop("name"), **figures} for figures in values["by_class"]]
        return values


def evaluate(predictions: Predictions) -> EvaluationReport:
    """Every figure that follows from the predictions of a split."""
    k = predictions.number_of_classes
    matrix = confusion_matrix(predictions.labels, predictions.predicted, k)
    scores = class_scores(matrix)
    share, interval = accuracy(matrix)
    by_class = []
    for i, name in enumerate(predictions.class_names):
        recall, precision, f1 = (
            (float(values[i]), (float(low[i]), float(high[i])))
            for values, (low, high) in (
                (scores.recall, scores.recall_interval),
                (scores.precision, scores.precision_interval),
                (scores.f1, scores.f1_interval),
            )
        )
        by_class.append(ClassFigures(name, int(scores.support[i]), *recall, *precision, *f1))
    return EvaluationReport(
        images=len(predictions),
        accuracy=share,
        interval=interval,
        macro=scores.macro(),
        weighted=scores.weighted(),
        by_class=by_class,
        top_k={n: top_k_accuracy(predictions.logits, predictions.labels, n) for n in (1, 3, 5) if n <= k},
        calibration_error=calibration(predictions.confidence, predictions.correct).error,
        class_names=predictions.class_names,
        matrix=matrix,
        findings=findings(matrix, predictions.class_names),
        note=predictions.note,
    )
