"""Any architecture of torchvision or timm: to train from nothing, or for weights that people bring."""

from typing import Annotated

from torch import nn

from core.errors import SettingError, UnknownName
from core.models.architectures import models
from core.models.surgery import prepare_for_analysis
from core.settings import Text


@models.register("published", title="A network of torchvision or timm", order=80)
def published(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    network: Annotated[
        str, Text(r"(torchvision|timm)/[\w.]+", "torchvision/resnet50")
    ] = "torchvision/resnet50",
) -> nn.Module:
    """The architecture of that name, its activations made modules used once and not in place.

    Args:
        network: "torchvision/resnet50", "timm/mobilenetv3_small_100"; a name in torchvision or timm.
    Shape:
        input: (N, C, H, W) float32, normalized; torchvision's take three channels only
        returns: (N, number_of_classes) logits
    Raises:
        UnknownName: There is no network of that name.
        SettingError: It cannot be built for these images.
    """
    library, _, name = network.partition("/")
    try:
        if library == "torchvision":
            import torchvision

            known = torchvision.models.list_models(module=torchvision.models)
            if name not in known:
                raise UnknownName("torchvision classifier", name, known)
            if channels != 3:
                raise SettingError(
                    f"The images have {channels} channel; torchvision's networks take three. Choose a "
                    "network of timm, or color images."
                )
            extra = (
                {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
            )
            module: nn.Module = torchvision.models.get_model(
                name, weights=None, num_classes=number_of_classes, **extra
            )
        else:
            import timm

            if not timm.is_model(name.partition(".")[0]):
                raise UnknownName("timm classifier", name, timm.list_models())
            module = timm.create_model(
                name.partition(".")[0], pretrained=False, num_classes=number_of_classes, in_chans=channels
            )
    except (TypeError, ValueError, AssertionError) as error:
        raise SettingError(f"network is {network!r}, which cannot be built for this: {error}.") from None
    return prepare_for_analysis(module)
