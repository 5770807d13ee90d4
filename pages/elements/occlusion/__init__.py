"""Parts of the page Occlusion."""
