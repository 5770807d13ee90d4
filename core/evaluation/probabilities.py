"""From logits to probabilities, without PyTorch: pages do it with stored answers."""

import numpy as np

from core.evaluation.finite import check_finite


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, shifted by the maximum so that nothing overflows.

    Shape:
        logits: (..., K)
        returns: (..., K), each row summing to 1
    Raises:
        NotFinite: A logit is NaN or infinite.
    """
    check_finite(logits, "logits")
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return total
