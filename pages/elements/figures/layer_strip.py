"""The strip of a network's layers, one of which is chosen."""

from collections.abc import Callable, Sequence

from core.filters.channel_layers import ChannelLayer
from pages.elements.component import component

_layer_strip = component(__file__, "layer_strip")


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
    _layer_strip(key=key, data={"layers": drawn, "chosen": chosen}, on_chosen_change=on_choose)
