"""What a classifier answers about one image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.evaluation.probabilities import probabilities
from core.models.card import ModelCard
from core.models.question import Question
from core.progress import Progress
from pages.elements.ask import asked

if TYPE_CHECKING:  # pages are drawn while PyTorch is still being imported
    from core.models.classifier import Classifier


@dataclass(frozen=True)
class OneAnswer:
    """What a classifier answers about one image.

    Shape:
        logits: (K,) float32
    """

    logits: np.ndarray


def predicted(classifier: str, pixels: np.ndarray, sha256: str) -> np.ndarray:
    """(K,) logits of one image that was cut already."""

    def analysis(classifier: "Classifier", progress: Progress) -> OneAnswer:
        return OneAnswer(classifier.predict_logits(pixels[None], progress=progress)[0])

    question = Question("one answer", classifier, OneAnswer, (sha256,))
    return asked(question, analysis, quick=True, message="Looking at the image").logits


def top_classes(card: ModelCard, logits: np.ndarray, n: int = 5) -> list[tuple[str, float]]:
    """The most probable classes with their probabilities, the first first."""
    shares = probabilities(logits.astype(np.float64))
    return [(card.class_names[i], float(shares[i])) for i in np.argsort(-shares)[:n]]
