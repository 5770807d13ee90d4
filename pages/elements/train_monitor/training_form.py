"""The form of a training: drawn from the settings that `train` and the networks declare."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from core.data.catalogue import catalogue
from core.errors import SettingError
from core.serving import jobs
from core.settings import Choice, Range, Setting, assignments_in, settings_of
from pages.elements.as_text import plain
from pages.elements.page import errors_shown
from pages.elements.pickers.dataset_picker import dataset_picker, dataset_settings

# What stands in the open; the other declared settings are drawn in the groups below it, or under "More".
FIRST = ("epochs", "batch_size", "optimizer", "learning_rate", "schedule", "train_images", "seed")
GROUPS = {
    "Augmentation": ("flip", "crop", "color", "rand_augment", "cutout"),
    "Regularisation and what learns": (
        "weight_decay", "label_smoothing", "clip_gradient", "trainable", "unfreeze_at", "validation",
    ),
}  # fmt: skip
_ELSEWHERE = ("dataset", "dataset_settings", "architecture", "architecture_settings")


def training_form(prefix: str) -> tuple[str, dict[str, Any]] | None:
    """Draw the form; the run's name and its options when start was pressed.

    Every field stands in the address, so that a teacher can send a prepared form as a link.
    """
    from core.training.train import train

    declared = {setting.name: setting for setting in settings_of(train)}
    options = _data_and_network(prefix)
    options |= _fields([declared[n] for n in FIRST], prefix, columns=4)
    left, right = st.columns(2)
    shown = {*FIRST, *_ELSEWHERE}
    for place, (title, names) in zip((left, right), GROUPS.items(), strict=True):
        with place.expander(_heading(title, names, declared, prefix)):
            options |= _fields([declared[n] for n in names], prefix, columns=2)
        shown |= set(names)
    rest = [setting for name, setting in declared.items() if name not in shown]
    with st.expander(_heading("More", [s.name for s in rest], declared, prefix)):
        options |= _fields(rest, prefix, columns=4)
    wrong = None in options.values() and any(
        options[name] is None and not declared[name].optional for name in options
    )
    if not wrong:
        _say_if_cached(options)
    suggested = free_name(f"{options['dataset']}_{options['architecture']}")
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.text_input(
        "Name of the run", key=f"{prefix}_name", placeholder=suggested, max_chars=80,
        help="Letters, digits, _ and -. Left empty it is called as shown.",
    )  # fmt: skip
    pressed = right.button(
        "Start", type="primary", icon=":material/play_arrow:", width="stretch", key=f"{prefix}_start",
        disabled=wrong, help="Correct what is marked in red first." if wrong else None,
    )  # fmt: skip
    with st.expander("The same in a shell", icon=":material/terminal:"):
        st.code(shell_command(name or suggested, options), language="bash", wrap_lines=True)
    return (name or suggested, options) if pressed and not wrong else None


def start(name: str, options: Mapping[str, Any], *, title: str = "") -> None:
    """Put a training in the queue of its device.

    Raises:
        SettingError: A value is not allowed, or the name is no folder's.
        JobError: There is a run of that name.
    """
    from core.models.architectures import models
    from core.models.batch_norm_folding import check_foldable
    from core.models.classifier import best_device
    from core.settings import check_settings
    from core.training.train import train

    checked = check_settings(settings_of(train), options)
    given = assignments_in(checked["architecture_settings"])
    network = check_settings(models[checked["architecture"]].settings, given)
    if checked["fold_batch_norm"]:
        check_foldable(checked["architecture"], network)
    device = str(best_device()) if checked["device"] == "auto" else checked["device"]
    jobs.submit(name, jobs.train_command(name, dict(options)), title=title or name, device=device)


def free_name(wanted: str) -> str:
    """`wanted` as the name of a folder, with a number behind it where that is taken."""
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
    from core.training.train import train

    for setting in settings_of(train):
        if setting.name in settings and setting.name not in _ELSEWHERE:
            st.session_state[f"{prefix}_{setting.name}"] = _in_field(setting, settings[setting.name])
    entry = next((entry for entry in catalogue() if entry.name == settings.get("dataset")), None)
    if entry is not None:
        st.session_state[f"{prefix}_set_next"] = entry.name
        given = assignments_in(str(settings.get("dataset_settings") or ""))
        for setting in entry.settings:
            if setting.name in given:
                key = f"{prefix}_{entry.name}_{setting.name}"
                st.session_state[key] = setting.check(given[setting.name])
    architecture = str(settings.get("architecture"))
    if architecture in models:
        st.session_state[f"{prefix}_architecture"] = architecture
        given = assignments_in(str(settings.get("architecture_settings") or ""))
        for setting in models[architecture].settings:
            value = setting.check(given[setting.name]) if setting.name in given else setting.default
            st.session_state[f"{prefix}_{architecture}_{setting.name}"] = _in_field(setting, value)


def setting_field(setting: Setting, key: str) -> Any:
    """One widget for one declared setting; its value stands in the address under `key`."""
    label = setting.title.capitalize() + (f" ({setting.unit})" if setting.unit else "")
    words = setting.help or None
    default = setting.default
    match setting.allowed:
        case Choice(options=options):
            index = options.index(setting.default)
            return st.selectbox(label, options, index, help=words, key=key, bind="query-params")
        case Range() if _is_typed(setting):
            text = st.text_input(label, f"{default:g}", help=words, key=key, bind="query-params")
            return setting.check(text)
        case Range(minimum=low, maximum=high, step=step):
            kind = setting.type
            number = st.number_input(
                label, kind(low), kind(high), default, kind(step or (1 if kind is int else 0.01)),
                "%g" if kind is float else None, key, words, bind="query-params",
                placeholder="all of them" if setting.name == "train_images" else "found for you",
            )  # fmt: skip
            return default if number is None else setting.check(number)
    if setting.type is bool:
        return st.toggle(label, default, help=words, key=key, bind="query-params")
    text = st.text_input(label, default or "", help=words, key=key, bind="query-params")
    return setting.check(text)


def _is_typed(setting: Setting) -> bool:
    """Whether it is a number of any size, such as 0.00003: buttons for more and less are no use there."""
    return (
        isinstance(setting.allowed, Range)
        and setting.type is float
        and setting.allowed.logarithmic
        and not setting.optional
    )


def _in_field(setting: Setting, value: Any) -> Any:
    """A value as its field holds it."""
    return f"{value:g}" if _is_typed(setting) else value


def _data_and_network(prefix: str) -> dict[str, Any]:
    from core.models.architectures import models

    members = {member.name: member for member in models if member.facts.get("trainable", True)}
    summaries = "  \n".join(f"**{m.name}**: {plain(m.summary)}" for m in members.values())
    left, right = st.columns(2)
    with left:
        entry = dataset_picker(prefix)
        of_data: dict[str, Any] = {}
        if [s for s in entry.settings if s.name != "download"]:
            with st.expander("Settings of the data set", icon=":material/tune:"):
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
            values = _fields(declared, f"{prefix}_{architecture}", columns=2)
    return {
        "dataset": entry.name,
        "dataset_settings": in_one_line(of_data),
        "architecture": architecture,
        "architecture_settings": None
        if any(values[s.name] is None and not s.optional for s in declared)
        else in_one_line({s.name: values[s.name] for s in declared if values[s.name] != s.default}),
    }


def in_one_line(values: Mapping[str, Any]) -> str:
    """Settings as `train` takes them: "widths=64,128; dropout=0.5"."""
    words = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()}
    for name, word in words.items():
        if ";" in word:
            raise SettingError(f"{name} is {word!r}: a semicolon stands between two settings; leave it out.")
    return "; ".join(f"{name}={word}" for name, word in words.items())


def _fields(settings: Iterable[Setting], prefix: str, *, columns: int) -> dict[str, Any]:
    """Widgets in rows; the values of all of them, None where what stands in a field is not allowed."""
    values: dict[str, Any] = {}
    settings = list(settings)
    for begin in range(0, len(settings), columns):
        row = st.columns(columns, vertical_alignment="bottom")
        for place, setting in zip(row, settings[begin : begin + columns], strict=False):
            values[setting.name] = None
            with place, errors_shown():
                values[setting.name] = setting_field(setting, f"{prefix}_{setting.name}")
    return values


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
