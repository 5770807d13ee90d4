"""What a classifier is, apart from its weights: the card that stands beside every checkpoint."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, TargetOutOfRange, UnknownName

# The files of a checkpoint's folder.
CARD, WEIGHTS, HISTORY = "card.json", "weights.safetensors", "history.jsonl"


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
    settings: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    summary: str = ""
    dataset: str = ""
    dataset_fingerprint: str = ""
    command: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
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
            BadCheckpoint: It is no JSON, or lacks or misnames something; the message says what and where.
        """
        try:
            values = json.loads(text)
            given: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in values.pop("preprocessing").items()
            }
            preprocessing = Preprocessing(**given)
            values["class_names"] = tuple(values["class_names"])
            return cls(preprocessing=preprocessing, **values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadCheckpoint(f"{where} is not a model card: {error}. Train or import it again.") from None


def load_card(folder: Path) -> ModelCard:
    """The card of a checkpoint folder.

    Raises:
        BadCheckpoint: There is none, or it cannot be read.
    """
    path = folder / CARD
    try:
        return ModelCard.from_json(path.read_text(encoding="utf-8"), where=f"{folder.name}/{CARD}")
    except OSError:
        raise BadCheckpoint(
            f"The checkpoint {folder.name!r} has no {CARD}: a checkpoint is a folder with {CARD} and "
            f"{WEIGHTS}, as training and importing write it."
        ) from None
