"""Pictures of a split that can be clicked: a click makes one the chosen image of every page."""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from PIL import Image

from core.data.dataset import Split
from core.evaluation.prediction import Predictions
from pages.elements.component import component, with_head
from pages.elements.pickers.chosen_image import keep_image_in_address, set_chosen_image

_image_wall = component(__file__, "image_wall")
LARGEST_SENT_SIDE = 112  # pixels of a side that are sent
LINES_PER_PICTURE = 3  # probabilities under each picture


def image_wall(
    predictions: Predictions,
    positions: np.ndarray,
    split: Split,
    *,
    dataset: str,
    split_name: str,
    key: str,
    a_page: int = 24,
    beside: bool = False,
) -> None:
    """Draw images with their probabilities, page by page.

    Args:
        positions: Of the images in `predictions`, in the order in which they are drawn.
        beside: They scroll by themselves, so that what they stand beside stays in sight.
        dataset: The catalogue's name of the data set that `split`, named `split_name`, is of.
    """
    pages = -(-len(positions) // a_page)
    number = 1
    if pages > 1:
        if st.session_state.get(f"{key}_page", 1) > pages:
            st.session_state[f"{key}_page"] = 1
        number = st.pagination(pages, key=f"{key}_page")
    some = positions[(number - 1) * a_page : number * a_page]
    if not len(some):
        return

    def pick() -> None:
        state = st.session_state.get(key)
        picked = state.get("picked") if state else None
        if isinstance(picked, int) and 0 <= picked < len(split):
            set_chosen_image(dataset, split_name, picked)

    keep_image_in_address()
    chosen = str(st.session_state.get("chosen_image", "")).split("/")
    mine = chosen[:2] == [dataset, split_name] and len(chosen) == 3 and chosen[2].isdigit()
    pictures = _thumbnails(split.images[predictions.rows[some]])
    head = {
        "tiles": [_tile(predictions, int(position)) for position in some],
        "height": pictures.shape[1],
        "width": pictures.shape[2],
        "beside": beside,
        "chosen": int(chosen[2]) if mine else None,
    }
    _image_wall(key=key, data=with_head(head, pictures.tobytes()), on_picked_change=pick)


def _tile(predictions: Predictions, position: int) -> dict[str, object]:
    shares = predictions.probabilities[position]
    label, said = int(predictions.labels[position]), int(predictions.predicted[position])
    lines = [int(i) for i in np.argsort(-shares)[:LINES_PER_PICTURE]]
    if label not in lines:
        lines[-1] = label
    names: Sequence[str] = predictions.class_names
    title = f"{names[label]}" if label == said else f"{names[label]} → {names[said]}"
    return {
        "id": int(predictions.rows[position]),
        "title": title,
        "lines": [[names[i], float(shares[i]), i == label] for i in lines],
    }


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """(N, h, w, 3) uint8, at most 112 pixels a side."""
    height, width = images.shape[1:3]
    images = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else np.asarray(images)
    if max(height, width) <= LARGEST_SENT_SIDE:
        return np.ascontiguousarray(images)
    scale = LARGEST_SENT_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack([np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BOX)) for i in images])
