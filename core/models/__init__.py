"""Architectures: an open set, one file each. A member is a function that returns a `torch.nn.Module`.

@models.register("small_cnn", title="Small CNN")
def small_cnn(*, channels: int, number_of_classes: int, input_size: (int, int), <settings>) -> Module: ...

`channels`, `number_of_classes` and `input_size` come from the model card; the rest are settings. Modules are
used once and not in place, so that hooks, DeepLIFT and guided backprop see every activation.
"""

from core.registry import Registry

models = Registry("architecture", __name__)
