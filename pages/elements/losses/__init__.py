"""Parts of the page Loss lab."""
