"""Parts of the page Train monitor."""
