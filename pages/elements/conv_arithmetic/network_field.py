"""A shipped network as a stack: its layers, their cost, and what the middle of one really sees."""

from hashlib import sha256

import numpy as np
import pandas as pd
import streamlit as st

from core.by_hand.conv_stack import effective_side
from core.data.images import ReadImage
from core.data.preprocessing import fit
from core.models.catalogue import card_of, names
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.effective_receptive_field import MeasuredField, measured_field
from core.network.receptive_field import Box
from core.network.summary import LayerSummary, ModelSummary, summarize
from core.progress import Progress
from pages.elements.ask import asked
from pages.elements.conv_arithmetic.field_picture import lit
from pages.elements.page import errors_shown


def network_field(photo: ReadImage) -> None:
    """Draw the table of a network's layers, and the receptive field of the one that is chosen."""
    name = st.selectbox("Network", names(), key="conv_network", bind="query-params")
    if name is None:
        st.info("There is no network here yet: train one, or import one.")
        return
    with errors_shown():
        question = Question("layers", name, ModelSummary)
        summary = asked(question, _summarize, message="Reading the network")
        layers = summary.layers
        maps = [layer.name for layer in layers if layer.output_shape and len(layer.output_shape) == 3]
        st.dataframe(_table(layers), hide_index=True, height=300)
        with st.container(horizontal=True):
            st.metric("Parameters", f"{summary.parameters:,}")
            st.metric("MACs", f"{summary.macs:,}")
        layer = str(
            st.select_slider(
                "Layer", maps, maps[len(maps) // 2], key=f"conv_layer_{name}", bind="query-params"
            )
        )
        image = fit(photo.pixels, card_of(name).preprocessing)

        def measure(classifier: Classifier, progress: Progress) -> MeasuredField:
            return measured_field(classifier, image[None], layer=layer, progress=progress)

        of = (layer, sha256(image.tobytes()).hexdigest())
        field = asked(
            Question("effective field", name, MeasuredField, of), measure, message="Following the gradient"
        )
        _draw(image, field.strength, field.box)


def _summarize(classifier: Classifier, progress: Progress) -> ModelSummary:
    preprocessing = classifier.card.preprocessing
    return summarize(classifier.module, preprocessing.input_size, preprocessing.channels)


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
    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    dark = pixels // 3 + 20
    dark[box.top : box.bottom, box.left : box.right] = pixels[box.top : box.bottom, box.left : box.right]
    theory, measured = st.columns(2)
    theory.image(
        lit(dark, None),
        width="stretch",
        caption=f"Theory: {box.height} × {box.width} pixels.",
        alt="The field that theory gives",
    )
    side = effective_side(strength**2)
    measured.image(
        lit(pixels, strength),
        width="stretch",
        caption="Measured: the stronger the gradient, the "
        f"brighter. 95% of its energy lies in {side} × {side} pixels.",
        alt="The field that gradients show",
    )
