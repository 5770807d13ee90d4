"""What a classifier is, apart from its weights: the card that stands beside every checkpoint."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, TargetOutOfRange, UnknownName
from core.paths import from_json
from core.settings import JsonObject, Settings

# The files of a checkpoint's folder.
CARD, WEIGHTS, HISTORY = "card.json", "weights.safetensors", "history.jsonl"
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "box")


@dataclass(frozen=True)
class ModelCard:
    """A classifier described: enough to build it again, feed it rightly and say where it came from.

    Attributes:
        name: What people call it; the name of its checkpoint folder.
        architecture: A name in `core.models.architectures`.
        settings: The architecture's own settings.
        class_names: One a class. A network with a single logit has two: no, then yes.
        dataset: The data set it was trained on, by name; `dataset_fingerprint` is a hash of its pixels.
        command: The shell command that trained it.
        metrics: Measured figures, such as {"test": {"accuracy": 0.95, "interval": [0.945, 0.954]}}.
        weights_sha256: Of the weights file; empty for weights that are not ours to keep.
    """

    name: str
    architecture: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    settings: Settings = field(default_factory=dict)
    title: str = ""
    summary: str = ""
    dataset: str = ""
    dataset_fingerprint: str = ""
    command: str = ""
    metrics: JsonObject = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    source: str = ""
    license: str = ""

    @property
    def number_of_classes(self) -> int:
        return len(self.class_names)

    def target_index(self, target: int | str) -> int:
        """The index of a class given by index, by digits or by name.

        Raises:
            TargetOutOfRange: An index that is not below the number of classes.
            UnknownName: A name that no class has, or that several have.
        """
        if isinstance(target, str):
            matches = [i for i, name in enumerate(self.class_names) if name.lower() == target.lower()]
            if len(matches) == 1:
                return matches[0]
            if not target.lstrip("-").isdigit():
                raise UnknownName("class", target, self.class_names)
            target = int(target)
        if not 0 <= target < self.number_of_classes:
            raise TargetOutOfRange(target, self.number_of_classes)
        return int(target)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str | Path = "card.json") -> "ModelCard":
        """Read a card.

        Raises:
            BadCheckpoint: It is not JSON, or lacks or misnames something; the message says what and where.
        """
        try:
            values = from_json(text)
            _check_form(values)
            given: JsonObject = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("preprocessing").items()
            }
            preprocessing = Preprocessing(**given)
            values["class_names"] = tuple(values["class_names"])
            return cls(preprocessing=preprocessing, **values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            words = str(error)[:200] if str(error) else type(error).__name__
            raise BadCheckpoint(f"{where} is not a model card: {words}. Train or import it again.") from None
        except BadCheckpoint as error:
            raise BadCheckpoint(f"{where} is not a model card: {error}") from None


_TEXTS = ("name", "architecture", "title", "summary", "dataset", "dataset_fingerprint", "command",
          "weights_sha256", "source", "license")  # fmt: skip
_DICTIONARIES = ("settings", "metrics", "versions", "preprocessing")
LARGEST_SIDE = 8192  # pixels


def _check_form(values: Any) -> None:
    """Raise ValueError where a field of a card is not of its kind; missing ones are seen later."""
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, not fields by name")
    for name, value in values.items():
        if name in _TEXTS and not isinstance(value, str):
            raise ValueError(f"{name} is {_short(value)}, not text")
        if name in _DICTIONARIES and not isinstance(value, dict):
            raise ValueError(f"{name} is {_short(value)}, not fields by name")
    names = values["class_names"]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ValueError(f"class_names is {_short(names)}, not a list of names")
    seed = values.get("seed")
    if seed is not None and type(seed) is not int:
        raise ValueError(f"seed is {_short(seed)}, not a whole number")
    if not all(isinstance(text, str) for text in values.get("versions", {}).values()):
        raise ValueError("versions holds something that is not text")
    _check_preprocessing(values["preprocessing"])


def _check_preprocessing(given: JsonObject) -> None:
    size, channels = given["input_size"], given.get("channels", 3)
    if not (isinstance(size, list) and len(size) == 2 and all(_is_whole(s, LARGEST_SIDE) for s in size)):
        raise ValueError(f"input_size is {_short(size)}, not two sides of 1 to {LARGEST_SIDE} pixels")
    if channels not in (1, 3) or type(channels) is not int:
        raise ValueError(f"channels is {_short(channels)}, not 1 or 3")
    for name in ("mean", "std"):
        numbers = given[name]
        if not (isinstance(numbers, list) and all(type(n) in (int, float) for n in numbers)):
            raise ValueError(f"{name} is {_short(numbers)}, not a list of numbers")
    resize = given.get("resize")
    if resize is not None and not _is_whole(resize, LARGEST_SIDE):
        raise ValueError(f"resize is {_short(resize)}, not a side of 1 to {LARGEST_SIDE} pixels")
    interpolation = given.get("interpolation", INTERPOLATIONS[0])
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {_short(interpolation)}, not one of {', '.join(INTERPOLATIONS)}")


def _is_whole(value: Any, largest: int) -> bool:
    return type(value) is int and 1 <= value <= largest


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)[:60]


def load_card(folder: Path) -> ModelCard:
    """The card of a checkpoint folder.

    Raises:
        BadCheckpoint: There is none, or it cannot be read.
    """
    path = folder / CARD
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCheckpoint(
            f"{folder.name}/{CARD} is not a model card: byte {error.start} is not UTF-8. Save it as UTF-8, "
            "or train or import it again."
        ) from None
    except OSError:
        raise BadCheckpoint(
            f"The checkpoint {folder.name!r} has no {CARD}: a checkpoint is a folder with {CARD} and "
            f"{WEIGHTS}, as training and importing write it."
        ) from None
    return ModelCard.from_json(text, where=f"{folder.name}/{CARD}")
