"""Present mode and full screen, by the keys P, F and Escape; `present.js` does it all in the browser."""

from functools import cache
from typing import Any

from pages.elements.component import component


@cache
def _present() -> Any:
    """Registered with the first page, not when app.py imports this: there is no server then."""
    return component(__file__, "present")


def present_button() -> None:
    """Draw the button of present mode; the keys work wherever no text is being typed."""
    _present()(key="present")
