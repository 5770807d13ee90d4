"""Which part of a network learns: all of it, its head, or its last block and head."""

from torch import nn

from core.errors import SettingError


def head_of(module: nn.Module) -> tuple[str, nn.Module]:
    """What makes logits of features, by name: the part called `head`, or the last layer with weights.

    Raises:
        SettingError: The network has no layer with weights.
    """
    own = getattr(module, "head", None)
    if isinstance(own, nn.Module):
        return "head", own
    layers = [(name, m) for name, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not layers:
        raise SettingError("This network has no layer with weights, so there is no head to train alone.")
    linear = [pair for pair in layers if isinstance(pair[1], nn.Linear)]
    return (linear or layers)[-1]


def last_block_of(module: nn.Module) -> list[nn.Module]:
    """The part before the head: what the network itself calls `last_block`, or the last of its children that
    holds more layers with weights than the head.
    """
    own = getattr(module, "last_block", None)
    if callable(own):
        return list(own())
    head = set(head_of(module)[1].modules())
    for child in reversed(list(module.children())):
        if any(m not in head and any(True for _ in m.parameters(recurse=False)) for m in child.modules()):
            return [child]
    return []


def freeze(module: nn.Module, trainable: str) -> set[nn.Module]:
    """Let only `trainable` learn: "everything", "last block" (and head) or "head".

    Whatever was frozen when the network was built (whitened patches, fixed scales) stays frozen.

    Returns:
        The modules that learn. The others belong in evaluation mode while training, so that the running mean
        and variance of their batch norms stay those of the pretrained network.
    """
    if trainable == "everything":
        return set(module.modules())
    _, head = head_of(module)
    learning = set(head.modules())
    if trainable == "last block":
        learning |= {m for part in last_block_of(module) for m in part.modules()}
    kept = {id(p) for m in learning for p in m.parameters(recurse=False)}
    for parameter in module.parameters():
        if id(parameter) not in kept:
            parameter.requires_grad_(False)
    return learning


def set_training(module: nn.Module, learning: set[nn.Module]) -> None:
    """Training mode for what learns, evaluation mode for what is frozen."""
    module.eval()
    for part in learning:
        part.training = True


def names_in(module: nn.Module, parts: set[nn.Module]) -> list[str]:
    """Names of the tensors in the module's state that belong to one of these modules themselves."""
    owners = dict(module.named_modules())
    return [name for name in module.state_dict() if owners[name.rpartition(".")[0]] in parts]
