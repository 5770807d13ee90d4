"""The picture that gradient ascent made, scrubbed in the browser beside its curve and the best image."""

from typing import Any

import numpy as np

from core.data.images import encode
from core.feature_visualization.visualize import Frame
from pages.elements.component import component, with_head

_film = component(__file__, "film")
LARGEST_LOSSLESS_SIDE = 64  # pixels of a side up to which frames travel without loss


def film(
    frames: tuple[Frame, ...] | list[Frame],
    unit: str,
    *,
    planned: int,
    what: str,
    best: float,
    among: str,
    best_words: str,
    real: np.ndarray,
    largest: tuple[float, str] | None,
    key: str,
) -> None:
    """Draw the frames with what they reach.

    Args:
        frames: The picture after some steps.
        unit: What the picture is made for, in words.
        planned: How many steps were asked for; the frames may end before.
        what: What the steps increase, in words.
        best: The strongest answer to a real image, by the same measure.
        among: What the best was found in: "360 images of Digits, test".
        best_words: Which image it is.
        real: (H, W, C) uint8, the best real image.
        largest: The same two for the largest value of the map, where the steps increase something else.
    """
    kind = "png" if max(frames[0].pixels.shape[:2]) <= LARGEST_LOSSLESS_SIDE else "jpeg"
    pictures = [encode(pixels, kind) for pixels in (*(frame.pixels for frame in frames), real)]
    head: dict[str, Any] = {
        "id": f"{unit} {planned}",
        "unit": unit,
        "planned": planned,
        "what": what,
        "best": best,
        "among": among,
        "best_words": best_words,
        "largest": largest,
        "type": f"image/{kind}",
        "width": frames[0].pixels.shape[1],
        "frames": [
            {"step": frame.step, "objective": frame.objective, "activation": frame.activation}
            for frame in frames
        ],
        "sizes": [len(picture) for picture in pictures],
    }
    _film(key=key, data=with_head(head, b"".join(pictures)))
