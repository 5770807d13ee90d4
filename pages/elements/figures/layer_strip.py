"""A map of the network: its layers from the image to the classes, one of which is chosen.

Stages and blocks are folded, all but those of the chosen layer.
"""

from collections.abc import Callable, Sequence

from core.filters.channel_layers import ChannelLayer
from pages.elements.component import component

_layer_strip = component(__file__, "layer_strip")
MOST_LAYERS_UNFOLDED = 12  # side by side: of a network, and of a stage
Groups = dict[str, list[str]]  # names of layers by what their names begin with


def layer_strip(
    layers: Sequence[ChannelLayer],
    chosen: str,
    off: dict[str, int],
    *,
    key: str,
    on_choose: Callable[[], None],
) -> None:
    """Draw the convolutions; a click is `st.session_state[key]["chosen"]`, a layer's name.

    Args:
        off: How many channels of each layer are switched off.
    """
    drawn = [layer.facts() | {"off": off.get(layer.name, 0)} for layer in layers]
    found = [
        {"name": stage, "blocks": [{"name": block, "layers": names} for block, names in blocks.items()]}
        for stage, blocks in stages([layer.name for layer in layers]).items()
    ]
    _layer_strip(
        key=key, data={"layers": drawn, "stages": found, "chosen": chosen}, on_chosen_change=on_choose
    )


def stages(names: Sequence[str]) -> dict[str, Groups]:
    """The stages of a network, and the blocks of each, by the names of its layers.

    A stage is what stands directly in the network, such as `layer3`; what holds most of the layers, such as
    `features` or `blocks`, is not a stage: what is in it is grouped. Few layers are not grouped.
    """
    if len(names) <= MOST_LAYERS_UNFOLDED:
        return {name: {name: [name]} for name in names}
    groups = _inside("", names)
    while (largest := max(groups, key=lambda group: len(groups[group]))) and (
        len(groups[largest]) > max(1, len(names) // 2)
    ):
        groups = {
            inner: layers
            for group, members in groups.items()
            for inner, layers in (_inside(group, members) if group == largest else {group: members}).items()
        }
    return {stage: _blocks(stage, members) for stage, members in groups.items()}


def _blocks(stage: str, names: Sequence[str]) -> Groups:
    """The blocks of a stage; where it has few layers, each stands for itself."""
    if len(names) <= MOST_LAYERS_UNFOLDED:
        return {name: [name] for name in names}
    return _inside(stage, names)


def _inside(group: str, names: Sequence[str]) -> Groups:
    """Layers by the next part of their names."""
    found: Groups = {}
    start = f"{group}." if group else ""
    for name in names:
        found.setdefault(start + name.removeprefix(start).partition(".")[0], []).append(name)
    return found
