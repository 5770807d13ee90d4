"""A feature visualization to take away: one picture, the steps as an animation, or all as arrays."""

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from core.data.images import enlarge
from core.feature_visualization.visualize import Frame, Visualization

ENLARGED_SIDE = 224  # pixels; smaller pictures are enlarged to about this, without blur


def facts_of(made: Visualization, classifier: str, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What was made and how, as JSON values."""
    unit, last = made.unit, made.frames[-1]
    return {
        "classifier": classifier,
        "unit": unit.title(class_names),
        "layer": unit.layer,
        "channel": unit.channel,
        "place": None if unit.place is None else list(unit.place),
        "settings": dataclasses.asdict(made.settings),
        "steps": [frame.step for frame in made.frames],
        "objectives": [frame.objective for frame in made.frames],
        "activations": [frame.activation for frame in made.frames],
        "objective": last.objective,
        "activation": last.activation,
        "engine": made.engine,
        "note": made.note,
    }


def npz_bytes(made: Visualization, facts: dict[str, Any]) -> bytes:
    """All frames, the curve and the logits; `about` is `facts` as JSON."""
    out = io.BytesIO()
    np.savez_compressed(
        out, image=made.frames[-1].pixels, frames=np.stack([frame.pixels for frame in made.frames]),
        steps=np.array(facts["steps"]), objective_of_every_step=made.objectives, logits=made.logits,
        about=json.dumps(facts),
    )  # fmt: skip
    return out.getvalue()


def animation(frames: Sequence[Frame], kind: str = "webp", *, milliseconds: int = 120) -> bytes:
    """The frames one after the other, the last one for two seconds, without end.

    Args:
        kind: "webp" (exact colors, smaller) or "gif" (256 colors, opens anywhere).
    """
    pictures = [Image.fromarray(_rgb(enlarge(frame.pixels, ENLARGED_SIDE))) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [2000]
    out = io.BytesIO()
    options: dict[str, Any] = {"lossless": True, "method": 2} if kind == "webp" else {"optimize": False}
    pictures[0].save(
        out, kind.upper(), save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options
    )
    return out.getvalue()


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
