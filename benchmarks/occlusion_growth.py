"""How the cost of an occlusion map grows with the image and with the number of places, against the bound.

The bound is the multiplications that are left, against those of whole passes: what they would take at the
speed of a whole pass. Also written to occlusion_growth.json beside this file, to be drawn.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import Row
from benchmarks.occlusion import against_passes, untrained
from core.incremental_occlusion import share_of_multiplications
from core.occlusion import places

FILE = Path(__file__).with_suffix(".json")
SIDES = (112, 160, 224, 320)
STRIDES = (64, 32, 16, 8)


@dataclass(frozen=True)
class Point:
    """One map: its seconds, those of whole passes, and the bound, in seconds."""

    grows: str
    side: int
    window: int
    places: int
    ours: float
    passes: float
    bound: float


def measure() -> list[Row]:
    rows, points = [], []
    asked = [("image", side, side // 16) for side in SIDES] + [("places", 224, stride) for stride in STRIDES]
    for grows, side, stride in asked:
        classifier = untrained("resnet18", side)
        window = side // 7 | 1
        title = f"ResNet18 at {side}, window {window}, stride {stride}"
        row, count = against_passes(title, classifier, window, stride)
        tops = places(side, window, stride)
        corners = np.array([(top, left) for top in tops for left in tops])
        share = share_of_multiplications(classifier, np.zeros((side, side, 3), np.uint8), corners, window)
        points.append(Point(grows, side, window, count, row.ours, row.theirs, share * row.theirs))
        rows.append(row)
    FILE.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n", encoding="utf-8")
    return rows
