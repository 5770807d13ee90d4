"""The parts of the loss lab: each draws itself in the browser and keeps the address to what is done in it."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import streamlit as st

from core.by_hand.conv_exercise import numbers_from_text, numbers_to_text
from core.errors import ConvoscopeError
from pages.elements.address import AddressMemory, new_address, remember
from pages.elements.as_text import as_written
from pages.elements.component import component


class BadAddress(ConvoscopeError):
    """A parameter of the address that holds something else than it should."""


@dataclass(frozen=True)
class Numbers:
    """What one parameter of the address may hold: from `least` to `most` numbers, each within `range`."""

    default: tuple[float, ...]
    least: int
    most: int
    range: tuple[float, float]


PARTS: dict[str, dict[str, Numbers]] = {
    "loss_binary": {
        "loss_y": Numbers((1,), 1, 1, (0, 1)),
        "loss_p": Numbers((0.1,), 1, 1, (0, 1)),
        "loss_base": Numbers((0,), 1, 1, (0, 2)),
        "loss_pairs": Numbers((1, 0.1, 0, 0.2, 0, 0.7), 2, 16, (0, 1)),
    },
    "loss_bars": {
        "loss_true": Numbers((0.7, 0.2, 0.1), 2, 6, (0, 1)),
        "loss_predicted": Numbers((0.3, 0.5, 0.2), 2, 6, (0, 1)),
        "loss_bars_base": Numbers((0,), 1, 1, (0, 2)),
    },
    "loss_softmax": {
        "loss_z": Numbers((1, 2, 3), 2, 6, (-1e6, 1e6)),
        "loss_bits": Numbers((32,), 1, 1, (32, 64)),
    },
    "loss_step": {
        "loss_w": Numbers((-2.5, 2), 2, 2, (-4, 4)),
        "loss_lowest": Numbers((2, 0.5), 2, 2, (-4, 4)),
        "loss_rate": Numbers((0.2,), 1, 1, (0, 1)),
        "loss_decay": Numbers((0.5,), 1, 1, (0, 2)),
        "loss_steps": Numbers((20,), 1, 1, (1, 60)),
    },
}


@dataclass
class _Memory:
    """What is kept in the session: `revision` grows when the browser must take over what is here."""

    values: dict[str, list[float]] = field(default_factory=dict)
    link: AddressMemory = field(default_factory=AddressMemory)
    sent: object = None
    revision: int = 0


_components = {name: component(__file__, name, "loss_figures") for name in PARTS}


def loss_part(name: str, *, predict: bool) -> dict[str, list[float]]:
    """Draw one part, and return its numbers as they stand now."""
    wanted = PARTS[name]
    memory: _Memory = st.session_state.setdefault(f"{name}_memory", _Memory())
    state = st.session_state.get(name)
    sent = state.get("values") if state else None
    if sent and sent != memory.sent:
        memory.sent = sent
        try:
            memory.values = {
                key: check_numbers(key, sent.get(key), numbers) for key, numbers in wanted.items()
            }
        except ConvoscopeError as error:
            st.error(as_written(error), icon=":material/error:")
        else:
            remember(memory.link, wanted, _address(wanted, memory.values))
    address = new_address(memory.link, wanted)
    if address is not None:
        memory.revision += 1
        memory.values = _from_address(wanted, address)
    _components[name](
        key=name,
        data={"values": memory.values, "revision": memory.revision, "predict": predict},
        on_values_change=lambda: None,
    )
    return memory.values


def check_numbers(name: str, values: Any, numbers: Numbers) -> list[float]:
    """The values as floats.

    Raises:
        BadAddress: Too few, too many, or one outside its range.
    """
    low, high = numbers.range
    count = f"{numbers.least}" if numbers.least == numbers.most else f"{numbers.least} to {numbers.most}"
    allowed = f"write {count} number{'' if numbers.most == 1 else 's'} from {low:g} to {high:g}."
    try:
        found = [float(value) for value in values]
    except (TypeError, ValueError):
        raise BadAddress(f"{name} is {str(values)[:40]!r}: {allowed}") from None
    right = all(math.isfinite(v) and low <= v <= high for v in found)
    if (
        not right
        or not numbers.least <= len(found) <= numbers.most
        or (name == "loss_pairs" and len(found) % 2)
    ):
        raise BadAddress(f"{name} is {' '.join(f'{v:g}' for v in found)[:40]!r}: {allowed}")
    return found


def _from_address(wanted: dict[str, Numbers], address: dict[str, str]) -> dict[str, list[float]]:
    values = {}
    for key, numbers in wanted.items():
        values[key] = list(numbers.default)
        if key in address:
            try:
                values[key] = check_numbers(key, numbers_from_text(address[key], 1, key), numbers)
            except ConvoscopeError as error:
                st.error(f"{as_written(error)} It was ignored.", icon=":material/link_off:")
    pair = ("loss_true", "loss_predicted")
    if pair[0] in values and len(values[pair[0]]) != len(values[pair[1]]):
        st.error(
            f"loss_true has {len(values[pair[0]])} numbers, loss_predicted {len(values[pair[1]])}: write "
            "equally "
            "many.",
            icon=":material/link_off:",
        )
        values.update({key: list(wanted[key].default) for key in pair})
    for key in pair:
        if key in values and sum(values[key]) == 0:
            values[key] = list(wanted[key].default)
    return values


def _address(wanted: dict[str, Numbers], values: dict[str, list[float]]) -> dict[str, str]:
    return {
        key: numbers_to_text(np.array(values[key]))
        for key, numbers in wanted.items()
        if tuple(values[key]) != numbers.default
    }
