"""Any architecture of torchvision or timm: to train from nothing, or for weights that people bring."""

from functools import partial
from typing import Annotated

import torch
from torch import nn

from core.errors import SettingError, UnknownName
from core.models.architectures import models
from core.models.single_logit import outputs
from core.models.surgery import prepare_for_analysis
from core.settings import Text

# Networks that can scale each color anew, as those with published weights do.
SCALES_INPUT = ("torchvision/googlenet", "torchvision/inception_v3")


@models.register("published", title="A network of torchvision or timm", order=80)
def published(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    network: Annotated[
        str, Text(r"(torchvision|timm)/[\w.]+", "torchvision/resnet50")
    ] = "torchvision/resnet50",
    transform_input: bool = False,
    single_logit: bool = False,
) -> nn.Module:
    """Any architecture of torchvision or timm, with a module of its own for every activation.

    Args:
        network: A name in torchvision or timm: "torchvision/resnet50", "timm/mobilenetv3_small_100".
        transform_input: Let GoogLeNet or Inception scale each color anew. Their published weights need it,
            and so does everything trained from them.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Raises:
        UnknownName: There is no network of that name.
        SettingError: It cannot be built for these images.
    Example:
        >>> import torch
        >>> network = published(
        ...     channels=3, number_of_classes=5, input_size=(32, 32), network="torchvision/squeezenet1_1"
        ... )
        >>> network.eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """
    rows = outputs(number_of_classes, single_logit)
    library, _, name = network.partition("/")
    if transform_input and (network not in SCALES_INPUT or channels != 3):
        raise SettingError(
            f"transform_input is true, which is for {' and '.join(SCALES_INPUT)} with color images: "
            "leave it off."
        )
    make = _torchvision if library == "torchvision" else _timm
    try:
        module = make(name, channels, rows, input_size)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise SettingError(f"network is {network!r}, which cannot be built for this: {error}.") from None
    if transform_input:
        module.transform_input = True  # type: ignore[assignment]
    return prepare_for_analysis(module)


def _torchvision(name: str, channels: int, rows: int, input_size: tuple[int, int]) -> nn.Module:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownName("torchvision classifier", name, known)
    extra: dict[str, bool] = {}
    if f"torchvision/{name}" in SCALES_INPUT:
        extra = {"init_weights": True, "aux_logits": False}
    # Transformers are built for one size of image; the other networks know neither of the two words.
    sizes: tuple[dict[str, int | tuple[int, int]], ...] = (
        {"image_size": input_size[0]},
        {"input_size": input_size},
        {},
    )
    for size in sizes if input_size[0] == input_size[1] else sizes[-1:]:
        try:
            module: nn.Module = torchvision.models.get_model(
                name, weights=None, num_classes=rows, **extra, **size
            )
        except TypeError as error:
            if not size or "unexpected keyword argument" not in str(error):
                raise
        else:
            break
    return module if channels == 3 else _with_first_layer_for(module, channels)


def _timm(name: str, channels: int, rows: int, input_size: tuple[int, int]) -> nn.Module:
    import timm

    name = name.partition(".")[0]
    if not timm.is_model(name):
        raise UnknownName("timm classifier", name, timm.list_models())
    usual = timm.get_pretrained_cfg(name, allow_unregistered=True)
    # Transformers are built for one size of image; convolutional networks do not know the word.
    fixed = usual is not None and tuple(usual.input_size[1:]) == tuple(input_size)
    sizes: tuple[tuple[int, int] | None, ...] = (None,) if fixed else (input_size, None)
    create = partial(timm.create_model, name, pretrained=False, num_classes=rows, in_chans=channels)
    for size in sizes:
        try:
            module: nn.Module = create() if size is None else create(img_size=size)
        except TypeError as error:
            if not size or "unexpected keyword argument" not in str(error):
                raise
        else:
            break
    return module


def _with_first_layer_for(module: nn.Module, channels: int) -> nn.Module:
    """A network of torchvision whose first convolution takes so many channels."""
    path, first = next((path, m) for path, m in module.named_modules() if isinstance(m, nn.Conv2d))
    assert isinstance(first.padding, tuple)
    changed = nn.Conv2d(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )  # fmt: skip
    with torch.no_grad():
        nn.init.kaiming_normal_(changed.weight, mode="fan_out", nonlinearity="relu")
    module.set_submodule(path, changed)
    return module
