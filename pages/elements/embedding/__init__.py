"""Parts of the page Embedding."""
