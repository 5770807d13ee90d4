"""Maps over their image, in the browser: one large map that wipes against the photo, the others beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st

from core.attribution.heatmap import enlarged, plane_of
from core.attribution.rendering import (
    SPOTLIGHT_SHARE,
    VIEWS,
    Look,
    default_sigma,
    heat_table,
    percentile_for,
    signed_table,
)
from core.data.images import encode
from core.settings import JsonObject
from pages.elements.address import keep_in_address, read_address
from pages.elements.component import component, with_head

_overlay = component(__file__, "overlay", "rendering")
SCALES = ("own", "shared")
_OLD_VIEWS = {"signed": "signed", "absolute": "heat"}  # `att_mode` in links from before the views


@dataclass(frozen=True)
class Panel:
    """One map to be drawn.

    Attributes:
        values: (C, H, W) or (h, w) float32.
        smooth: Whether the map may be smoothed: one of single pixels.
        line: The numbers under the map, in one line.
        facts: Settings, sums and cuts, behind an i.
        warning: A line that must not be missed, such as why the map is blank; or empty.
    """

    title: str
    values: np.ndarray
    smooth: bool
    line: str
    facts: tuple[str, ...]
    warning: str = ""


@dataclass(frozen=True)
class View:
    """How the maps are looked at: `sigma` is None as long as nobody has moved it."""

    view: str = "heat"
    sigma: float | None = None
    share: float = SPOTLIGHT_SHARE
    scale: str = "own"
    main: int = 0

    def look(self, size: tuple[int, int]) -> Look:
        """The same for an image of that size."""
        return Look(self.view, default_sigma(size) if self.sigma is None else self.sigma, self.share)


@dataclass
class _Memory:
    """What is kept in the session; `first` is the view that the browser was given."""

    view: View
    sent: object = None
    first: View | None = None


def attribution_view(image: np.ndarray, panels: Sequence[Panel], *, photo: np.ndarray, prefix: str) -> View:
    """Draw the maps over the image; return how the user looks at them.

    Args:
        image: (H, W, C) uint8, what the network sees.
        photo: (h, w, 3) uint8, the same cut of the photo at a resolution for the eye.
        prefix: Of what is kept in the address.
    """
    memory: _Memory = st.session_state.setdefault(f"{prefix}_view_memory", _Memory(_read(prefix)))
    sent = (st.session_state.get(f"{prefix}_view") or {}).get("view")
    if sent and sent != memory.sent:
        memory.sent, memory.view = sent, _checked(sent)
        _keep(prefix, memory.view)
    elif st.session_state.get(f"{prefix}_view") is None:
        _keep(prefix, memory.view)  # back from another page: what was chosen is still chosen
    view = memory.view
    # The first view only: afterwards the browser knows better, and what is unchanged is not sent again.
    head, body = _packed(image, panels, photo)
    memory.first = memory.first or view
    head["view"] = asdict(memory.first)
    _overlay(key=f"{prefix}_view", data=with_head(head, body), on_view_change=lambda: None)
    return view


def _packed(image: np.ndarray, panels: Sequence[Panel], photo: np.ndarray) -> tuple[JsonObject, bytes]:
    """The description, and the bytes: magnitudes and signed values of every map (float32), then the photo."""
    size = image.shape[:2]
    parts, described = [], []
    for panel in panels:
        planes = [enlarged(plane_of(panel.values, mode), size) for mode in ("absolute", "signed")]
        parts += [plane.astype(np.float32).tobytes() for plane in planes]
        described.append(
            {
                "title": panel.title,
                "smooth": panel.smooth,
                "line": panel.line,
                "facts": panel.facts,
                "warning": panel.warning,
                "places": list(panel.values.shape[-2:]),
            }
        )
    head: JsonObject = {
        "height": size[0],
        "width": size[1],
        "panels": described,
        "sigma": default_sigma(size),
        "percentile": percentile_for(size),
        "heat": heat_table().ravel().tolist(),
        "signed": signed_table().ravel().tolist(),
    }
    return head, b"".join([*parts, encode(photo)])


def _checked(sent: Mapping[str, Any]) -> View:
    """What a browser sent, or an address holds, with what makes no sense left out."""
    main = _number(sent.get("main"), 0, 99)
    share = _number(sent.get("share"), 0.01, 0.99)
    return View(
        view=sent["view"] if sent.get("view") in VIEWS else _OLD_VIEWS.get(str(sent.get("mode")), VIEWS[0]),
        sigma=_number(sent.get("sigma"), 0, 100),
        share=SPOTLIGHT_SHARE if share is None else share,
        scale=sent["scale"] if sent.get("scale") in SCALES else SCALES[0],
        main=int(main or 0),
    )


def _number(value: Any, low: float, high: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return round(min(high, max(low, number)), 3) if number == number else None


def _read(prefix: str) -> View:
    names = ("view", "mode", "sigma", "share", "scale", "main")
    given = read_address([f"{prefix}_{name}" for name in names])
    return _checked({name.removeprefix(f"{prefix}_"): value for name, value in given.items()})


def _keep(prefix: str, view: View) -> None:
    usual = asdict(View())
    texts = {
        name: value if isinstance(value, str) else f"{value:g}"
        for name, value in asdict(view).items()
        if value != usual[name]
    }
    keep_in_address(
        [f"{prefix}_{name}" for name in (*usual, "mode")],
        {f"{prefix}_{name}": text for name, text in texts.items()},
    )
