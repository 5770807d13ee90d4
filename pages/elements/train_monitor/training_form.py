"""The form of a training: drawn from the settings that trainings and networks declare."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from core.data.catalogue import catalogue
from core.errors import SettingError
from core.serving import jobs
from core.settings import RENAMED, Setting, SettingValue, assignments_in, settings_of
from core.training.training_settings import TrainingSettings
from pages.elements.as_text import plain
from pages.elements.page import errors_shown
from pages.elements.pickers.dataset_picker import choose_next, dataset_picker, dataset_settings
from pages.elements.settings_form import Filled, field_value, filled_form

# What stands in the open; the other declared settings are drawn in the groups below it, or under "More".
FIRST_FIELDS = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "train_images", "seed")
GROUPS = {
    "Augmentation": ("flip", "crop", "color", "rand_augment", "cutout"),
    "Regularization and what learns": (
        "weight_decay", "label_smoothing", "clip_gradient", "trainable", "unfreeze_at", "validation",
    ),
}  # fmt: skip
Options = dict[str, SettingValue]  # settings of a training by name, as the command line gets them
_ELSEWHERE = ("dataset", "dataset_settings", "architecture", "architecture_settings")


def training_form(prefix: str) -> tuple[str, Options] | None:
    """Draw the form; the run's name and its options when start was pressed.

    Every field stands in the address, so that a teacher can send a prepared form as a link.
    """
    declared = {setting.name: setting for setting in settings_of(TrainingSettings)}
    options, right = _data_and_network(prefix)
    filled = [_fields([declared[n] for n in FIRST_FIELDS], prefix, columns=4)]
    shown = {*FIRST_FIELDS, *_ELSEWHERE}
    for place, (title, names) in zip(st.columns(2), GROUPS.items(), strict=True):
        with place.expander(_heading(title, names, declared, prefix)):
            filled.append(_fields([declared[n] for n in names], prefix, columns=2))
        shown |= set(names)
    rest = [setting for name, setting in declared.items() if name not in shown]
    with st.expander(_heading("More", [s.name for s in rest], declared, prefix)):
        filled.append(_fields(rest, prefix, columns=4))
    for part in filled:
        options |= part.values
    right = right and not any(part.errors for part in filled)
    if right:
        _say_if_cached(options)
    return _name_and_start(prefix, options, right)


def _name_and_start(prefix: str, options: Options, right: bool) -> tuple[str, Options] | None:
    suggested = free_name(f"{options['dataset']}_{options['architecture']}")
    left, place = st.columns([3, 1], vertical_alignment="bottom")
    name = left.text_input(
        "Name of the run", key=f"{prefix}_name", placeholder=suggested, max_chars=80,
        help="Letters, digits, _ and -. Left empty, it is the name shown here.",
    )  # fmt: skip
    pressed = place.button(
        "Start", type="primary", icon=":material/play_arrow:", width="stretch", key=f"{prefix}_start",
        disabled=not right, help=None if right else "Correct what is marked in red first.",
    )  # fmt: skip
    with st.expander("The same in a shell", icon=":material/terminal:"):
        st.code(shell_command(name or suggested, options), language="bash", wrap_lines=True)
    return (name or suggested, options) if pressed and right else None


def start(name: str, options: Mapping[str, Any], *, title: str = "") -> None:
    """Put a training in the queue of its device.

    Raises:
        SettingError: A value is not allowed, or the name cannot be a folder's.
        Unavailable: The device is not there.
        JobError: There is a run of that name.
    """
    from core.training.devices import device_named
    from core.training.preparation import network_of

    settings = TrainingSettings.of(options)
    network_of(settings)
    device = device_named(settings.device).type
    jobs.submit(name, jobs.train_command(name, dict(options)), title=title or name, device=device)


def free_name(wanted: str) -> str:
    """`wanted` as the name of a folder, with a number after it where that is taken."""
    from core.paths import home

    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("_") or "run"
    taken = {folder.name for folder in home("runs").iterdir()}
    return next(n for i in range(1, 10**6) if (n := stem if i == 1 else f"{stem}_{i}") not in taken)


def shell_command(name: str, options: Mapping[str, Any]) -> str:
    """What the button does, as one would type it."""
    import shlex

    return shlex.join(["python", *jobs.train_command(name, dict(options))[1:]])


def fill_form(prefix: str, settings: Mapping[str, Any]) -> None:
    """From the next run of the page on, the form shows these settings, to be changed and started."""
    from core.models.architectures import models

    declared = [s for s in settings_of(TrainingSettings) if s.name in settings and s.name not in _ELSEWHERE]
    _fill(declared, prefix, settings)
    entry = next((entry for entry in catalogue() if entry.name == settings.get("dataset")), None)
    if entry is not None:
        choose_next(prefix, entry.name)
        _fill(entry.settings, f"{prefix}_{entry.name}", _assigned(settings.get("dataset_settings")))
    architecture = str(settings.get("architecture"))
    if architecture in models:
        st.session_state[f"{prefix}_architecture"] = architecture
        own = models[architecture].settings
        _fill(own, f"{prefix}_{architecture}", _assigned(settings.get("architecture_settings")))


def _fill(settings: Iterable[Setting], prefix: str, values: Mapping[str, Any]) -> None:
    """Put values into the fields of a form, and defaults where there is none."""
    for setting in settings:
        value = setting.check(values[setting.name]) if setting.name in values else setting.default
        st.session_state[f"{prefix}_{setting.name}"] = field_value(setting, value)


def _assigned(text: object) -> dict[str, str]:
    return {RENAMED.get(name, name): value for name, value in assignments_in(str(text or "")).items()}


def _data_and_network(prefix: str) -> tuple[Options, bool]:
    """Choose the data set and the network with their settings; whether all of these are allowed."""
    from core.models.architectures import models

    members = {member.name: member for member in models if member.facts.get("trainable", True)}
    summaries = "  \n".join(f"**{m.name}**: {plain(m.summary)}" for m in members.values())
    left, right = st.columns(2)
    of_data: Options | None = {}
    with left:
        entry = dataset_picker(prefix)
        if [s for s in entry.settings if s.name != "download"]:
            of_data = None
            with st.expander("Settings of the data set", icon=":material/tune:"), errors_shown():
                of_data = dataset_settings(entry, prefix)
    with right:
        if st.session_state.get(f"{prefix}_architecture") not in (None, *members):
            del st.session_state[f"{prefix}_architecture"]
        architecture = st.selectbox(
            "Network", list(members), list(members).index("small_cnn"), key=f"{prefix}_architecture",
            bind="query-params", help=summaries,
        )  # fmt: skip
        declared = members[architecture].settings
        with st.expander("Settings of the network", icon=":material/tune:"):
            network = _fields(declared, f"{prefix}_{architecture}", columns=2)
    changed = {
        n: v for n, v in network.values.items() if v != next(s.default for s in declared if s.name == n)
    }
    options: Options = {
        "dataset": entry.name,
        "dataset_settings": in_one_line(of_data or {}),
        "architecture": architecture,
        "architecture_settings": in_one_line(changed),
    }
    return options, of_data is not None and not network.errors


def in_one_line(values: Mapping[str, Any]) -> str:
    """Settings as `train` takes them: "widths=64,128; dropout=0.5"."""
    words = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()}
    for name, word in words.items():
        if ";" in word:
            raise SettingError(f"{name} is {word!r}: a semicolon separates two settings, so leave it out.")
    return "; ".join(f"{name}={word}" for name, word in words.items())


def _fields(settings: Sequence[Setting], prefix: str, *, columns: int) -> Filled:
    return filled_form(settings, prefix, columns=columns, placeholders={"train_images": "all of them"})


def _heading(title: str, names: Iterable[str], declared: Mapping[str, Setting], prefix: str) -> str:
    """The group's title, and what in it is not at its default, so that nothing hides in a closed group."""
    changed = [
        declared[n].title
        for n in names
        if (value := _held(declared[n], f"{prefix}_{n}")) != declared[n].default
        and str(value) != str(declared[n].default or "")
    ]
    return f"{title} · changed: {', '.join(changed)}" if changed else title


def _held(setting: Setting, key: str) -> Any:
    """What a field holds, or will hold once it is drawn: what a link says, or its default."""
    if key in st.session_state or key not in st.query_params:
        return st.session_state.get(key, setting.default)
    try:
        return setting.check(st.query_params[key])
    except SettingError:
        return st.query_params[key]


def _say_if_cached(options: Mapping[str, Any]) -> None:
    if options["trainable"] != "head":
        return
    augmented = options["flip"] != "none" or any(
        options[name] for name in ("crop", "color", "rand_augment", "cutout")
    )
    if options["unfreeze_at"] or augmented:
        st.info("Features are computed anew in every epoch: augmentation or a later unfreezing needs that.")
    else:
        st.info(
            "Only the head learns and nothing is augmented, so features are computed once and kept: an epoch "
            "then takes seconds."
        )
