"""The maps of many channels as a grid: sent as one block of levels, colored in the browser."""

from collections.abc import Callable, Sequence

import numpy as np

from core.network.activations import Painted
from pages.elements.component import component, with_head

_map_grid = component(__file__, "map_grid")


def map_grid(
    maps: Sequence[Painted],
    ids: Sequence[int],
    names: Sequence[str],
    notes: Sequence[str],
    *,
    key: str,
    on_pick: Callable[[], None],
    chosen: int | None = None,
    side: int = 92,
    title: str = "",
) -> None:
    """Draw them. A click is `st.session_state[key]["picked"]`, one of `ids`.

    Args:
        names: What stands under each map.
        notes: The line below, which is what a screen reader says too.
        side: Width on the screen, in pixels.
        title: What a click does.
    """
    items = [
        {
            "id": int(i),
            "name": name,
            "note": note,
            "height": one.levels.shape[0],
            "width": one.levels.shape[1],
        }
        for one, i, name, note in zip(maps, ids, names, notes, strict=True)
    ]
    head = {
        "items": items, "signed": any(one.signed for one in maps), "side": side, "chosen": chosen,
        "title": title,
    }  # fmt: skip
    body = b"".join(np.ascontiguousarray(one.levels).tobytes() for one in maps)
    _map_grid(key=key, data=with_head(head, body), on_picked_change=on_pick)
