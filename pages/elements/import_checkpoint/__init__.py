"""Parts of the page Import a checkpoint."""
