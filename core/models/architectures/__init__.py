"""Architectures: an open set, one file each. A member is a function that returns a `torch.nn.Module`.

@models.register("small_cnn", title="Small CNN")
def small_cnn(*, channels: int, number_of_classes: int, input_size: (int, int), <settings>) -> Module: ...

`channels`, `number_of_classes` and `input_size` come from the model card; the rest are settings. Modules are
used once and not in place, so that hooks, DeepLIFT and guided backprop see every activation.

A module may have, and training then uses:
- `initialize_from(images)`: once before the first step, with normalized training images (whitening,
  pretrained weights);
- `head`: what learns where only the head does, and `backbone`, with head(backbone(x)) the whole: its features
  can be cached while nothing of it learns;
- `last_block()`: the modules that learn besides the head where only the last block does.

The fact `mean_std_from="backbone"` says that images must be normalized as those of the classifier named by
the setting `backbone` were, not by the data set's own mean and std.
"""

from core.registry import Registry

models = Registry("architecture", __name__)
