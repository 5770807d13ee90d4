"""The first thing a newcomer does: drop in a photo."""

import streamlit as st

from core.data.images import KINDS_IN_WORDS, MAXIMUM_BYTES
from core.errors import BadImage
from pages.elements.as_text import as_written
from pages.elements.pickers.chosen_image import keep_upload
from pages.elements.visitor import taken

_KEY, _REFUSED = "photo_drop", "photo_drop_refused"
_LIMIT = f"{MAXIMUM_BYTES // 2**20} MB"
# Streamlit writes the server's limit there, which is made for weights and data sets. With a limit of its own,
# the field would refuse a large photo by an icon alone, and not by a sentence.
_STYLE = f"""<style>
.st-key-{_KEY} [data-testid="stFileUploaderDropzoneInstructions"] span {{ font-size: 0; }}
.st-key-{_KEY} [data-testid="stFileUploaderDropzoneInstructions"] span::after {{
  font-size: 0.875rem; white-space: normal;
  content: "or drop it here: {KINDS_IN_WORDS}, up to {_LIMIT}";
}}
</style>"""


def photo_drop() -> None:
    """A place to drop a photo, which becomes the image of every page; what is wrong with it stands below."""
    st.html(_STYLE)
    st.file_uploader(
        "Drop in a photo of yours",
        key=_KEY,
        on_change=_take,
        help="It stays in this server's memory and is not written to disk.",
    )
    if refused := st.session_state.get(_REFUSED):
        st.error(as_written(refused), icon=":material/error:")


def _take() -> None:
    """In a callback, so that the very run that follows shows the photo, and none after it takes it again."""
    st.session_state[_REFUSED] = None
    file = st.session_state[_KEY]
    if file is None:
        return
    try:
        st.session_state["chosen_image"] = keep_upload(file.getvalue(), file.name)
    except BadImage as error:
        st.session_state[_REFUSED] = str(error)
    taken(file)
