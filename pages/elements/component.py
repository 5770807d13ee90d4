"""Client-side components: a script and a style sheet that lie beside the Python file which mounts them."""

import json
from pathlib import Path
from typing import Any

import streamlit as st

from core.settings import JsonObject

SHARED_FOLDER = Path(__file__).parent


def component(beside: str, name: str, *scripts: str) -> Any:
    """The mounting function of the component `name`: `name.css` and `name.js`, after the shared `scripts`.

    Scripts hold plain functions, so that each may be used by several components and read alone.

    Args:
        beside: The `__file__` of the caller: the component's files lie beside it, and so do its `scripts`.
    """
    folder = Path(beside).parent
    bases = [SHARED_FOLDER / "controls", *(folder / script for script in scripts), folder / name]
    styles = [base.with_suffix(".css") for base in bases]
    return st.components.v2.component(
        f"convoscope_{name}",
        html='<div class="root"></div>',
        css="\n".join(style.read_text("utf-8") for style in styles if style.exists()),
        js="\n".join(base.with_suffix(".js").read_text("utf-8") for base in bases),
    )


def with_head(head: JsonObject, body: bytes) -> bytes:
    """Pack a description and raw bytes into one message; `unpacked` in controls.js reads it.

    Raw bytes travel as they are only when they are all there is, so the description goes before them: four
    bytes of length (little endian), the head as JSON, blanks up to a multiple of four, where a Float32Array
    may begin, and the body.
    """
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + body
