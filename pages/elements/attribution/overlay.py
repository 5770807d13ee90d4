"""Maps over their image, in the browser: opacity, sign, scale and grid follow at once, values on hover."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from core.attribution.heatmap import Scale, enlarged, plane_of, scale_of
from pages.elements.address import keep_in_address, read_address
from pages.elements.component import component, with_head

_attribution_view = component(__file__, "overlay")
MODES = ("signed", "absolute")
SCALES = ("own", "shared")


@dataclass(frozen=True)
class Panel:
    """One map to be drawn.

    Attributes:
        values: (C, H, W) or (h, w) float32.
        facts: Lines under the map.
        warning: A line that must not be missed, such as why the map is blank; or empty.
    """

    title: str
    values: np.ndarray
    signed: bool
    facts: tuple[str, ...]
    warning: str = ""


@dataclass(frozen=True)
class View:
    """How the maps are looked at."""

    mode: str = "signed"
    scale: str = "own"
    grid: bool = False
    opacity: float = 0.9


def attribution_view(image: np.ndarray, panels: Sequence[Panel], *, prefix: str) -> View:
    """Draw the image and the maps beside it; return how the user looks at them.

    Args:
        image: (H, W, C) uint8, what the network sees.
        prefix: Of what is kept in the address.
    """
    memory: dict[str, Any] = st.session_state.setdefault(
        f"{prefix}_view_memory", {"view": _read(prefix), "address": None}
    )
    sent = (st.session_state.get(f"{prefix}_view") or {}).get("view")
    if sent and sent != memory.get("sent"):
        memory["sent"], memory["view"] = sent, _checked(sent)
        _keep(prefix, memory["view"])
    elif st.session_state.get(f"{prefix}_view") is None:
        _keep(prefix, memory["view"])  # back from another page: what was chosen is still chosen
    view: View = memory["view"]
    head, body = _packed(image, panels)
    # The first view only: afterwards the browser knows better, and what is unchanged is not sent again.
    first = memory.setdefault("first", view)
    head["view"] = {"mode": first.mode, "scale": first.scale, "grid": first.grid, "opacity": first.opacity}
    _attribution_view(
        key=f"{prefix}_view",
        data=with_head(head, body),
        on_view_change=lambda: None,
    )
    return view


def scales(panels: Sequence[Panel], mode: str, scale: str) -> list[Scale]:
    """The scale of each map: its own, or one for all."""
    planes = [plane_of(panel.values, mode) for panel in panels]
    if scale == "own":
        return [scale_of([plane]) for plane in planes]
    return [scale_of(planes)] * len(planes)


def _packed(image: np.ndarray, panels: Sequence[Panel]) -> tuple[dict[str, Any], bytes]:
    """The description, and the bytes: the image as RGBA, then the planes of every map as float32."""
    height, width = image.shape[:2]
    rgba = np.full((height, width, 4), 255, np.uint8)
    rgba[..., :3] = image
    parts, described = [rgba.tobytes()], []
    by_mode = {m: (scales(panels, m, "own"), scales(panels, m, "shared")[:1]) for m in MODES}
    for number, panel in enumerate(panels):
        rows, columns = panel.values.shape[-2:]
        for mode in MODES:
            plane = plane_of(panel.values, mode)
            parts.append(enlarged(plane, (height, width)).astype(np.float32).tobytes())
            if (rows, columns) != (height, width):
                parts.append(plane.tobytes())
        described.append(
            {
                "title": panel.title,
                "signed": panel.signed,
                "rows": rows,
                "columns": columns,
                "facts": panel.facts,
                "warning": panel.warning,
                "own": {m: _told(by_mode[m][0][number]) for m in MODES},
            }
        )
    shared = {m: _told(by_mode[m][1][0]) for m in MODES} if panels else {}
    head = {"height": height, "width": width, "panels": described, "shared": shared}
    return head, b"".join(parts)


def _told(scale: Scale) -> dict[str, Any]:
    return {"limit": scale.limit, "low": scale.low, "high": scale.high, "cut": scale.cut}


def _checked(sent: dict[str, Any]) -> View:
    """What a browser sent, or an address holds, with what makes no sense left out."""
    try:
        opacity = min(1.0, max(0.0, float(sent.get("opacity", 0.9))))
    except (TypeError, ValueError):
        opacity = 0.9
    return View(
        mode=sent["mode"] if sent.get("mode") in MODES else MODES[0],
        scale=sent["scale"] if sent.get("scale") in SCALES else SCALES[0],
        grid=sent.get("grid") in (True, "yes"),
        opacity=round(opacity, 2) if opacity == opacity else 0.9,
    )


def _read(prefix: str) -> View:
    names = ("mode", "scale", "grid", "opacity")
    given = read_address([f"{prefix}_{name}" for name in names])
    return _checked({name.removeprefix(f"{prefix}_"): value for name, value in given.items()})


def _keep(prefix: str, view: View) -> None:
    texts = {
        "mode": view.mode,
        "scale": view.scale,
        "grid": "yes" if view.grid else "no",
        "opacity": f"{view.opacity:g}",
    }
    usual = {"mode": "signed", "scale": "own", "grid": "no", "opacity": "0.9"}
    keep_in_address(
        [f"{prefix}_{name}" for name in texts],
        {f"{prefix}_{name}": text for name, text in texts.items() if text != usual[name]},
    )
