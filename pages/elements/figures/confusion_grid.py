"""The clickable confusion matrix; `confusion_grid.js` draws it in the browser."""

from collections.abc import Callable, Sequence

import numpy as np

from core.evaluation.confusion import normalized
from pages.elements.component import component, with_head

_confusion_grid = component(__file__, "confusion_grid")
Cell = tuple[int, int]


def confusion_grid(
    matrix: np.ndarray,
    class_names: Sequence[str],
    *,
    key: str,
    order: np.ndarray | None = None,
    normalize: str | None = None,
    mute_diagonal: bool = False,
    values: np.ndarray | None = None,
    signed: bool = False,
    labels: tuple[str, str] = ("", ""),
    limit: float | None = None,
    selected: Cell | None = None,
    on_pick: Callable[[], None] = lambda: None,
) -> None:
    """Draw a matrix of 1 to 1,000 classes. A pick is `st.session_state[key]["picked"]`, [true, predicted].

    Args:
        matrix: (K, K) counts, or differences of counts where `signed`.
        order: In which the classes stand; picks are indices of the classes as given, −1 for all others.
        values: (K, K) that are shown and colored in place of the normalized counts.
        labels: What a difference below and above 0 means.
        limit: The value with the fullest color; of this matrix where it is None.
        selected: A cell to be marked.
    """
    ids = np.arange(len(matrix)) if order is None else order
    shown = normalized(matrix, normalize) if values is None else values
    head = {
        "names": [str(class_names[i]) for i in ids.tolist()],
        "ids": ids.tolist(),
        "share": normalize is not None,
        "mute": mute_diagonal,
        "signed": signed,
        "labels": labels,
        "limit": limit,
        "selected": list(selected) if selected else None,
        "hint": "Click a cell, or a class's name for all its errors. With the keyboard: arrows, then Enter.",
    }
    square = np.ix_(ids, ids)
    body = shown[square].astype("<f4").tobytes() + matrix[square].astype("<i4").tobytes()
    _confusion_grid(key=key, data=with_head(head, body), on_picked_change=on_pick)
