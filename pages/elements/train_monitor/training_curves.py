"""Curves of runs: train and validation on one chart, raw beside smoothed, what matters marked."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import streamlit as st

from core.history import EpochRecord, Record, StepRecord, of_kind, plain_record
from core.runs.verdict import Verdict
from core.settings import JsonObject

# Quantity → fields of (an epoch's record for training, for validation, a step's record).
QUANTITIES = {
    "Loss": ("train_loss", "validation_loss", "loss"),
    "Accuracy": ("train_accuracy", "validation_accuracy", "accuracy"),
    "Learning rate": ("learning_rate", "", "learning_rate"),
    "Gradient norm": ("gradient_norm", "", "gradient_norm"),
}
POINTS_OF_A_CURVE = 2000  # more than a screen has columns
TRAIN, HELD_OUT = "#2f7fd1", "#e07b00"
_OVERFITS, _BEST = "#b3441e", "#0b6e8a"  # told apart by every eye; the words beside say it as well
# Okabe and Ito's, told apart by every eye; darker where theirs is too pale for a line on white.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#6b4fa0", "#8c5a3c")
MOST_COLORS, _WITHOUT_COLOR = len(COLORS), "#9aa0a6"
Points = list[tuple[float, float]]
Chart = JsonObject  # of ECharts: an option, a series or a mark


@dataclass(frozen=True)
class View:
    """How curves are to be drawn: what is chosen above them."""

    quantities: tuple[str, ...]
    by: str  # "epoch" or "step"
    logarithmic: bool
    smoothing: float  # 0 is none, 0.9 is much


def view_controls(prefix: str) -> View:
    """Which quantities, per epoch or step, logarithmic, smoothing; kept in the address."""
    quantities = st.pills(
        "Curves", list(QUANTITIES), selection_mode="multi", default=["Loss", "Accuracy"],
        key=f"{prefix}_curves", bind="query-params",
    )  # fmt: skip
    by = st.segmented_control(
        "Per", ["epoch", "step"], default="epoch", required=True, key=f"{prefix}_by", bind="query-params",
        help="A step is one batch. Validation is measured once an epoch.",
    )  # fmt: skip
    logarithmic = st.toggle(
        "Logarithmic", key=f"{prefix}_log", bind="query-params",
        help="For loss, learning rate and gradient norm: equal factors get equal heights.",
    )  # fmt: skip
    smoothing = st.slider(
        "Smoothing", 0.0, 0.98, 0.0, 0.02, key=f"{prefix}_smooth", bind="query-params",
        help="A running mean; the raw line stays visible behind it.",
    )  # fmt: skip
    chosen = tuple(q for q in QUANTITIES if q in (quantities or ())) or ("Loss",)
    return View(chosen, str(by), logarithmic, smoothing)


def points(history: list[Record], quantity: str, by: str, *, held_out: bool = False) -> Points:
    """The points of one curve: (epoch or step, value); values that are not finite are kept."""
    train, validation, step = QUANTITIES[quantity]
    if by == "step" and not held_out:
        steps = ((r.step, getattr(r, step)) for r in of_kind(history, StepRecord))
        found: Points = [(place, value) for place, value in steps if value is not None]
        if found:
            return found
    name = validation if held_out else train
    if not name:
        return []
    epochs = [r for r in of_kind(history, EpochRecord) if getattr(r, name) is not None]
    if (
        by == "step"
        and (places := [r.step for r in epochs if r.step is not None])
        and len(places) == len(epochs)
    ):
        return [(place, getattr(r, name)) for place, r in zip(places, epochs, strict=True)]
    return [(r.epoch, getattr(r, name)) for r in epochs]


def smooth(values: list[float], weight: float) -> list[float]:
    """Exponential running mean, corrected for its beginning; values that are not finite are passed over."""
    mean, total, out = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            total = weight * total + (1 - weight)
            out.append(mean / total)
        else:
            out.append(math.nan)
    return out


def run_chart(history: list[Record], quantity: str, view: View, verdict: Verdict | None) -> Chart:
    """The ECharts option of one run's chart, with its marks."""
    by = _possible(history, view.by)
    logarithmic = view.logarithmic and quantity != "Accuracy"
    series = []
    train = points(history, quantity, by)
    held = points(history, quantity, by, held_out=True)
    for name, line, color in (("train", train, TRAIN), ("validation", held, HELD_OUT)):
        if line:
            label = name if held else quantity.lower()
            weight = _weight(view.smoothing, line, train)
            series += _lines(label, line, color, weight, logarithmic, symbols=len(line) < 60)
    marks = _marks(history, quantity, by, verdict)
    if series and marks:
        series[-1]["markLine"] = {
            "symbol": "none", "silent": True, "animation": False, "data": marks,
            "label": {"position": "end", "rotate": 0, "fontSize": 12},
        }  # fmt: skip
    option = _option(series, quantity, by, logarithmic)
    option["grid"]["top"] += 14 * max(0, len(marks) - 1)  # each mark's words stand above the last one's
    return option


def comparison_chart(
    histories: dict[str, list[Record]], quantity: str, view: View, groups: dict[str, str] | None = None
) -> Chart:
    """Several runs over each other: training dashed and thin, validation solid.

    Args:
        groups: The group of each run: runs of one group have one color. Without it, each its own.
    """
    logarithmic = view.logarithmic and quantity != "Accuracy"
    by = view.by if all(_possible(h, view.by) == view.by for h in histories.values()) else "epoch"
    series: list[Chart] = []
    named: set[str] = set()
    kinds = list(dict.fromkeys((groups or {}).values())) or list(histories)
    for name, history in histories.items():
        label = groups[name] if groups else name
        color = COLORS[kinds.index(label)] if kinds.index(label) < MOST_COLORS else _WITHOUT_COLOR
        held = points(history, quantity, by, held_out=True)
        train = points(history, quantity, by)
        for line, kind in ((held, "solid"), (train, "dashed" if held else "solid")):
            if line:
                weight = _weight(view.smoothing, line, train)
                drawn = _lines(label, line, color, weight, logarithmic, symbols=False)
                drawn[-1]["lineStyle"] |= {"type": kind, "width": 2 if kind == "solid" else 1}
                series += drawn
        if series and color != _WITHOUT_COLOR and label not in named:  # one label a color, on its main line
            main = next(line for line in reversed(series) if line["lineStyle"].get("type") == "solid")
            main["endLabel"] = {"show": True, "formatter": "{a}", "color": color, "fontSize": 12}
            main["labelLayout"] = {"moveOverlap": "shiftY"}
            named.add(label)
    option = _option(series, quantity, by, logarithmic)
    option["legend"]["show"] = False  # names stand at the ends of the lines
    option["grid"]["right"] = 16 + 7 * max((len(label) for label in named), default=0)
    return option


def draw(option: Chart, key: str, *, height: int | Literal["stretch"] = 300) -> None:
    """Draw a chart, or say that it has no points yet."""
    if not any(y is not None for series in option["series"] for _, y in series["data"]):
        st.caption(f"{option['yAxis']['name']}: no finite number was recorded so far.")
        return
    st.echarts_chart(option, height=height, key=key, alt=f"{option['yAxis']['name']} over the run")


def draw_grid(options: Iterable[Chart], key: str, *, height: int = 300) -> None:
    """Charts side by side, two in a row; one alone is wider and higher."""
    charts = list(options)
    if len(charts) == 1:
        draw(charts[0], f"{key}_0", height=420)
        return
    for start in range(0, len(charts), 2):
        for column, number in zip(st.columns(2), range(start, min(start + 2, len(charts))), strict=False):
            with column:
                draw(charts[number], f"{key}_{number}", height=height)


def as_csv(histories: Mapping[str, Sequence[Record]]) -> bytes:
    """Every epoch and step of the runs, one a line; read back by "Import logs"."""
    frame = pd.DataFrame(
        [
            {"run": name, **plain_record(record)}
            for name, history in histories.items()
            for record in history
            if isinstance(record, EpochRecord | StepRecord)
        ]
    )
    out = io.StringIO()
    frame.to_csv(out, index=False)
    return out.getvalue().encode()


def _possible(history: list[Record], by: str) -> str:
    """Steps while there is no epoch yet, and epochs where no steps were recorded."""
    has_epochs = any(of_kind(history, EpochRecord))
    has_steps = any(of_kind(history, StepRecord))
    if by == "epoch":
        return "epoch" if has_epochs or not has_steps else "step"
    return "step" if has_steps else "epoch"


def _lines(
    name: str, line: Points, color: str, smoothing: float, logarithmic: bool, *, symbols: bool
) -> list[Chart]:
    """The curve; where it is smoothed, the raw one faint behind it."""

    def one(values: list[float], opacity: float, label: str, width: float) -> Chart:
        return {
            "type": "line", "name": label, "color": color, "connectNulls": False,
            "showSymbol": symbols and opacity == 1, "symbolSize": 5, "symbol": "circle",
            "lineStyle": {"width": width, "opacity": opacity, "color": color},
            "emphasis": {"disabled": True}, "animation": False,
            "data": [[x, _drawable(y, logarithmic)] for (x, _), y in zip(thin, values, strict=True)],
        }  # fmt: skip

    stride = max(1, -(-len(line) // POINTS_OF_A_CURVE))
    thin = line[::stride] if (len(line) - 1) % stride == 0 else [*line[::stride], line[-1]]
    raw = [float(y) for _, y in thin]
    if not smoothing:
        return [one(raw, 1, name, 2)]
    faint = one(raw, 0.3, f"{name}, raw", 1)
    return [faint, one(smooth(raw, smoothing), 1, name, 2)]


def _weight(smoothing: float, line: Points, densest: Points) -> float:
    """The weight that makes a sparser line lag by as many steps as the densest one, not by as many points."""
    return smoothing ** max(1.0, len(densest) / len(line)) if smoothing else 0.0


def _drawable(value: float, logarithmic: bool) -> float | None:
    if not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return float(f"{value:.6g}")


def _marks(history: list[Record], quantity: str, by: str, verdict: Verdict | None) -> list[Chart]:
    """Vertical lines: the best epoch, where overfitting begins, where numbers ceased to be finite."""
    place = {
        r.epoch: r.step if by == "step" and r.step is not None else r.epoch
        for r in of_kind(history, EpochRecord)
    }
    if verdict is None or not place:
        return []
    marks: list[Chart] = []
    first, last = min(place.values()), max(place.values())

    def mark(epoch: int | None, words: str, color: str, line: str = "dashed") -> None:
        if epoch is None or epoch not in place:
            return
        share = (place[epoch] - first) / max(1, last - first)
        align = "right" if share > 0.85 or first == last else "left" if share < 0.15 else "center"
        marks.append({
            "xAxis": place[epoch], "name": words, "lineStyle": {"color": color, "type": line},
            "label": {"formatter": words, "align": align, "distance": 4 + 14 * len(marks)},
        })  # fmt: skip

    if quantity in ("Loss", "Accuracy"):
        mark(verdict.best_epoch, f"best epoch: {verdict.best_epoch}", _BEST, "solid")
        mark(verdict.overfits_from, f"overfits from epoch {verdict.overfits_from}", _OVERFITS)
    if verdict.kind == "not finite":
        mark(max(place), f"not finite: epoch {max(place)}", _OVERFITS)
    return marks


def _option(series: list[Chart], quantity: str, by: str, logarithmic: bool) -> Chart:
    names = list(dict.fromkeys(s["name"] for s in series if not s["name"].endswith(", raw")))
    axis: Chart = {"type": "log" if logarithmic else "value", "name": quantity, "scale": True}
    axis |= {"nameLocation": "end", "nameGap": 40, "nameTextStyle": {"align": "left", "fontWeight": "bold"}}
    if quantity == "Accuracy" or logarithmic:
        axis["axisLabel"] = {"hideOverlap": True}
    return {
        "animation": False,
        "legend": {"show": len(names) > 1, "data": names, "type": "scroll", "top": 0, "left": 90,
                   "right": 110},
        "tooltip": {"trigger": "axis", "valueFormatter": "%.4g", "confine": True},
        "grid": {"left": 8, "right": 24, "top": 58, "bottom": 28, "containLabel": True},
        "xAxis": {"type": "value", "name": by, "nameLocation": "middle", "nameGap": 24, "scale": True,
                  "minInterval": 1, "max": "dataMax", "min": "dataMin"},
        "yAxis": axis,
        "dataZoom": [{"type": "inside", "filterMode": "none"}],
        "toolbox": {
            "right": 0, "top": 0, "itemSize": 13,
            "feature": {
                "dataZoom": {"yAxisIndex": "none", "title": {"zoom": "Zoom: drag", "back": "Zoom back"}},
                "restore": {"title": "Whole curve"},
                "saveAsImage": {"title": "PNG", "name": f"convoscope_{quantity.lower().replace(' ', '_')}",
                                "pixelRatio": 2},
            },
        },
        "series": series,
    }  # fmt: skip
