"""Channels switched off, what that costs, and the exact shortcut for every channel of a layer."""
