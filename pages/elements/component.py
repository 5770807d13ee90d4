"""Client-side components: a script and a style sheet that lie next to each other in this folder."""

from pathlib import Path
from typing import Any

import streamlit as st

FOLDER = Path(__file__).parent


def component(name: str, *scripts: str) -> Any:
    """The mounting function of the component `name`: `name.css` and `name.js`, after the shared `scripts`.

    The shared scripts hold plain functions, so that each may be used by several components and read alone.
    """
    files = [*(FOLDER / f"{script}.js" for script in ("controls", *scripts)), FOLDER / f"{name}.js"]
    styles = [FOLDER / f"{style}.css" for style in ("controls", *scripts, name)]
    return st.components.v2.component(
        f"convoscope_{name}",
        html='<div class="root"></div>',
        css="\n".join(style.read_text("utf-8") for style in styles if style.exists()),
        js="\n".join(file.read_text("utf-8") for file in files),
    )
