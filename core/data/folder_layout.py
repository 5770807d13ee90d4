"""Which folder is a split and which a class: what was taken for what, what was left out, what stays open."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.data.annotation_files import classes_by_file
from core.data.dataset import Skipped
from core.data.file_names import cleaned, printable, shown_names, split_of
from core.errors import SettingError, one_of

ROLES = ("train", "val", "test", "class", "skip")
SPLIT_ORDER = ("", "train", "val", "test")
SPELLINGS = ("guess", "together", "apart")
READING_SETTINGS = ("splits", "spelling", "names")  # of a data set: what says how its files are understood
_SAID = re.compile(rf"\s*(.+?)\s*=\s*({'|'.join(ROLES)})\s*(?:,|$)")


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

    def sentences(self) -> list[str]:
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
        return [*said, *(choice.sentence() for choice in self.choices if not choice.said), *self.notes]


def _sentence_on(folder: FolderRole) -> str:
    words = {"train": "the training set", "val": "the validation set", "test": "the test set"}
    said = f"The folder {folder.folder!r} ({folder.images:,} images) was taken for {words[folder.role]}"
    if not folder.used:
        return f"{said}; none of its images has a class, so all were left out."
    if folder.used < folder.images:
        return f"{said}; {folder.images - folder.used:,} of its images were left out."
    return f"{said}."


@dataclass(frozen=True)
class _File:
    """A file's name and the folders that it lies in, cleaned, from the top down."""

    name: str
    folders: tuple[str, ...]


def read_layout(
    names: Sequence[str], *, splits: str = "", spelling: str = "guess",
    texts: Callable[[], Mapping[str, str]] = dict,
) -> FolderReading:  # fmt: skip
    """Read split and class from paths like `train/cat/1.jpg`, `cat/train/1.jpg` or `cat/1.jpg`.

    Common folders above are left aside. Files that lie deeper belong to the class above them.

    Args:
        splits: What folders are, over the guess: "a=train, b=test, c=skip"; "none" makes all of them
            classes.
        spelling: Whether names that differ in capital letters only are one class: "together", "apart", or
            "guess": together if they stand in different splits.
        texts: Gives the text files beside the images; a list of files and classes among them sorts a split
            whose pictures lie in no folder of a class.
    Raises:
        SettingError: `splits` names a folder that is not there, or cannot be understood.
    """
    files = _without_common_folders(
        [
            _File(name, tuple(cleaned(part) for part in name.split("/")[:-1] if part not in ("", ".")))
            for name in names
        ]
    )
    said = _said(splits)
    if _classes_come_first(files, said, splits):
        files = [
            _File(f.name, (f.folders[1], f.folders[0], *f.folders[2:])) if len(f.folders) > 1 else f
            for f in files
        ]
    roles, choices = _roles(files, said, splits)
    splitting = {folder: role for folder, role in roles.items() if role in SPLIT_ORDER}
    files = _without_wrappers(files, splitting)
    below = Counter(f.folders[0] for f in files if f.folders)
    shown = shown_names(below)
    left_out: list[Skipped] = []
    placed: list[tuple[_File, str, str]] = []
    for file in files:
        top = file.folders[0] if file.folders else ""
        if not top:
            left_out.append(Skipped(printable(file.name), "it is in no folder of a class"))
        elif roles[top] == "skip":
            left_out.append(Skipped(printable(file.name), _reason_beside(shown[top], splits, said, top)))
        elif not splitting:
            placed.append((file, "", top))
        else:
            placed.append((file, roles[top], file.folders[1] if len(file.folders) > 1 else ""))
    placed, unsorted, notes = _sorted_by_lists(placed, texts)
    placed, spelled = _one_spelling(placed, spelling)
    used = Counter(file.folders[0] for file, _, _ in placed)
    names_shown = shown_names(sorted({name for _, _, name in placed}))
    places = tuple(Place(file.name, split, names_shown[name]) for file, split, name in placed)
    if splitting and not places and not choices:
        choice = _question_of_splits("The folders named as splits hold no folders of classes.", roles)
        choices = [replace(choice, taken=splits, said=True) if splits.strip() else choice]
    return FolderReading(
        places,
        tuple(FolderRole(shown[f], role, below[f], used[f]) for f, role in roles.items()),
        (*left_out, *unsorted),
        (*choices, *spelled),
        (*notes, *_deeper(placed)),
    )


def _reason_beside(shown: str, splits: str, said: Mapping[str, str], folder: str) -> str:
    if said.get(folder) == "skip":
        return f"the setting splits leaves the folder {shown!r} out"
    return f"its folder {shown!r} lies beside the folders train, val and test"


def _without_common_folders(files: list[_File]) -> list[_File]:
    """Drop a folder in which all folders lie, again and again; pictures loose in it then lie in none."""
    while len({f.folders[0] for f in files if f.folders}) == 1 and any(len(f.folders) > 1 for f in files):
        if split_of(next(f.folders[0] for f in files if f.folders))[0]:
            break
        files = [replace(f, folders=f.folders[1:]) for f in files]
    return files


def _said(splits: str) -> dict[str, str]:
    if splits.strip().lower() in ("", "none"):
        return {}
    found, at = {}, 0
    for match in _SAID.finditer(splits):
        if match.start() != at:
            break
        found[cleaned(match[1])] = match[2]
        at = match.end()
    if at != len(splits) or not found:
        raise SettingError(
            f"splits is {splits!r}: write folders and what they are, such as "
            f"'training_set=train, test_set=test' (one of {', '.join(ROLES)}), or none."
        )
    return found


def _split_level(folders: Sequence[str]) -> dict[str, str]:
    """Folders beside each other whose names say which split they are, and otherwise say the same."""
    words = {folder: split_of(folder) for folder in folders}
    named = {folder: split for folder, (split, _) in words.items() if split}
    rests = Counter(words[folder][1] for folder in named)
    common = next((rest for rest, _ in rests.most_common() if rest), ())
    return {folder: split for folder, split in named.items() if words[folder][1] in ((), common)}


def _classes_come_first(files: list[_File], said: Mapping[str, str], splits: str) -> bool:
    """Whether splits lie in the folders of classes: cat/train, cat/test."""
    tops = {f.folders[0] for f in files if f.folders}
    below = sorted({f.folders[1] for f in files if len(f.folders) > 1})
    if said:
        missing = set(said) - tops
        if missing and not set(said) <= set(below):
            raise SettingError(f"splits names the folder {min(missing)!r}. {one_of(sorted(tops))}")
        return bool(missing)
    if splits.strip() or len(set(_split_level(sorted(tops)).values())) > 1:
        return False
    named = _split_level(below)
    inside: dict[str, set[str]] = {}
    for f in files:
        if f.folders:
            inside.setdefault(f.folders[0], set()).add(named.get("".join(f.folders[1:2]), ""))
    return len(set(named.values())) > 1 and all(any(found) for found in inside.values())


def _roles(
    files: list[_File], said: Mapping[str, str], splits: str
) -> tuple[dict[str, str], list[OpenChoice]]:
    """What each folder on the top level is, and the question whether that is right, if it is open."""
    guess, question = _guessed_roles(files)
    if splits.strip().lower() == "none":
        roles = dict.fromkeys(guess, "class")
    elif set(said.values()) & {"train", "val", "test"} or (said and set(guess.values()) - {"class"}):
        roles = {top: said.get(top, "skip" if role == "class" else role) for top, role in guess.items()}
        if "class" in roles.values() and set(roles.values()) - {"class", "skip"}:
            raise SettingError(
                f"splits is {splits!r}: a class cannot stand beside splits. Leave it out with skip."
            )
    else:
        roles = {top: said.get(top, role) for top, role in guess.items()}
    if not question:
        return roles, []
    choice = _question_of_splits(question, guess)
    return roles, [replace(choice, taken=splits, said=True) if splits.strip() else choice]


def _guessed_roles(files: list[_File]) -> tuple[dict[str, str], str]:
    """What each folder on the top level seems to be, and what is open about that, or ""."""
    children: dict[str, set[str]] = {}
    for f in files:
        if f.folders:
            children.setdefault(f.folders[0], set()).add("/".join(f.folders[1:2]))
    tops = sorted(children)
    named = _split_level(tops)
    others = [top for top in tops if top not in named]
    kinds = set(named.values())
    lone = len(kinds) == 1 and bool(others)
    only_sorted = all(children[t] != {""} for t in named) and all(children[t] == {""} for t in others)
    if not kinds or (lone and not (only_sorted and len(others) == 1 and not _is_class(children, named))):
        roles = dict.fromkeys(tops, "class")
    else:
        roles = {top: named.get(top, "skip") for top in tops}
    words = {top: split_of(top) for top in tops if split_of(top)[0]}
    several = len({split for split, _ in words.values()}) > 1
    doubtful = [top for top in words if roles[top] == "class" and (several or not words[top][1])]
    doubtful += [
        top
        for top in words
        if roles[top] != "class" and len(set(words.values())) > len(kinds) and words[top][1]
    ]
    if doubtful:
        return roles, f"The folder {doubtful[0]!r} may be a class or a split."
    inside = set().union(*(children[top] - {""} for top in named))
    beside = [top for top in others if roles[top] == "skip" and children[top] & inside]
    if beside:
        return roles, f"The folder {beside[0]!r} lies beside splits."
    return roles, "One folder alone is named as a split." if lone else ""


def _is_class(children: Mapping[str, set[str]], named: Mapping[str, str]) -> bool:
    """Whether a lone folder named train holds pictures of its own, or fewer than two folders of classes."""
    return any("" in children[top] or len(children[top]) < 2 for top in named)


def _question_of_splits(question: str, roles: Mapping[str, str]) -> OpenChoice:
    taken = {folder: role for folder, role in roles.items() if role in SPLIT_ORDER}
    named = taken or {folder: split_of(folder)[0] for folder in roles if split_of(folder)[0]}
    some = ", ".join(f"{folder}={split}" for folder, split in named.items())
    options = {"none": "every folder is a class", some: "all other folders are left out"}
    return OpenChoice("splits", question, options, some if taken else "none")


def _without_wrappers(files: list[_File], splitting: Mapping[str, str]) -> list[_File]:
    """Look through a split's only folder: train/train/cat, or train/images/cat and test/images/cat."""
    while True:
        inside: dict[str, set[tuple[str, ...]]] = {top: set() for top in splitting}
        deep = dict.fromkeys(splitting, True)
        for f in files:
            if f.folders and f.folders[0] in splitting:
                inside[f.folders[0]].add(f.folders[1:2])
                deep[f.folders[0]] &= len(f.folders) > 2
        single = {top for top, found in inside.items() if len(found) == 1 and deep[top]}
        again = {top for top in single if split_of(next(iter(inside[top]))[0])[0] == splitting[top]}
        through = (
            single if single == set(splitting) and len({frozenset(inside[t]) for t in single}) == 1 else again
        )
        if not through:
            return files
        files = [
            replace(f, folders=(f.folders[0], *f.folders[2:]))
            if f.folders[:1] and f.folders[0] in through
            else f
            for f in files
        ]


_Placed = list[tuple[_File, str, str]]


def _sorted_by_lists(
    placed: _Placed, texts: Callable[[], Mapping[str, str]]
) -> tuple[_Placed, list[Skipped], list[str]]:
    """Sort a split's pictures that lie in no folder of a class by a list beside them, or leave them out."""
    by_split: dict[str, set[str]] = {}
    for _, split, name in placed:
        by_split.setdefault(split, set()).add(name)
    known = by_split.get("train", set()) - {""}
    spelled = {name.casefold() for name in known}
    loose: dict[str, set[str]] = {}
    for split, names in by_split.items():
        others = names - {""}
        strange = (
            split != "train"
            and len(known) > 1
            and len(others) == 1
            and next(iter(others)).casefold() not in spelled
        )
        if split and ("" in names or strange):
            loose[split] = (names & {""}) | (others if strange else set())
    if not loose:
        return placed, [], []
    lists = texts() if known else {}
    kept: _Placed = []
    left_out: list[Skipped] = []
    used: Counter[tuple[str, str]] = Counter()
    found = {
        split: classes_by_file(
            lists, [f.name for f, s, name in placed if s == split and name in names], known
        )
        for split, names in loose.items()
    }
    for file, split, name in placed:
        if name not in loose.get(split, ()):
            kept.append((file, split, name))
        elif file.name in found[split].classes:
            kept.append((file, split, found[split].classes[file.name]))
            used[split, found[split].source] += 1
        else:
            why = f"the folder {printable(name, 40)!r} is not one of the classes in train" if name else (
                f"it is in no folder of a class inside {printable(file.folders[0], 40)!r}"
            )  # fmt: skip
            left_out.append(Skipped(
                printable(file.name), f"{why}: sort the pictures of {split} into folders of their classes"
            ))  # fmt: skip
    notes = [
        f"{count:,} images of {split} were sorted into their classes by {printable(source)}."
        for (split, source), count in used.items()
    ]
    return kept, left_out, notes


def _one_spelling(placed: _Placed, spelling: str) -> tuple[_Placed, list[OpenChoice]]:
    """Cat in train and cat in test are one class, as train writes it; both in one split stay two."""
    spelled: dict[str, dict[str, set[str]]] = {}
    for _, split, name in placed:
        spelled.setdefault(name.casefold(), {}).setdefault(name, set()).add(split)
    groups = [names for names in spelled.values() if len(names) > 1]
    if not groups:
        return placed, []
    best: dict[str, str] = {}
    for names in groups:
        different = sum(map(len, names.values())) == len(set().union(*names.values()))
        if spelling == "together" or (spelling == "guess" and different):
            first = min(names, key=lambda name: ("train" not in names[name], name))
            best |= dict.fromkeys(names, first)
    placed = [(file, split, best.get(name, name)) for file, split, name in placed]
    shown = " and ".join(repr(printable(name, 40)) for name in sorted(groups[0]))
    options = {"together": "they are one class", "apart": "they are classes of their own"}
    return placed, [
        OpenChoice("spelling", f"The classes {shown} differ in capital letters only.", options,
                   "together" if any(name in best for name in groups[0]) else "apart", spelling != "guess")
    ]  # fmt: skip


def _deeper(placed: _Placed) -> list[str]:
    """Say where the folders inside a class look like classes themselves."""
    inside: dict[str, set[str]] = {}
    for file, split, name in placed:
        below = file.folders[2 if split else 1 :]
        if below:
            inside.setdefault(name, set()).add(below[0])
    for name, found in inside.items():
        if len(found) > 1:
            some = ", ".join(repr(printable(folder, 40)) for folder in sorted(found)[:4])
            return [f"The folders inside a class were counted to it: {some} to {printable(name, 40)!r}."]
    return []
