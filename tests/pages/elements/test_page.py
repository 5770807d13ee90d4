"""What an error says is read as it was written."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.elements.as_text import as_written


def _shows():
    import streamlit as st

    from core.errors import ConvoscopeError
    from pages.elements.page import page

    with page("Title", "Lead"):
        raise ConvoscopeError(st.session_state["words"])


@pytest.mark.parametrize(
    ("words", "markdown"),
    [
        ("put train/*.jpg … test/*.jpg", r"put train/\*.jpg … test/\*.jpg"),
        ("costs $3 or $4, <b> [a](b) ~x~ a|b", r"costs \$3 or \$4, \<b\> \[a\](b) \~x\~ a\|b"),
        ("_this_ __name__, fashion_mnist", r"\_this\_ \_\_name\_\_, fashion_mnist"),
        (r"C:\*", r"C:\\\*"),
        ("its setting `a*b*`, or *", r"its setting `a*b*`, or \*"),
    ],
)
def test_markdown_in_an_error_means_nothing(words, markdown):
    page = AppTest.from_function(_shows)
    page.session_state["words"] = words
    page.run()
    assert [error.value for error in page.error] == [markdown] == [as_written(words)]
    assert not page.exception
