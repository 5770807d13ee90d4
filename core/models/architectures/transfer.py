"""Transfer: a network trained on millions of photos, with a new last layer for other classes."""

import re
from typing import Annotated, Any

from torch import Tensor, nn

from core.errors import SettingError, UnknownName
from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Range, Text

_HEADS = ("classifier", "fc", "head", "heads", "last_linear")


class Transfer(nn.Module):
    """`backbone` makes features of an image, `head` logits of the features.

    Attributes:
        backbone_name: Whose weights `initialize_from` fetches.
    """

    def __init__(self, backbone: nn.Module, backbone_name: str, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.backbone_name = backbone_name

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)  # gray in a network that was trained on colors
        return self.head(self.backbone(x))

    def initialize_from(self, images: Tensor) -> None:
        """Give the backbone its pretrained weights; called once before a training, and needs no images.

        Raises:
            Unavailable: The weights are not here and cannot be downloaded.
        """
        from core.models.pretrained import pretrained_module

        source = pretrained_module(self.backbone_name).state_dict()
        self.backbone.load_state_dict({name: source[name] for name in self.backbone.state_dict()})

    def last_block(self) -> list[nn.Module]:
        """What learns besides the head when only the last block does."""
        return last_block(self.backbone)


@models.register("transfer", title="Transfer from a pretrained network", order=70, mean_std_from="backbone")
def transfer(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    backbone: Annotated[str, Text(r"[\w./-]+", "torchvision/resnet18")] = "efficientnet_lite0",
    hidden: Annotated[int, Range(0, 4096), "neurons"] = 0,
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.2,
    single_logit: bool = False,
) -> nn.Module:
    """A pretrained classifier of torchvision, timm or PyPI whose last layers are replaced with new ones.

    Which part learns (everything, the last block, the head) is a setting of training.

    Args:
        backbone: The pretrained classifier: "torchvision/resnet18", "timm/mobilenetv3_small_100",
            "efficientnet_lite0".
        hidden: The number of neurons between the features and the classes; 0 for none.
        dropout: The share of the features switched off at random in every training step.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized as the backbone's own images were; C is 3, or 1 for gray
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Raises:
        UnknownName: There is no such backbone.
        SettingError: It takes no such images, or `single_logit` with other than two classes.
    Example:
        >>> import torch
        >>> network = transfer(
        ...     channels=3, number_of_classes=5, input_size=(32, 32), backbone="torchvision/squeezenet1_1"
        ... )
        >>> network.eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """
    if channels not in (1, 3):
        raise SettingError(
            f"The images have {channels} channels; pretrained networks take color (3) or gray (1)."
        )
    rows = outputs(number_of_classes, single_logit)
    from core.models.pretrained import WELL_KNOWN, is_pretrained, pretrained_card, untrained_module

    if not is_pretrained(backbone):
        raise UnknownName("backbone", backbone, WELL_KNOWN)
    pretrained_card(backbone)  # a name that does not exist is refused here, with the nearest that do
    body = without_head(untrained_module(backbone), backbone)
    shape = _output_shape(body, backbone, input_size)
    layers: list[nn.Module] = [nn.Flatten()]
    if len(shape) == 4:  # features that still have places
        layers.insert(0, nn.AdaptiveAvgPool2d(1))
    if dropout:
        layers.append(nn.Dropout(dropout))
    width = shape[1] if len(shape) == 4 else int(shape[1:].numel())
    if hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
    layers.append(nn.Linear(hidden or width, rows))
    return Transfer(body, backbone, nn.Sequential(*layers))


def without_head(module: nn.Module, name: str) -> nn.Module:
    """The network without its classes: from the first linear layer of its classifier on, all is cut off.

    Raises:
        SettingError: It has no part that is called a classifier.
    """
    for extra in ("AuxLogits", "aux1", "aux2"):
        if getattr(module, extra, None) is not None:
            setattr(module, extra, None)
            module.aux_logits = False  # type: ignore[assignment]
    for attribute in _HEADS:
        head = getattr(module, attribute, None)
        if not isinstance(head, nn.Module):
            continue
        if isinstance(head, nn.Sequential):
            parts = list(head)
            last = nn.Linear if any(isinstance(p, nn.Linear) for p in parts) else nn.Conv2d
            kept = parts[: next((i for i, p in enumerate(parts) if isinstance(p, last)), 0)]
            kept = [part for part in kept if not isinstance(part, nn.Dropout)]
            setattr(module, attribute, nn.Sequential(*kept) if kept else nn.Identity())
        elif hasattr(head, "fc") and isinstance(head.fc, nn.Module):
            head.fc = nn.Identity()
        else:
            setattr(module, attribute, nn.Identity())
        return module
    raise SettingError(
        f"backbone is {name!r}, which does not end in one of {', '.join(_HEADS)}: it is not known where "
        f"its features end. Choose another, such as torchvision/resnet18."
    )


def last_block(backbone: nn.Module) -> list[nn.Module]:
    """The last group of several layers with weights, and everything after it.

    In a plain row of layers, such as VGG's, a group is what stands between two pools.
    """
    units = _units(backbone)
    pools = [i for i, unit in enumerate(units) if isinstance(unit, nn.MaxPool2d)]
    if len(pools) > 1 and all(not any(True for _ in unit.children()) for unit in units[: pools[-1]]):
        return units[pools[-2] + 1 :]
    rich = [
        i for i, u in enumerate(units) if sum(isinstance(m, nn.Conv2d | nn.Linear) for m in u.modules()) > 1
    ]
    if not rich:
        rich = [i for i, u in enumerate(units) if any(True for _ in u.parameters())]
    return units[rich[-1] :] if rich else units


def _units(module: nn.Module) -> list[nn.Module]:
    """The network as a row of layers and blocks: its children, with plain rows among them opened."""
    units: list[nn.Module] = []
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and re.fullmatch("features|blocks|stages|layers|encoder", name):
            units += list(child)
        else:
            units.append(child)
    return units


def _output_shape(backbone: nn.Module, name: str, input_size: tuple[int, int]) -> Any:
    import torch

    try:
        with torch.no_grad():
            return backbone.eval()(torch.zeros(1, 3, *input_size)).shape
    except (RuntimeError, ValueError, AssertionError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise SettingError(
            f"backbone is {name!r}, which takes no images of {input_size[0]}×{input_size[1]}: {first}. "
            "Choose a larger image size, or the one it was trained with."
        ) from None
