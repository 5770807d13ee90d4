"""A row of pictures that can be clicked."""

from collections.abc import Callable, Sequence

import numpy as np

from pages.elements.component import component, with_head

_picture_row = component(__file__, "picture_row")


def picture_row(
    pictures: np.ndarray,
    captions: Sequence[str],
    ids: Sequence[int],
    *,
    key: str,
    title: str,
    on_pick: Callable[[], None],
) -> None:
    """Draw pictures that can be clicked; a click is `st.session_state[key]["picked"]`, the picture's id.

    Args:
        pictures: (N, height, width, 4) uint8, shown pixel by pixel.
        title: What a click does.
    """
    items = [{"caption": caption, "id": int(i)} for caption, i in zip(captions, ids, strict=True)]
    head = {"items": items, "height": pictures.shape[1], "width": pictures.shape[2], "title": title}
    _picture_row(
        key=key, data=with_head(head, np.ascontiguousarray(pictures).tobytes()), on_picked_change=on_pick
    )
