"""Data sets: an open set, one file each. A member is a function that returns an `ImageDataset`.

@datasets.register("digits", title="Digits", ...)
def digits(*, seed: ... = 0) -> ImageDataset: ...
"""

from core.registry import Registry

datasets = Registry("data set", __name__)
