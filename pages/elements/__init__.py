"""Parts drawn on two or more pages."""
