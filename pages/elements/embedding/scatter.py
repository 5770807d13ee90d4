"""Maps of thousands of images, drawn, searched and lassoed in the browser without a round trip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import streamlit as st
from PIL import Image

from core.data.images import encode
from pages.elements.component import component, with_head

_scatter = component(__file__, "scatter", "scatter_paint", "scatter_hands", "scatter_side")
NEIGHBORS_SHOWN = 10


class PlacedImage(TypedDict):
    """A new image in a map, as the browser gets it: its point, and the rows of the images nearest to it."""

    point: list[float]
    nearest: list[int]
    title: str


@dataclass(frozen=True)
class ImageMap:
    """One map.

    Attributes:
        title: Above it; `note` beneath the title.
        points: (N, 2 or 3) float32.
        predicted: (N,) index of the predicted class in the class names, or their number for any other class.
        confidence: (N,) 0…1.
        preserved: (N,) 0…1.
        true_near: (N, k) the nearest in the features.
        shown_near: (N, k) the nearest in the picture.
        placed: A new image.
    """

    title: str
    note: str
    points: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    preserved: np.ndarray
    true_near: np.ndarray
    shown_near: np.ndarray
    placed: PlacedImage | None = None


def scatter(
    maps: Sequence[ImageMap],
    rows: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    sprite: "Sprite",
    *,
    question: str,
    picked: int,
    has_predictions: bool,
    on_chosen: Callable[[int], None],
    key: str,
) -> None:
    """Draw maps of the same images side by side.

    Args:
        question: What the maps are of: while it stays, so do zoom and selection.
        picked: Index of the image that is marked, or −1.
        on_chosen: Called with the row of an image that was clicked.
    Shape:
        rows: (N,) int, the row of each image in its split
        labels: (N,) int
    """

    def chosen() -> None:
        state = st.session_state.get(key)
        row = state.get("chosen") if state else None
        if isinstance(row, int):
            on_chosen(row)

    _scatter(
        key=key,
        data=payload(
            maps, rows, labels, class_names, sprite,
            question=question, picked=picked, has_predictions=has_predictions,
        ),
        on_chosen_change=chosen,
    )  # fmt: skip


def payload(
    maps: Sequence[ImageMap],
    rows: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    sprite: "Sprite",
    *,
    question: str,
    picked: int,
    has_predictions: bool,
) -> bytes:
    """Everything the browser draws from: a length, a description as JSON, the arrays, then the pictures."""
    near = min(NEIGHBORS_SHOWN, *(map.true_near.shape[1] for map in maps))
    head = {
        "count": len(rows),
        "near": near,
        "classes": list(class_names),
        "predictions": has_predictions,
        "picked": picked,
        "question": question,
        "tile_width": sprite.width,
        "tile_height": sprite.height,
        "columns": sprite.columns,
        "maps": [
            {"title": m.title, "note": m.note, "dimensions": m.points.shape[1], "placed": m.placed}
            for m in maps
        ],
    }
    parts = [_aligned(rows, np.uint32), _aligned(labels, np.uint16)]
    for m in maps:
        parts += [
            _aligned(m.points, np.float32),
            _aligned(m.predicted, np.uint16),
            _aligned(np.round(m.confidence * 255), np.uint8),
            _aligned(np.round(m.preserved * 255), np.uint8),
            _aligned(m.true_near[:, :near], np.uint32),
            _aligned(m.shown_near[:, :near], np.uint32),
        ]
    return with_head(head, b"".join(parts) + sprite.jpeg)


def _aligned(values: np.ndarray, kind: type) -> bytes:
    data = np.ascontiguousarray(values).astype(kind).tobytes()
    return data + bytes(-len(data) % 4)


@dataclass(frozen=True)
class Sprite:
    """All pictures in one JPEG, row by row."""

    jpeg: bytes
    width: int
    height: int
    columns: int


def make_sprite(images: np.ndarray) -> Sprite:
    """All pictures in one; each at most 32 pixels a side where there are many, 64 or 96 where there are few.

    Shape:
        images: (N, H, W, 1 or 3) uint8
    """
    n, height, width = images.shape[:3]
    largest = 32 if n > 4000 else 64 if n > 1000 else 96
    scale = min(1.0, largest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    columns = int(np.ceil(np.sqrt(n * size[1] / size[0])))
    sheet = np.zeros((-(-n // columns) * size[1], columns * size[0], images.shape[3]), np.uint8)
    for i in range(n):
        picture = np.asarray(images[i])
        if scale < 1:
            plane = picture[..., 0] if picture.shape[2] == 1 else picture
            picture = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))
            picture = picture.reshape(size[1], size[0], -1)
        top, left = i // columns * size[1], i % columns * size[0]
        sheet[top : top + size[1], left : left + size[0]] = picture
    return Sprite(encode(sheet, "jpeg"), size[0], size[1], columns)
