"""What the folders of a data set were taken for: the answer of `core.data.folder_layout`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.data.dataset import Skipped

ROLES = ("train", "val", "test", "class", "skip")
SPLIT_ORDER = ("", "train", "val", "test")
SPELLINGS = ("guess", "together", "apart")
READING_SETTINGS = ("splits", "spelling", "names")  # of a data set: what says how its files are understood


@dataclass(frozen=True)
class Place:
    """Where in a data set a file belongs; `split` is "" where the files name none."""

    name: str
    split: str
    class_name: str


@dataclass(frozen=True)
class FolderRole:
    """What a folder was taken for: one of `ROLES`; `images` lie below it, `used` of them have a place."""

    folder: str
    role: str
    images: int
    used: int = 0


@dataclass(frozen=True)
class OpenChoice:
    """Something that the files leave open.

    Attributes:
        setting: The data set's setting that says it otherwise.
        question: In words.
        options: What can be chosen, each with what it would mean.
        taken: The option that was taken.
        said: Whether someone chose it; it is a guess otherwise.
    """

    setting: str
    question: str
    options: Mapping[str, str]
    taken: str
    said: bool = False

    def sentence(self) -> str:
        """The question, what was guessed, and the settings that say it otherwise."""
        others = "; ".join(
            f"{self.setting}={option} ({meaning})"
            for option, meaning in self.options.items()
            if option != self.taken
        )
        meaning = f" ({self.options[self.taken]})" if self.taken in self.options else ""
        return f"{self.question} Guessed: {self.taken}{meaning}. Otherwise: {others}."


@dataclass(frozen=True)
class FolderReading:
    """How the folders of a data set were understood.

    Attributes:
        places: Of every file that belongs to the data set.
        roles: Of the folders on the level where the splits are, or the classes where there are no splits.
        left_out: Files that belong nowhere, and why.
        choices: What may be otherwise.
        notes: What else should be known, each a sentence.
    """

    places: tuple[Place, ...]
    roles: tuple[FolderRole, ...]
    left_out: tuple[Skipped, ...] = ()
    choices: tuple[OpenChoice, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something was guessed that someone should check."""
        return any(not choice.said for choice in self.choices)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted({place.class_name for place in self.places}))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many files each class has in each split."""
        found: dict[str, dict[str, int]] = {}
        for (split, name), n in sorted(
            Counter((place.split, place.class_name) for place in self.places).items(),
            key=lambda item: (SPLIT_ORDER.index(item[0][0]), item[0][1]),
        ):
            found.setdefault(split, {})[name] = n
        return found

    def sentences(self, *, with_choices: bool = True) -> list[str]:
        """What was taken for what, in words, and how to say it otherwise."""
        said = [_sentence_on(role) for role in self.roles if role.role not in ("class", "skip")]
        skipped = [role for role in self.roles if role.role == "skip"]
        if skipped:
            some = ", ".join(f"{role.folder!r} ({role.images:,} images)" for role in skipped[:8])
            more = f" and {len(skipped) - 8:,} more" if skipped[8:] else ""
            one = len(skipped) == 1
            said.append(f"The folder{'' if one else 's'} {some}{more} {'was' if one else 'were'} left out.")
        if all(role.role in ("class", "skip") for role in self.roles):
            names = self.class_names
            shown = ", ".join(map(repr, names[:8])) + (f", … ({len(names)} in all)" if names[8:] else "")
            said.append(f"No folder was taken for a split; the classes are {shown or 'none'}.")
        asked = [choice.sentence() for choice in self.choices if with_choices and not choice.said]
        return [*said, *asked, *self.notes]


def _sentence_on(folder: FolderRole) -> str:
    words = {"train": "the training set", "val": "the validation set", "test": "the test set"}
    said = f"The folder {folder.folder!r} ({folder.images:,} images) was taken for {words[folder.role]}"
    if not folder.used:
        return f"{said}; none of its images has a class, so all were left out."
    if folder.used < folder.images:
        return f"{said}; {folder.images - folder.used:,} of its images were left out."
    return f"{said}."
