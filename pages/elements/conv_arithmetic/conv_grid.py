"""The convolution by hand, in the browser: `conv_grid.js` draws, `conv_cells.js` calculates."""

from dataclasses import dataclass, field

import streamlit as st

from core.by_hand.conv_exercise import Exercise, from_address, from_json, to_address, to_json
from core.by_hand.conv_presets import presets
from core.errors import ConvoscopeError
from core.settings import JsonObject
from pages.elements.address import AddressMemory, new_address, remember
from pages.elements.as_text import as_written
from pages.elements.component import component


@dataclass
class _Memory:
    """What is kept in the session: `revision` grows when the browser must take over what is here."""

    exercise: Exercise
    link: AddressMemory = field(default_factory=AddressMemory)
    sent: object = None
    preset: str = ""
    revision: int = 0


_conv_grid = component(__file__, "conv_grid", "conv_cells")


def conv_grid(key: str = "conv_grid") -> Exercise:
    """Draw the exercise of the address, and keep the address to what is done with it in the browser.

    Returns the exercise as it stands now.
    """
    default = presets()[0].exercise
    memory: _Memory = st.session_state.setdefault(f"{key}_memory", _Memory(default))
    sent = _sent(key)
    if sent is not None and sent != memory.sent:
        memory.sent = sent
        try:
            memory.exercise = from_json(sent)
        except ConvoscopeError as error:
            st.error(as_written(error), icon=":material/error:")
        else:
            remember(memory.link, _NAMES, to_address(memory.exercise, default))
    address = new_address(memory.link, _NAMES)
    if address is not None:
        memory.revision += 1
        try:
            memory.exercise = from_address(address, default)
        except ConvoscopeError as error:
            st.error(f"{as_written(error)} The last good exercise is shown.", icon=":material/link_off:")
        memory.preset = _preset_of(memory.exercise)
    _conv_grid(
        key=key,
        data={
            "exercise": to_json(memory.exercise),
            "revision": memory.revision,
            "preset": memory.preset,
            "presets": [
                {
                    "name": p.name,
                    "title": p.title,
                    "question": p.question,
                    "answer": p.answer,
                    "wrong": p.wrong,
                    "exercise": to_json(p.exercise),
                }
                for p in presets()
            ],
        },
        on_exercise_change=lambda: None,
    )
    return memory.exercise


def _sent(key: str) -> JsonObject | None:
    state = st.session_state.get(key)
    sent = state.get("exercise") if state else None
    return dict(sent) if sent else None


_NAMES = {
    "conv_kind",
    "conv_x",
    "conv_w",
    "conv_b",
    "conv_kernel",
    "conv_stride",
    "conv_padding",
    "conv_dilation",
    "conv_output_padding",
    "conv_groups",
    "conv_mode",
    "conv_ceil",
    "conv_count_pad",
    "conv_at",
    "conv_predict",
}


def _preset_of(exercise: Exercise) -> str:
    """The preset that has these numbers, if one has."""
    plain = {**to_json(exercise), "at": None, "predict": None}
    same = [p.name for p in presets() if {**to_json(p.exercise), "at": None, "predict": None} == plain]
    return same[0] if same else ""
