"""Fixtures for tests of any package."""

from tests.pretend_device import pretend

__all__ = ["pretend"]
