"""What the folders of a data set were taken for, and the form that says it otherwise."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.data.dataset import Skipped
from core.data.folder_index import ImageFiles, look_into
from core.data.folder_reading import ROLES, FolderReading
from core.errors import ConvoscopeError
from pages.elements.as_text import plain

Said = dict[str, str]  # settings of the data set that overrule the guess
_SPLIT_WORDS = {"": "images", "train": "training", "val": "validation", "test": "test"}
_ROLE_WORDS = {
    "train": "training set", "val": "validation set", "test": "test set", "class": "class",
    "skip": "left out",
}  # fmt: skip
_FEWEST_CLASSES = 2
_LONGEST_RADIO = 4  # options
_KEPT_READINGS = 4  # of a session: a hundred thousand files take seconds


@dataclass(frozen=True)
class Asked:
    """What stands in the form, and what it gives."""

    said: Said
    reading: FolderReading
    skipped: tuple[Skipped, ...]  # all files that are left out

    @property
    def has_classes(self) -> bool:
        return len(self.reading.class_names) >= _FEWEST_CLASSES


def folder_form(files_named: Callable[[str], ImageFiles], said: Mapping[str, str], key: str) -> Asked:
    """Draw the form, filled with the guess and with what was said before, and what that gives.

    Args:
        files_named: The files, with the names of a zip in that encoding.
        said: What was said before, over the guess.
        key: The beginning of the controls' keys.
    """
    held: Said = st.session_state.setdefault(f"{key}_said", dict(said))
    try:
        asked = asked_of(files_named, held)
    except ConvoscopeError as error:  # of what was said before
        st.error(plain(str(error)), icon=":material/error:")
        held = st.session_state[f"{key}_said"] = {}
        asked = asked_of(files_named, held)
    left, right = st.columns([3, 2], gap="large")
    with right:
        st.markdown("**What it gives**")
        _outcome(asked.reading, asked.skipped)
    with left:
        st.markdown("**What the folders are**")
        changed = {**held, **_choices(asked, key)}
        changed = {**changed, **_roles(asked.reading, f"{key}_{_mark(asked)}")}
        changed = {name: value for name, value in changed.items() if value not in ("", "guess")}
        if changed != held:
            try:
                asked_of(files_named, changed)
            except ConvoscopeError as error:
                st.error(plain(str(error)), icon=":material/error:")
            else:
                st.session_state[f"{key}_said"] = changed
                st.rerun()
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in asked.reading.sentences(with_choices=False)))
    return asked


def asked_of(files_named: Callable[[str], ImageFiles], said: Mapping[str, str]) -> Asked:
    """What these settings give.

    Raises:
        SettingError: They name folders that are not there, or cannot be understood.
    """
    files = files_named(said.get("names", "guess"))
    splits, spelling = said.get("splits", ""), said.get("spelling", "guess")
    held: dict[tuple[str, str, str], FolderReading] = st.session_state.setdefault("data_readings", {})
    facts = (files.key, splits, spelling)
    if facts not in held:
        reading = look_into(files, splits=splits, spelling=spelling)
        while len(held) >= _KEPT_READINGS:
            del held[next(iter(held))]
        held[facts] = reading
    return Asked(dict(said), held[facts], (*held[facts].left_out, *files.skipped))


def _mark(asked: Asked) -> str:
    """Changes whenever the table of folders has to be filled anew."""
    return _digest(sorted(asked.said.items()), asked.reading.roles)


def _digest(*facts: object) -> str:
    return f"{zlib.crc32(repr(facts).encode()):08x}"


def _choices(asked: Asked, key: str) -> Said:
    """One control for each question, the option that was taken chosen; one click takes another."""
    found: Said = {}
    splits = {"": "As guessed", "none": "Every folder is a class"}
    for choice in asked.reading.choices:
        if choice.setting == "splits":
            st.caption(plain(choice.question))
            splits |= {
                option: f"{_in_words(option)}; {meaning}"
                for option, meaning in choice.options.items()
                if option not in splits
            }
            continue
        options = {option: meaning[:1].upper() + meaning[1:] for option, meaning in choice.options.items()}
        found[choice.setting] = _one_of(choice.question, options, choice.taken, f"{key}_{choice.setting}")
        if found[choice.setting] == choice.taken and not choice.said:
            found[choice.setting] = "guess"
    taken = asked.said.get("splits", "")
    if taken not in splits:
        splits[taken] = "As in the table"
    return {**found, "splits": _one_of("Folders", splits, taken, f"{key}_splits")}


def _in_words(splits: str) -> str:
    """The setting "a=train, b=test" as "“a” is the training set, “b” is the test set"."""
    parts = [part.rpartition("=") for part in splits.split(", ")]
    return ", ".join(f"“{folder}” is the {_ROLE_WORDS.get(role, role)}" for folder, _, role in parts)


def _one_of(label: str, options: Mapping[str, str], taken: str, key: str) -> str:
    names, at, key = list(options), list(options).index(taken), f"{key}_{_digest(taken, *options)}"
    if len(options) > _LONGEST_RADIO:  # a list shows its options as they stand, and no Markdown
        return str(st.selectbox(plain(label), names, at, format_func=options.__getitem__, key=key))
    return str(st.radio(plain(label), names, at, format_func=lambda o: plain(options[o]), key=key))


def _roles(reading: FolderReading, key: str) -> Said:
    """A table of the folders and what each was taken for, to be changed there."""
    if not reading.roles:
        return {}
    shown = pd.DataFrame(
        {
            "folder": [role.folder for role in reading.roles],
            "images": [role.images for role in reading.roles],
            "is": [_ROLE_WORDS[role.role] for role in reading.roles],
        }
    )
    edited = st.data_editor(
        shown, hide_index=True, disabled=["folder", "images"], key=f"{key}_roles", width="stretch",
        height=min(300, 38 + 35 * len(shown)),
        column_config={
            "is": st.column_config.SelectboxColumn(
                options=[_ROLE_WORDS[role] for role in ROLES], required=True
            )
        },
    )  # fmt: skip
    roles = {word: role for role, word in _ROLE_WORDS.items()}
    chosen = [roles[str(word)] for word in edited["is"]]
    if chosen == [role.role for role in reading.roles]:
        return {}
    said = [
        f"{role.folder}={now}"
        for role, now in zip(reading.roles, chosen, strict=True)
        if now != "class" or role.role != "class"
    ]
    return {"splits": ", ".join(said)}


def _outcome(reading: FolderReading, skipped: tuple[Skipped, ...]) -> None:
    counts = reading.counts()
    if not counts:
        st.warning("No image has a class.", icon=":material/warning:")
        return
    names = reading.class_names
    table = pd.DataFrame(
        {"class": names}
        | {_SPLIT_WORDS[split]: [found.get(name, 0) for name in names] for split, found in counts.items()}
    )
    st.dataframe(table, hide_index=True, width="stretch", height=min(300, 38 + 35 * len(table)))
    images = sum(sum(found.values()) for found in counts.values())
    st.caption(f"{images:,} images in {len(names):,} classes.")
    if skipped:
        first = f"{plain(skipped[0].path)}: {plain(skipped[0].reason)}"
        st.caption(f"{len(skipped):,} files and folders are left out; the first is {first}.")
