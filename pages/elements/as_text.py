"""Words from elsewhere in Streamlit's Markdown: what they hold is shown, and not obeyed."""

import re


def plain(text: str) -> str:
    """Text that people gave, as it stands: Markdown, HTML and LaTeX in it mean nothing."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", text).replace("\n", " ")


def as_code(text: str) -> str:
    """Text that people gave, as it stands, in the type of code."""
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"


def as_written(text: object) -> str:
    """The words of an error, which may quote anything: Markdown and LaTeX mean nothing, `code` is code."""
    parts = re.split(r"(`[^`\n]+`)", str(text))
    special = r"([\\*\[\]<>$~|]|(?<![^\W_])_|_(?![^\W_]))"
    return "".join(part if part.startswith("`") else re.sub(special, r"\\\1", part) for part in parts)
