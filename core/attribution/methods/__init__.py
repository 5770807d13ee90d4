"""Attribution methods: an open set, one file each. A member says which pixels a score rests on.

@methods.register("saliency", title="Vanilla backprop", ...)
def saliency(classifier, image, target, *, <settings>, progress=no_progress) -> Attribution: ...

`image` is (H, W, C) uint8, as `core.data.preprocessing.fit` makes it; `target` is the index of a class. The
fact `order` says where a method stands in a list; `smooth=False` says that its map must not be smoothed.
"""

from core.registry import Registry

methods = Registry("attribution method", __name__)
