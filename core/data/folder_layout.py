"""Which folder is a split and which a class: what was taken for what, what was left out, what stays open."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from core.data.annotation_files import SortedFiles, classes_by_file, classes_in_table
from core.data.dataset import Skipped
from core.data.file_names import cleaned, printable, shown_names, split_of
from core.data.folder_reading import ROLES, SPLIT_ORDER, FolderReading, FolderRole, OpenChoice, Place
from core.errors import SettingError, one_of

_FEWEST_CLASSES = 2
_SAID = re.compile(rf"\s*(.+?)\s*=\s*({'|'.join(ROLES)})\s*(?:,|$)")


class _Group(NamedTuple):
    """Files of one folder, and the folders that they lie in, cleaned, from the top down.

    A data set has far more files than folders: what is the same for all files of a folder is found once.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


_Placed = list[tuple[_Group, str, str]]  # with split and class
_Reasons = dict[str, str]  # why a file was left out


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
    groups = _without_common_folders(_by_folder(names))
    said = _said(splits)
    if _classes_come_first(groups, said, splits):
        groups = [
            g._replace(folders=(g.folders[1], g.folders[0], *g.folders[2:])) if len(g.folders) > 1 else g
            for g in groups
        ]
    roles, choices = _roles(groups, said, splits)
    splitting = {folder: role for folder, role in roles.items() if role in SPLIT_ORDER}
    groups = _without_wrappers(groups, splitting)
    shown = shown_names(roles)
    reasons: _Reasons = {}
    placed: _Placed = []
    for group in groups:
        top = group.folders[0] if group.folders else ""
        if not top:
            reasons |= dict.fromkeys(group.files, "it is in no folder of a class")
        elif roles[top] == "skip":
            reasons |= dict.fromkeys(group.files, _reason_beside(shown[top], said, top))
        elif not splitting:
            placed.append((group, "", top))
        else:
            placed.append((group, roles[top], group.folders[1] if len(group.folders) > 1 else ""))
    if not splits.strip() and len({name for _, _, name in placed} - {""}) < _FEWEST_CLASSES:
        table = classes_in_table(texts(), names)
        if len(set(table.classes.values())) >= _FEWEST_CLASSES:
            return _by_table(names, groups, splitting, table)
    placed, unsorted, notes = _sorted_by_lists(placed, texts)
    placed, spelled = _one_spelling(placed, spelling)
    if splitting and not placed and not choices:
        choice = _question_of_splits("The folders named as splits hold no folders of classes.", roles)
        choices = [replace(choice, taken=splits, said=True) if splits.strip() else choice]
    reasons |= unsorted
    return FolderReading(
        _places(names, placed),
        _folder_roles(groups, placed, roles, shown),
        tuple(Skipped(printable(name), reasons[name]) for name in names if name in reasons),
        (*choices, *spelled),
        (*notes, *_deeper(placed)),
    )


def _by_table(
    names: Sequence[str], groups: list[_Group], splitting: Mapping[str, str], table: SortedFiles
) -> FolderReading:
    """Classes from a table beside the images, since there are no folders of classes."""
    split_by_file = {
        file: splitting.get("".join(group.folders[:1]), "") for group in groups for file in group.files
    }
    if splitting:
        split_by_file = {file: split for file, split in split_by_file.items() if split}
    shown = shown_names(sorted(set(table.classes.values())))
    where = {
        file: (split, shown[table.classes[file]])
        for file, split in split_by_file.items()
        if file in table.classes
    }
    source = printable(table.source)
    used = Counter(split for split, _ in where.values())
    below = Counter(split_by_file.values())
    return FolderReading(
        tuple(Place(name, *where[name]) for name in names if name in where),
        tuple(FolderRole(folder, role, below[role], used[role]) for folder, role in splitting.items()),
        tuple(
            Skipped(printable(name), f"{source} names no class for it, and it is in no folder of a class")
            for name in names
            if name not in where
        ),
        notes=(
            f"No folders of classes were found; the classes are those of {source}, column "
            f"{printable(table.column, 40)!r}, which names {len(where):,} of {len(names):,} images.",
        ),
    )


def _by_folder(names: Sequence[str]) -> list[_Group]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return [
        _Group(tuple(files), tuple(cleaned(part) for part in folder.split("/") if part not in ("", ".")))
        for folder, files in found.items()
    ]


def _places(names: Sequence[str], placed: _Placed) -> tuple[Place, ...]:
    """The places in the order of the files."""
    shown = shown_names(sorted({name for _, _, name in placed}))
    where = {file: (split, shown[name]) for group, split, name in placed for file in group.files}
    return tuple(Place(name, *where[name]) for name in names if name in where)


def _folder_roles(
    groups: list[_Group], placed: _Placed, roles: Mapping[str, str], shown: Mapping[str, str]
) -> tuple[FolderRole, ...]:
    below: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for group in groups:
        below.update({folder: len(group.files) for folder in group.folders[:1]})
    for group, _, _ in placed:
        used.update({folder: len(group.files) for folder in group.folders[:1]})
    return tuple(FolderRole(shown[f], role, below[f], used[f]) for f, role in roles.items())


def _reason_beside(shown: str, said: Mapping[str, str], folder: str) -> str:
    if said.get(folder) == "skip":
        return f"the setting splits leaves the folder {shown!r} out"
    return f"its folder {shown!r} lies beside the folders train, val and test"


def _without_common_folders(groups: list[_Group]) -> list[_Group]:
    """Drop a folder in which all folders lie, again and again; pictures loose in it then lie in none."""
    while len({g.folders[0] for g in groups if g.folders}) == 1 and any(len(g.folders) > 1 for g in groups):
        if split_of(next(g.folders[0] for g in groups if g.folders))[0]:
            break
        groups = [g._replace(folders=g.folders[1:]) for g in groups]
    return groups


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


def _classes_come_first(groups: list[_Group], said: Mapping[str, str], splits: str) -> bool:
    """Whether splits lie in the folders of classes: cat/train, cat/test."""
    tops = {g.folders[0] for g in groups if g.folders}
    below = sorted({g.folders[1] for g in groups if len(g.folders) > 1})
    if said:
        missing = set(said) - tops
        if missing and not set(said) <= set(below):
            raise SettingError(f"splits names the folder {min(missing)!r}. {one_of(sorted(tops))}")
        return bool(missing)
    if splits.strip() or len(set(_split_level(sorted(tops)).values())) > 1:
        return False
    named = _split_level(below)
    inside: dict[str, set[str]] = {}
    for g in groups:
        if g.folders:
            inside.setdefault(g.folders[0], set()).add(named.get("".join(g.folders[1:2]), ""))
    return len(set(named.values())) > 1 and all(any(found) for found in inside.values())


def _roles(
    groups: list[_Group], said: Mapping[str, str], splits: str
) -> tuple[dict[str, str], list[OpenChoice]]:
    """What each folder on the top level is, and the question whether that is right, if it is open."""
    guess, question = _guessed_roles(groups)
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


def _guessed_roles(groups: list[_Group]) -> tuple[dict[str, str], str]:
    """What each folder on the top level seems to be, and what is open about that, or ""."""
    children: dict[str, set[str]] = {}
    for g in groups:
        if g.folders:
            children.setdefault(g.folders[0], set()).add("/".join(g.folders[1:2]))
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


def _without_wrappers(groups: list[_Group], splitting: Mapping[str, str]) -> list[_Group]:
    """Look through a split's only folder: train/train/cat, or train/images/cat and test/images/cat."""
    while True:
        inside: dict[str, set[tuple[str, ...]]] = {top: set() for top in splitting}
        deep = dict.fromkeys(splitting, True)
        for g in groups:
            if g.folders and g.folders[0] in splitting:
                inside[g.folders[0]].add(g.folders[1:2])
                deep[g.folders[0]] &= len(g.folders) > 2
        single = {top for top, found in inside.items() if len(found) == 1 and deep[top]}
        again = {top for top in single if split_of(next(iter(inside[top]))[0])[0] == splitting[top]}
        through = (
            single if single == set(splitting) and len({frozenset(inside[t]) for t in single}) == 1 else again
        )
        if not through:
            return groups
        groups = [
            g._replace(folders=(g.folders[0], *g.folders[2:]))
            if g.folders[:1] and g.folders[0] in through
            else g
            for g in groups
        ]


def _sorted_by_lists(
    placed: _Placed, texts: Callable[[], Mapping[str, str]]
) -> tuple[_Placed, _Reasons, list[str]]:
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
        return placed, {}, []
    lists = texts() if known else {}
    found = {
        split: classes_by_file(
            lists, [file for g, s, name in placed if s == split and name in names for file in g.files], known
        )
        for split, names in loose.items()
    }
    kept: _Placed = []
    left_out: _Reasons = {}
    used: Counter[tuple[str, str]] = Counter()
    for group, split, name in placed:
        if name not in loose.get(split, ()):
            kept.append((group, split, name))
            continue
        where = f"inside {printable(group.folders[0], 40)!r}"
        why = f"the folder {printable(name, 40)!r} is not one of the classes in train" if name else (
            f"it is in no folder of a class {where}"
        )  # fmt: skip
        why = f"{why}: sort the pictures of {split} into folders of their classes"
        sorted_files = found[split]
        by_class: dict[str, list[str]] = {}
        for file in group.files:
            if file in sorted_files.classes:
                by_class.setdefault(sorted_files.classes[file], []).append(file)
            else:
                left_out[file] = why
        kept += [(group._replace(files=tuple(files)), split, label) for label, files in by_class.items()]
        if by_class:
            used[split, sorted_files.source] += sum(map(len, by_class.values()))
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
    alike = [names for names in spelled.values() if len(names) > 1]
    if not alike:
        return placed, []
    best: dict[str, str] = {}
    for names in alike:
        different = sum(map(len, names.values())) == len(set().union(*names.values()))
        if spelling == "together" or (spelling == "guess" and different):
            first = min(names, key=lambda name: ("train" not in names[name], name))
            best |= dict.fromkeys(names, first)
    placed = [(group, split, best.get(name, name)) for group, split, name in placed]
    shown = " and ".join(repr(printable(name, 40)) for name in sorted(alike[0]))
    options = {"together": "they are one class", "apart": "they are classes of their own"}
    return placed, [
        OpenChoice("spelling", f"The classes {shown} differ in capital letters only.", options,
                   "together" if any(name in best for name in alike[0]) else "apart", spelling != "guess")
    ]  # fmt: skip


def _deeper(placed: _Placed) -> list[str]:
    """Say where the folders inside a class look like classes themselves."""
    inside: dict[str, set[str]] = {}
    for group, split, name in placed:
        below = group.folders[2 if split else 1 :]
        if below:
            inside.setdefault(name, set()).add(below[0])
    for name, found in inside.items():
        if len(found) > 1:
            some = ", ".join(repr(printable(folder, 40)) for folder in sorted(found)[:4])
            return [f"The folders inside a class were counted to it: {some} to {printable(name, 40)!r}."]
    return []
