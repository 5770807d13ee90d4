"""The history of a run: one JSON object a line, appended as it happens, readable at any moment.

Every line has a `kind`, and each kind is a dataclass here: "start" (what is trained, how long; once more for
each time the run was resumed), "features" (of a frozen network, computed once), "step" (every few steps),
"epoch" (one each), "end" (why it ended, in words). A field without a value is left out of the line. Numbers
that are not finite are written as the words "nan", "inf" and "-inf", so that every line is JSON for every
reader. Fields that a reader does not know are ignored; a line with a value of the wrong type is damaged, and
passed over like one that was cut off by a power failure.
"""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from core.paths import from_json, write_whole
from core.settings import RENAMED

PlainRecord = dict[str, Any]  # a record as JSON has it


@dataclass(frozen=True)
class StartRecord:
    """What is trained, on what, and from where on.

    Attributes:
        epochs: How many are planned; 0 where that is not known. The same holds for the other counts.
        epoch, step: Where the run begins, or is taken up: step 0, or the last step that was saved.
        precision: The floats of convolutions and products, such as "bfloat16".
        implementation: Of a perceptron that was trained by hand: "numpy", "scikit-learn" or "pytorch".
        settings: All settings of the run, by name.
    """

    kind: ClassVar[str] = "start"
    epochs: int = 0
    steps_an_epoch: int = 0
    epoch: int = 1
    step: int = 0
    train_images: int = 0
    validation_images: int = 0
    device: str | None = None
    machine: str | None = None
    precision: str | None = None
    implementation: str | None = None
    parameters: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FeaturesRecord:
    """How many images of a split have their features computed."""

    kind: ClassVar[str] = "features"
    done: int
    of: int


@dataclass(frozen=True)
class StepRecord:
    """One batch; `step` counts from the beginning of the run, and figures that are not known are None."""

    kind: ClassVar[str] = "step"
    epoch: int
    step: int
    loss: float | None = None
    accuracy: float | None = None
    learning_rate: float | None = None
    gradient_norm: float | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; figures that are not known are None.

    Attributes:
        step: The last step of the epoch, counted from the beginning of the run.
        train_loss, train_accuracy: Means over the epoch's batches, each before its step.
        gradient_norm, largest_gradient_norm: Mean and maximum over the epoch's steps.
        skipped_steps: Steps that 16-bit floats had no room for; they are in none of the means.
        seconds: Validation included.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    step: int | None = None
    train_loss: float | None = None
    train_accuracy: float | None = None
    gradient_norm: float | None = None
    largest_gradient_norm: float | None = None
    skipped_steps: int | None = None
    images_per_second: float | None = None
    learning_rate: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class MeasuredAccuracy:
    """The accuracy that a run's best weights reach on the test images.

    Attributes:
        interval: The 95% interval of the accuracy.
        images: How many there are; None where that was not recorded.
    """

    accuracy: float
    interval: tuple[float, float]
    images: int | None = None


@dataclass(frozen=True)
class EndRecord:
    """Why the run ended ("all epochs done", "not finite"), its verdict in words, and what its card says."""

    kind: ClassVar[str] = "end"
    reason: str = ""
    verdict: str = ""
    best_epoch: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def test(self) -> MeasuredAccuracy | None:
        """The figures on the test images; None where the run has none."""
        try:
            found = self.metrics["test"]
            low, high = found["interval"]
            return MeasuredAccuracy(float(found["accuracy"]), (float(low), float(high)), found.get("images"))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


Record = StartRecord | FeaturesRecord | StepRecord | EpochRecord | EndRecord
Kind = TypeVar("Kind", StartRecord, FeaturesRecord, StepRecord, EpochRecord, EndRecord)

FILE = "history.jsonl"
_KINDS = {kind.kind: kind for kind in (StartRecord, FeaturesRecord, StepRecord, EpochRecord, EndRecord)}
_HINTS = {
    name: {field: hint for field, hint in get_type_hints(kind).items() if get_origin(hint) is not ClassVar}
    for name, kind in _KINDS.items()
}
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def history_file(variant: str = "") -> str:
    """The name of a history: of the run, or of one beside it in its folder, such as "scikit-learn"."""
    return FILE.replace(".", f"_{variant}.") if variant else FILE


def variants(folder: Path) -> list[str]:
    """The histories in a folder besides the run's own, by name."""
    stem, suffix = FILE.split(".")
    return sorted(p.stem.removeprefix(f"{stem}_") for p in folder.glob(f"{stem}_*.{suffix}"))


def append_record(path: Path, record: Record | PlainRecord) -> None:
    """Add one line, in one write, so that a reader never sees two halves of different records."""
    plain = record if isinstance(record, dict) else plain_record(record)
    line = json.dumps(_to_words(plain), ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(line.encode())


def read_history(path: Path) -> list[Record]:
    """All complete records of a file; none if it is missing. A line still being written is left out."""
    return read_new_records(path, 0)[0]


def read_new_records(path: Path, offset: int) -> tuple[list[Record], int]:
    """The records after `offset` bytes, and the offset to go on from: a page reads only what is new."""
    complete = _whole_lines(path, offset)
    return typed_records(parse_records(complete)), offset + len(complete)


def read_plain_records(path: Path) -> list[PlainRecord]:
    """All complete lines of a file as JSON has them: for jobs whose records are not those of a training."""
    return parse_records(_whole_lines(path, 0))


def parse_records(data: bytes) -> list[PlainRecord]:
    """The JSON objects in a file's bytes; lines that are none are passed over."""
    return [plain for line in data.splitlines() if (plain := _parsed(line)) is not None]


def typed_records(plain: Iterable[PlainRecord]) -> list[Record]:
    """Records from plain ones; what is damaged or of an unknown kind is left out."""
    return [record for one in plain if (record := typed_record(one)) is not None]


def typed_record(plain: PlainRecord) -> Record | None:
    """A record from a plain one; None where it is damaged or of an unknown kind."""
    name = str(plain.get("kind"))
    if name not in _KINDS:
        return None
    hints = _HINTS[name]
    given: PlainRecord = {name: plain[name] for name in hints if name in plain}
    if isinstance(settings := given.get("settings"), dict):
        given["settings"] = {RENAMED.get(name, name): value for name, value in settings.items()}
    for field_name, value in given.items():
        if not _fits(value, hints[field_name]):
            return None
        if _is_float(hints[field_name], value):
            given[field_name] = float(value)
    try:
        return _KINDS[name](**given)
    except TypeError:  # a field that every record of the kind has is missing
        return None


def plain_record(record: Record) -> PlainRecord:
    """A record as JSON has it, without what is not known."""
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {"kind": record.kind, **{name: value for name, value in values.items() if value is not None}}


def rewrite_history(path: Path, keep: Callable[[Record], bool]) -> None:
    """Drop what `keep` refuses and what is damaged, at once or not at all; other lines stay as they are."""
    kept = []
    for line in _whole_lines(path, 0).splitlines(keepends=True):
        plain = _parsed(line)
        record = typed_record(plain) if plain is not None else None
        if record is not None and keep(record):
            kept.append(line)
    write_whole(path, b"".join(kept))


def of_kind(history: Iterable[Record], kind: type[Kind]) -> Iterator[Kind]:
    """The records of one kind, in order."""
    return (record for record in history if isinstance(record, kind))


def _whole_lines(path: Path, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _parsed(line: bytes) -> PlainRecord | None:
    try:
        plain = from_json(line)
    except ValueError:  # a line cut off by a power failure, with others written after it
        return None
    return _from_words(plain) if isinstance(plain, dict) else None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type; a whole number is a float too, and True is not a number."""
    if isinstance(hint, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Mapping:
        return isinstance(value, dict)
    if isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, hint)


def _is_float(hint: Any, value: Any) -> bool:
    return isinstance(value, int) and (hint is float or float in get_args(hint))


def _to_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_words(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_words(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _from_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_words(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
