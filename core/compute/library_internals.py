"""What Convoscope uses of scikit-learn and umap-learn that they do not promise to keep.

Each function here says when it is gone, and its caller then goes a public way.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

# The loss, how many were right, how many images, and the gradients of one batch.
Tell = Callable[[float, int, int, list[np.ndarray]], None]


def watched_classifier(**settings: Any) -> "MLPClassifier":
    """A classifier of scikit-learn that calls its attribute `tell` after each batch, if it has one.

    Should scikit-learn change how it computes the gradients, `tell` is never called.
    """
    from sklearn.neural_network import MLPClassifier

    class Watched(MLPClassifier):
        tell: Tell | None = None

        def _backprop(self, X: Any, y: Any, *rest: Any) -> Any:
            loss, by_weights, by_biases = super()._backprop(X, y, *rest)
            if self.tell is not None:
                # The layers' outputs stand before the three lists that were filled with the gradients.
                probabilities = rest[-4][-1]
                truth = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
                found = probabilities.argmax(axis=1) if y.shape[1] > 1 else probabilities[:, 0] > 0.5
                self.tell(float(loss), int((found == truth).sum()), len(y), by_weights + by_biases)
            return loss, by_weights, by_biases

    return Watched(**settings)


def set_rate(classifier: "MLPClassifier", rate: float) -> bool:
    """Let the next steps of a classifier have this learning rate; whether that was possible.

    The optimizer is made by the first step and keeps a copy of the rate.
    """
    classifier.learning_rate_init = rate
    if not hasattr(classifier, "coefs_"):
        return True  # no step yet
    optimizer = getattr(classifier, "_optimizer", None)
    if optimizer is None or not hasattr(optimizer, "learning_rate"):
        return False
    optimizer.learning_rate = optimizer.learning_rate_init = rate
    return True


def umap_among_neighbors(fitted: Any, points: np.ndarray, distances: np.ndarray) -> np.ndarray | None:
    """Where UMAP places new points in a picture whose neighbors were found by others; None if it cannot.

    Args:
        fitted: The UMAP that was fitted to the images of the picture, with `precomputed_knn`.
    Shape:
        points: (N, d), the picture
        distances: (M, N), from the new images to those of the picture
        returns: (M, d)
    """
    # The finished picture in place of none, and exact distances in place of a search index.
    fitted.embedding_, fitted.n_epochs = points, None
    fitted.metric, fitted._knn_search_index = "precomputed", True
    try:
        return np.asarray(fitted.transform(distances), np.float32)
    except (NotImplementedError, AttributeError, AssertionError, TypeError):
        return None
