"""Being built."""

from pages.elements.page import page

with page("conv_arithmetic", "Being built."):
    pass
