"""Being built."""

from pages.elements.page import page

with page("losses", "Being built."):
    pass
