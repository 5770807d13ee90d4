"""Parts of the page Feature visualization."""
