"""Many images, each under several windows, on one sheet: as the reports of image classifiers show them."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.occlusion.occlusion import occlusion_logits
from core.occlusion.picture import Scale, scale_of, sheet
from core.occlusion.windows import number_of_places
from core.progress import Progress, no_progress
from core.settings import JsonObject

if TYPE_CHECKING:
    from core.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class DropMaps:
    """What several windows do to one image.

    Attributes:
        target: The class whose probability drops.
        base: Its probability on the whole image.
        maps: (number of windows, H, W) float32, the drop of every pixel.
        share_of_flips: (number of windows,) the share of places at which another class wins.
    """

    target: int
    base: float
    maps: np.ndarray
    share_of_flips: np.ndarray


@dataclass(frozen=True, eq=False)
class GalleryRow(DropMaps):
    """One image under several windows.

    Attributes:
        image: (H, W, C) uint8.
        name: What the image is called.
    """

    image: np.ndarray
    name: str

    @classmethod
    def of(cls, found: DropMaps, image: np.ndarray, name: str) -> "GalleryRow":
        """The drop maps of an image with that image."""
        return cls(found.target, found.base, found.maps, found.share_of_flips, image, name)


def drops_of_windows(
    classifier: "Classifier",
    image: np.ndarray,
    target: int | None,
    windows: Sequence[int],
    *,
    stride: int,
    fill: str = "gray",
    seed: int = 0,
    progress: Progress = no_progress,
) -> DropMaps:
    """The drop maps of one image under several windows.

    Args:
        target: The class to follow; the predicted one where it is None.
    Raises:
        SettingError: A window or the stride is larger than the image.
    """
    maps, flips, base = [], [], 0.0
    numbers = [number_of_places(image.shape[:2], window, stride) for window in windows]
    done = 0
    for window, number in zip(windows, numbers, strict=True):

        def here(share: float, note: str, done: int = done, number: int = number) -> None:
            progress((done + share * number) / sum(numbers), note)

        occluded = occlusion_logits(
            classifier, image, window=window, stride=stride, fill=fill, seed=seed, progress=here
        )
        target = occluded.predicted if target is None else target
        base = occluded.base(target)
        maps.append(occluded.map(target, "drop"))
        flips.append(occluded.share_of_flips)
        done += number
    assert target is not None, "there is no window"
    return DropMaps(target, base, np.stack(maps), np.array(flips))


def gallery_scale(rows: Sequence[GalleryRow]) -> Scale:
    """One scale for all maps of the sheet, so that they can be compared."""
    return scale_of(np.concatenate([row.maps.ravel() for row in rows]), "drop")


def gallery_sheet(rows: Sequence[GalleryRow], windows: Sequence[int], class_names: Sequence[str],
                  *, one_scale: bool = True, side: int = 144) -> np.ndarray:  # fmt: skip
    """The sheet as a picture: a row an image, a column a window.

    Args:
        one_scale: One scale for all; otherwise each row has its own, and says which.
    Shape:
        returns: (height, width, 3) uint8
    """
    scales = [gallery_scale(rows if one_scale else [row]) for row in rows]
    pictures = []
    for row, scale in zip(rows, scales, strict=True):
        image = np.repeat(row.image, 3, axis=2) if row.image.shape[2] == 1 else row.image
        pictures.append([image, *(scale.paint(drop) for drop in row.maps)])
    labels = [
        f"{row.name}: {class_names[row.target]} {row.base:.1%}; flips "
        + ", ".join(f"{share:.0%}" for share in row.share_of_flips)
        + ("" if one_scale else f"; ±{100 * scale.high:.2g} points")
        for row, scale in zip(rows, scales, strict=True)
    ]
    return sheet(pictures, ["image", *(f"{w} × {w}" for w in windows)], labels, side=side)


def gallery_archive(rows: Sequence[GalleryRow], windows: Sequence[int], about: JsonObject) -> bytes:
    """The same as a compressed .npz: images, maps, targets and figures, and `about` as JSON."""
    out = io.BytesIO()
    np.savez_compressed(
        out,
        images=np.stack([row.image for row in rows]),
        drops=np.stack([row.maps for row in rows]),
        windows=np.array(windows),
        targets=np.array([row.target for row in rows]),
        probabilities=np.array([row.base for row in rows]),
        share_of_flips=np.stack([row.share_of_flips for row in rows]),
        names=np.array([row.name for row in rows]),
        about=json.dumps(about),
    )
    return out.getvalue()
