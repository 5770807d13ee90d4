"""Parts of the page Confusion matrices."""
