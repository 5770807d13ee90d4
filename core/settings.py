"""Settings that a function declares in its signature, and that forms and commands draw from it.

    def occlude(classifier, image, target, *,
                window: Annotated[int, Range(1, 512), "pixels"] = 9,
                fill: Annotated[str, Choice("gray", "black", "mean")] = "gray"): ...

Every keyword-only parameter that is annotated with `Range`, `Choice` or `Text`, or is a `bool`, is a
setting. Its help is the parameter's entry in the docstring's `Args:`, so that one text is kept true.
Where settings are many, they are the keyword-only fields of a frozen dataclass, whose docstring has
`Attributes:`; `check_fields` in its `__post_init__` sees to it that none exists with a value that is not
allowed.
"""

import argparse
import inspect
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from core.errors import SettingError, one_of

SettingValue = bool | int | float | str | None
Settings = Mapping[str, SettingValue]  # by the setting's name, as a form, a command line or a card has them
JsonObject = dict[str, Any]  # what `json.loads` makes of an object, before it is checked, and what is written

# Names of settings and choices in links, command lines and settings files from before the American spelling.
RENAMED = {"colour": "color", "grey": "gray"}


@dataclass(frozen=True)
class Range:
    """Numbers from `minimum` to `maximum`, both allowed; `step` is what a slider moves by."""

    minimum: float
    maximum: float
    step: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True, init=False)
class Choice:
    """One of a few fixed words."""

    options: tuple[str, ...]

    def __init__(self, *options: str) -> None:
        object.__setattr__(self, "options", options)


@dataclass(frozen=True)
class Text:
    """Free text, such as a layer's name or a comma-separated list; `pattern` must match all of it."""

    pattern: str = ".*"
    example: str = ""


@dataclass(frozen=True)
class Setting:
    """One declared setting of a function."""

    name: str
    type: type  # int, float, bool or str
    default: Any
    allowed: Range | Choice | Text | None = None
    optional: bool = False  # None is allowed, and means "find it yourself"
    unit: str = ""
    help: str = ""

    @property
    def title(self) -> str:
        """The name as words for a label: `n_steps` reads "n steps"."""
        return self.name.replace("_", " ")

    def check(self, value: Any) -> Any:
        """The value as this setting's type.

        Raises:
            SettingError: It is not of that type, or not allowed.
        """
        if value is None or (self.optional and value == ""):
            if self.optional:
                return None
            raise SettingError(f"{self.name} is empty: {self._allowed_words()}")
        try:
            converted = self._convert(value)
        except (TypeError, ValueError):
            raise SettingError(f"{self.name} is {value!r}: {self._allowed_words()}") from None
        if not self._is_allowed(converted):
            raise SettingError(f"{self.name} is {value!r}: {self._allowed_words()}")
        return converted

    def _convert(self, value: Any) -> Any:
        if self.type is bool:
            if isinstance(value, bool):
                return value
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return words[str(value).lower()] if str(value).lower() in words else _raise(value)
        if isinstance(value, bool):
            return _raise(value)
        if self.type is int:
            number = float(value)
            return int(number) if number == int(number) else _raise(value)
        if self.type is float:
            number = float(value)
            return number if math.isfinite(number) else _raise(value)
        word = str(value)
        if isinstance(self.allowed, Choice) and word not in self.allowed.options:
            return RENAMED.get(word, word)
        return word

    def _is_allowed(self, value: Any) -> bool:
        match self.allowed:
            case Range(minimum=low, maximum=high):
                return bool(low <= value <= high)
            case Choice(options=options):
                return value in options
            case Text(pattern=pattern):
                return re.fullmatch(pattern, value) is not None
        return True

    def _allowed_words(self) -> str:
        match self.allowed:
            case Range(minimum=low, maximum=high):
                kind = "a whole number" if self.type is int else "a number"
                return f"choose {kind} from {low:g} to {high:g}{' ' + self.unit if self.unit else ''}."
            case Choice(options=options):
                return one_of(options)
            case Text(example=example):
                return f"write it like {example!r}." if example else "write some text."
        return "choose true or false." if self.type is bool else f"choose a {self.type.__name__}."


def _raise(value: Any) -> Any:
    raise ValueError(value)


def settings_of(function: Callable[..., Any]) -> tuple[Setting, ...]:
    """The settings that a function or a dataclass declares, in the order of its signature."""
    hints = get_type_hints(function, include_extras=True)
    helps = _argument_helps(inspect.getdoc(function) or "")
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        hint = hints.get(name, str)
        unit = ""
        allowed: Range | Choice | Text | None = None
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
            for extra in extras:
                if isinstance(extra, Range | Choice | Text):
                    allowed = extra
                elif isinstance(extra, str):
                    unit = extra
        optional = get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)
        if optional:
            (hint,) = (argument for argument in get_args(hint) if argument is not type(None))
        if allowed is None and hint is not bool:
            continue  # `progress` and the like: arguments, not settings
        found.append(Setting(name, hint, parameter.default, allowed, optional, unit, helps.get(name, "")))
    return tuple(found)


def check_settings(settings: Iterable[Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """All settings with a value each: the given one, checked, or the default.

    Raises:
        SettingError: A value is not allowed, or there is no setting of that name.
    """
    settings = list(settings)
    values = {RENAMED.get(name, name): value for name, value in values.items()}
    unknown = set(values) - {setting.name for setting in settings}
    if unknown:
        raise SettingError(f"There is no setting {min(unknown)!r} here. {one_of([s.name for s in settings])}")
    return {s.name: s.check(values[s.name]) if s.name in values else s.default for s in settings}


def check_fields(settings: Any) -> None:
    """Bring every field of a frozen dataclass of settings to its type: for its `__post_init__`.

    Raises:
        SettingError: A value is not allowed.
    """
    for setting in settings_of(type(settings)):
        object.__setattr__(settings, setting.name, setting.check(getattr(settings, setting.name)))


def add_options(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    """Give a command one option for every setting, with its help, default and range."""
    for setting in settings:
        shown = "found for you" if setting.default is None else setting.default
        names = [setting.name, *(old for old, new in RENAMED.items() if new == setting.name)]
        parser.add_argument(
            *(f"--{name.replace('_', '-')}" for name in names),
            dest=setting.name,
            default=argparse.SUPPRESS,
            metavar=_metavar(setting),
            help=f"{setting.help} (default: {shown})".replace("%", "%%").strip(),
        )


def _metavar(setting: Setting) -> str:
    match setting.allowed:
        case Choice(options=options):
            return "{" + ",".join(options) + "}" if len(options) <= 8 else setting.name.upper()
        case Range(minimum=low, maximum=high):
            return f"{low:g}..{high:g}"
    return "true|false" if setting.type is bool else setting.name.upper()


def _argument_helps(docstring: str) -> dict[str, str]:
    """The texts of a Google docstring's `Args:` or `Attributes:` section, by parameter."""
    section = re.search(r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    if not section:
        return {}
    helps: dict[str, str] = {}
    current = None
    for line in section.group(1).splitlines():
        entry = re.match(r"^ {4}(\w+): (.*)", line)
        if entry:
            current = entry.group(1)
            helps[current] = entry.group(2).strip()
        elif current and line.strip():
            helps[current] += " " + line.strip()
    return helps


def numbers_in(text: str) -> list[int]:
    """The whole numbers of a comma-separated list: "64,256,256" gives [64, 256, 256]."""
    return [int(part) for part in text.split(",") if part.strip()]


def assignments_in(text: str) -> dict[str, str]:
    """Settings in one line: "widths=64,256; dropout=0.5" gives {"widths": "64,256", "dropout": "0.5"}.

    Raises:
        SettingError: A part has no equals sign, or a name stands twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise SettingError(
                f"{part!r} sets nothing: write name=value, with a semicolon between two of them."
            )
        if name in found:
            raise SettingError(f"{name} is set twice in {text!r}: keep one of them.")
        found[name] = value
    return found
