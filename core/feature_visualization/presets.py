"""Feature visualization as a course's report did it, for any network."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import SettingError
from core.feature_visualization.visualize import PIXELS
from core.network.unit import Unit

# Layer 24 of VGG19, filter 1, 40 steps on the pixels, shown every 5; nothing is moved.
REPORT_LAYER, REPORT_CHANNEL = 24, 1
REPORT_SETTINGS: dict[str, Any] = {"steps": 40, "every": 5, "picture": PIXELS}


def leaves(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The layers that have none inside, in the order of execution: as VGG19's `features` are counted.

    Args:
        shapes: What `layer_shapes` returns.
    """
    return [name for name in shapes if not any(other.startswith(f"{name}.") for other in shapes)]


def report_unit(
    shapes: Mapping[str, tuple[int, ...]], layer: int | None = None, channel: int = REPORT_CHANNEL
) -> Unit:
    """The n-th layer's filter; without a number the 24th, or the last map of a network with fewer.

    Raises:
        SettingError: There is no such layer or filter.
    """
    names = leaves(shapes)
    if layer is None:
        maps: Sequence[int] = [i for i, name in enumerate(names) if len(shapes[name]) == 3]
        layer = max((i for i in maps if i <= REPORT_LAYER), default=0)
    if not 0 <= layer < len(names):
        raise SettingError(f"There is no layer {layer}: choose a number from 0 to {len(names) - 1}.")
    channels = shapes[names[layer]][0]
    if not 0 <= channel < channels:
        raise SettingError(
            f"Layer {layer} ({names[layer]}) has no filter {channel}: choose one from 0 to {channels - 1}."
        )
    return Unit(names[layer], channel)
