"""Every classifier there is here: what ships, what was trained or imported, what can be fetched."""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadCheckpoint, ConvoscopeError, UnknownName
from core.models.card import CARD, WEIGHTS, ModelCard, load_card
from core.paths import PROJECT, home

if TYPE_CHECKING:
    import torch

    from core.models.classifier import Classifier
    from core.progress import Progress

# A name is "<folder>" for what ships, and "runs/<folder>" or "imported/<folder>" for what is yours.
OWN_FOLDERS = ("runs", "imported")
SHIPPED_FOLDER = PROJECT / "checkpoints"


@dataclass(frozen=True)
class Entry:
    """A classifier that can be chosen: `kind` is "shipped", "runs", "imported" or "pretrained"."""

    name: str
    title: str
    kind: str
    summary: str = ""


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that is left out, and why."""

    name: str
    reason: str


def checkpoint_folder(name: str) -> Path | None:
    """The folder of a checkpoint by its name, or None where there is no such checkpoint.

    A name is one of a folder in one of three places, and nothing that leads out of them.
    """
    own, slash, last = name.rpartition("/")
    if last in ("", ".", "..") or "\\" in last or "\0" in last or (slash and own not in OWN_FOLDERS):
        return None
    folder = (home(own) if own else SHIPPED_FOLDER) / last
    return folder if _is_whole(folder) else None


def entries() -> list[Entry]:
    """What a picker offers: shipped and own checkpoints, then well-known pretrained classifiers."""
    return _listed()[0]


def damaged() -> list[Damaged]:
    """Checkpoints that are left out of `entries`, since their card cannot be read."""
    return _listed()[1]


def _listed() -> tuple[list[Entry], list[Damaged]]:
    from core.models.pretrained import DEFAULT_NETWORK, WELL_KNOWN

    listed = [Entry(DEFAULT_NETWORK, "EfficientNet-Lite0 (ImageNet)", "pretrained", "Needs no network.")]
    left_out = []
    for name, folder in _folders().items():
        try:
            card = _card_of(folder)
        except (ConvoscopeError, OSError) as error:  # damaged, or removed since it was listed
            if _is_whole(folder):
                left_out.append(Damaged(name, str(error)))
            continue
        own = name.partition("/")[0] if "/" in name else "shipped"
        listed.append(Entry(name, card.title or card.name, own, card.summary))
    fetched = [Entry(name, name, "pretrained", "Downloaded on first use.") for name in WELL_KNOWN[1:]]
    return listed + fetched, left_out


def names() -> list[str]:
    """The names of `entries`; any other torchvision/<name> and timm/<name> works too."""
    return [entry.name for entry in entries()]


def card_of(name: str) -> ModelCard:
    """The card of a classifier, without loading or fetching its weights.

    Raises:
        UnknownName: There is none of that name.
    """
    folder = checkpoint_folder(name)
    if folder is not None:
        return _card_of(folder)
    from core.models.pretrained import is_pretrained, pretrained_card

    if is_pretrained(name):
        return pretrained_card(name)
    raise UnknownName("classifier", name, names())


def fingerprint_of(name: str) -> str | None:
    """What answers of this classifier are stored under, or None while its weights are not on this machine.

    Raises:
        UnknownName: There is no classifier of that name.
    """
    folder = checkpoint_folder(name)
    if folder is not None:
        return _read(folder)[1]
    card_of(name)  # or there is none
    from core.models.pretrained import local_weights_file, pretrained_fingerprint

    file = local_weights_file(name)
    return pretrained_fingerprint(name, file) if file else None


def load(name: str, device: "torch.device | None" = None, progress: "Progress | None" = None) -> "Classifier":
    """A classifier by name, ready to be asked.

    Raises:
        UnknownName: There is none of that name.
        BadCheckpoint: Its folder is not whole.
        Unavailable: Its weights would have to be fetched, and there is no network.
    """
    folder = checkpoint_folder(name)
    if folder is not None:
        from core.models.checkpoint import load_checkpoint

        return load_checkpoint(folder, device)
    from core.models.pretrained import is_pretrained, load_pretrained
    from core.progress import no_progress

    if is_pretrained(name):
        return load_pretrained(name, device, progress or no_progress)
    raise UnknownName("classifier", name, names())


def _folders() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for prefix, parent in (("", SHIPPED_FOLDER), *((f"{own}/", home(own)) for own in OWN_FOLDERS)):
        try:
            folders = sorted(parent.iterdir())
        except OSError:  # missing, or not ours to read
            continue
        found |= {prefix + folder.name: folder for folder in folders if _is_whole(folder)}
    return found


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / CARD).is_file() and (folder / WEIGHTS).is_file()
    except OSError:  # a name that is too long for the system, or a folder that is not ours to read
        return False


_cards: dict[Path, tuple[int, ModelCard, str]] = {}
_lock = threading.Lock()


def _card_of(folder: Path) -> ModelCard:
    return _read(folder)[0]


def _read(folder: Path) -> tuple[ModelCard, str]:
    """The card and its fingerprint, read again only when its file has changed: every run of a page asks."""
    try:
        changed = (folder / CARD).stat().st_mtime_ns
    except OSError as error:
        raise BadCheckpoint(f"{folder.name}/{CARD} cannot be read: {error.strerror}.") from None
    with _lock:
        known = _cards.get(folder)
    if known is None or known[0] != changed:
        card = load_card(folder)
        fingerprint = hashlib.sha256((card.weights_sha256 + card.to_json()).encode()).hexdigest()
        known = (changed, card, fingerprint)
        with _lock:
            _cards[folder] = known
    return known[1], known[2]
