"""Convolution arithmetic: by hand, sizes, stacks of layers, known kernels, template matching."""

import streamlit as st

from core.by_hand.layer_cost import code
from core.data.images import ReadImage
from core.data.samples import sample_names
from pages.elements.conv_arithmetic.conv_grid import conv_grid
from pages.elements.conv_arithmetic.conv_sizes import conv_sizes
from pages.elements.conv_arithmetic.conv_stacks import conv_stacks
from pages.elements.conv_arithmetic.photo_kernel import photo_kernel, small
from pages.elements.page import errors_shown, page
from pages.elements.pickers.chosen_image import choose_address
from pages.elements.pickers.image_tray import choose_image


@st.fragment
def by_hand() -> None:
    with errors_shown():
        exercise = conv_grid()
        with st.expander("The same layer in PyTorch", key="conv_code", on_change="rerun") as opened:
            if opened.open:
                st.code(code(exercise.layer), language="python")


@st.fragment
def sizes() -> None:
    with errors_shown():
        conv_sizes()


@st.fragment
def stack() -> None:
    with errors_shown():
        st.markdown(
            "The cost and the receptive field of a stack of layers. Write your own stack, "
            "or begin with one that shows why networks are built as they are."
        )
        conv_stacks(choose_photo())


@st.fragment
def known_kernels() -> None:
    with errors_shown():
        st.markdown(
            "Nine numbers make an edge detector or a blur. Point at the photo to see the sum for that place, "
            "and change the numbers: the result follows at once."
        )
        photo = choose_photo()
        photo_kernel(small(photo.pixels), photo.sha256, kind="kernel", predict=predict_first())


@st.fragment
def template_matching() -> None:
    with errors_shown():
        st.markdown(
            "Drag the patch: it becomes the kernel, and the map shows how well it fits everywhere. Raw, any "
            "bright place wins; normalized, only what has the same pattern does. A filter in a network "
            "is such "
            "a patch that was learned."
        )
        photo = choose_photo()
        photo_kernel(small(photo.pixels), photo.sha256, kind="template", predict=predict_first())


def predict_first() -> bool:
    return st.toggle(
        "Predict first",
        key="conv_photo_predict",
        bind="query-params",
        help="Hides the result until you have answered a question about it.",
    )


def choose_photo() -> ReadImage:
    """The image of every page; a link from before that was so names a sample."""
    linked = st.query_params.get("conv_photo")
    if linked in sample_names() and "image" not in st.query_params:
        choose_address(str(linked))
        del st.query_params["conv_photo"]
    return choose_image()


PARTS = {
    "By hand": by_hand,
    "Sizes": sizes,
    "Stack": stack,
    "Known kernels": known_kernels,
    "Template matching": template_matching,
}

with page(
    "Convolution arithmetic",
    "Every output cell is a sum of products. Point at one to see what made it, at an input cell to see "
    "what it "
    "feeds, and change any number.",
):
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default="By hand",
        key="conv_part",
        bind="query-params",
        label_visibility="collapsed",
        required=True,
    )
    PARTS[part or "By hand"]()
