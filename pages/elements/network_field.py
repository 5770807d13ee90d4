"""A shipped network as a stack: its layers, their cost, and what the middle of one really sees."""

import numpy as np
import pandas as pd
import streamlit as st

from core.catalogue import load, names
from core.classifier import Classifier
from core.conv_stack import effective_side
from core.effective_field import effective_field
from core.images import ReadImage
from core.model_summary import LayerSummary, summarise
from core.preprocessing import fit
from core.receptive_field import Box, receptive_field
from pages.elements.page import errors_shown


@st.cache_resource(max_entries=2, show_spinner="Loading the network …")
def _classifier(name: str) -> Classifier:
    return load(name)


def network_field(photo: ReadImage) -> None:
    """Draw the table of a network's layers, and the receptive field of the one that is chosen."""
    name = st.selectbox("Network", names(), key="conv_network", bind="query-params")
    if name is None:
        st.info("There is no network here yet: train one, or import one.")
        return
    with errors_shown():
        classifier = _classifier(name)
        preprocessing = classifier.card.preprocessing
        summary = summarise(classifier.module, preprocessing.input_size, preprocessing.channels)
        maps = [layer for layer in summary.layers if layer.output_shape and len(layer.output_shape) == 3]
        st.dataframe(_table(summary.layers), hide_index=True, height=300)
        with st.container(horizontal=True):
            st.metric("Parameters", f"{summary.parameters:,}")
            st.metric("MACs", f"{summary.macs:,}")
        chosen = st.select_slider(
            "Layer", [layer.name for layer in maps], maps[len(maps) // 2].name, key=f"conv_layer_{name}"
        )
        image = fit(photo.pixels, preprocessing)
        strength, place = effective_field(classifier, image[None].copy(), layer=str(chosen))
        field = receptive_field(
            classifier.module, str(chosen), preprocessing.input_size, preprocessing.channels
        )
        _draw(image, strength, field.box(*place))


def _table(layers: tuple[LayerSummary, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": [layer.name for layer in layers],
            "type": [layer.type for layer in layers],
            "output": [" × ".join(map(str, layer.output_shape or ())) for layer in layers],
            "parameters": [layer.parameters for layer in layers],
            "MACs": [layer.macs for layer in layers],
            "sees (pixels)": [
                "the whole image"
                if layer.whole_image
                else ""
                if layer.receptive_field is None
                else f"{layer.receptive_field[0]} × {layer.receptive_field[1]}"
                for layer in layers
            ],
        }
    )


def _draw(image: np.ndarray, strength: np.ndarray, box: Box) -> None:
    from pages.elements.conv_stacks import lit

    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    dark = pixels // 3 + 20
    dark[box.top : box.bottom, box.left : box.right] = pixels[box.top : box.bottom, box.left : box.right]
    theory, measured = st.columns(2)
    theory.image(lit(dark, None), width="stretch", caption=f"Theory: {box.height} × {box.width} pixels.")
    side = effective_side(strength**2)
    measured.image(
        lit(pixels, strength),
        width="stretch",
        caption="Measured: the stronger the gradient, the "
        f"brighter. 95 % of its energy lies in {side} × {side} pixels.",
    )
