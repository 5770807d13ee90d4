"""Parts of the page Convolution arithmetic."""
