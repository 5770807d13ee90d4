"""A network at a glance: a picture of boxes as large as its maps, and the table behind it."""

from dataclasses import dataclass, field
from itertools import groupby
from typing import TypedDict

import pandas as pd
import streamlit as st

from core.network.summary import LayerSummary, ModelSummary, short
from pages.elements.component import component

_DIAGRAM = component(__file__, "model_diagram")
MOST_BOXES = 40


@dataclass
class _Group:
    """Layers in a row that put out the same shape: one box."""

    shape: tuple[int, ...]
    layers: list[LayerSummary] = field(default_factory=list)

    @property
    def kind(self) -> str:
        types = [layer.type for layer in self.layers]
        if any("Conv" in name for name in types):
            return "convolution"
        if any("Linear" in name for name in types):
            return "linear"
        return "pool" if any("Pool" in name for name in types) else "other"


class DrawnGroup(TypedDict, total=False):
    """One box of the picture, as the browser gets it; the image has no parameters."""

    shape: list[int]
    kind: str
    title: str
    lines: list[str]
    parameters: str
    macs: str
    sees: str


def model_diagram(summary: ModelSummary, *, key: str) -> None:
    """Draw the totals, the picture and, on demand, the table."""
    with st.container(horizontal=True):
        st.metric("Parameters", short(summary.parameters), help=f"{summary.parameters:,}")
        if 0 < summary.frozen < summary.parameters:
            st.metric("of them frozen", short(summary.frozen), help=f"{summary.frozen:,}")
        st.metric(
            "MACs", short(summary.macs), help=f"Multiplications with an addition, per image: {summary.macs:,}"
        )
        st.metric("Layers with weights", sum(1 for layer in summary.layers if layer.parameters))
    _DIAGRAM(data={"groups": picture_data(summary)}, key=f"{key}_picture")
    with st.expander("Every layer", icon=":material/table:", key=f"{key}_table", on_change="rerun") as opened:
        if opened.open:
            st.dataframe(model_table(summary), hide_index=True, width="stretch")


def picture_data(summary: ModelSummary) -> list[DrawnGroup]:
    """What the picture is drawn from: one entry for the image, then one for every change of shape."""
    groups = []
    shaped = [layer for layer in summary.layers if layer.output_shape and layer.name]
    for shape, layers in groupby(shaped, key=lambda layer: layer.output_shape or ()):
        groups.append(_Group(shape, list(layers)))
    if len(groups) > MOST_BOXES:  # channels go up and down with every layer: one box for each size of the map
        groups = []
        for _, layers in groupby(shaped, key=lambda layer: (layer.output_shape or ())[1:]):
            held = list(layers)
            groups.append(_Group(held[-1].output_shape or (), held))
    drawn: list[DrawnGroup] = [
        {"shape": list(summary.input_shape), "kind": "image", "title": "Image", "lines": []}
    ]
    for group in groups:
        names = [layer.name for layer in group.layers]
        lines = [f"{layer.name} ({layer.type})" for layer in group.layers[:6]]
        if len(lines) < len(names):
            lines.append(f"… {len(names) - len(lines)} more")
        drawn.append(
            {
                "shape": list(group.shape),
                "kind": group.kind,
                "title": names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}",
                "lines": lines,
                "parameters": short(sum(layer.parameters for layer in group.layers)),
                "macs": short(sum(layer.macs for layer in group.layers)),
                "sees": seen(group.layers[-1]),
            }
        )
    return drawn


def model_table(summary: ModelSummary) -> pd.DataFrame:
    """One row a layer, in the order of execution; parameters are split where some of them are frozen."""
    layers = summary.layers
    if 0 < summary.frozen < summary.parameters:
        parameters = {"Trainable": [n.trainable for n in layers], "Frozen": [n.frozen for n in layers]}
    else:
        parameters = {"Parameters": [n.parameters for n in layers]}
    return pd.DataFrame(
        {
            "Layer": [layer.name or "(the network itself)" for layer in summary.layers],
            "Type": [layer.type for layer in summary.layers],
            "Output": [
                " × ".join(map(str, layer.output_shape)) if layer.output_shape else "takes no part"
                for layer in summary.layers
            ],
            **parameters,
            "MACs": [layer.macs for layer in summary.layers],
            "Sees (pixels)": [seen(layer) for layer in summary.layers],
            "Pixels a step": [f"{layer.jump[0]:g}" if layer.jump else "" for layer in summary.layers],
        }
    )


def seen(layer: LayerSummary) -> str:
    """The receptive field in words."""
    if layer.whole_image:
        return "whole image"
    if layer.receptive_field is None:
        return "" if layer.output_shape is None else "not known"
    return f"{layer.receptive_field[0]} × {layer.receptive_field[1]}"
