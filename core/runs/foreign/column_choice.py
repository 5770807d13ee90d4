"""Which column is drawn as which curve: the plainest name wins, everything else is kept as what it is."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.runs.foreign.column_names import NameMeaning, meaning_of, role_of_run, split_run, words_of
from core.runs.foreign.table import STEP, BadHistory, Numbers, Table

CURVES = {
    "train_loss": "training loss", "validation_loss": "validation loss",
    "train_accuracy": "training accuracy", "validation_accuracy": "validation accuracy",
    "learning_rate": "learning rate", "gradient_norm": "gradient norm",
}  # fmt: skip
MEANINGS = (*CURVES, "epoch", "step", "run", "other")  # what a column can be said to be
_LONGEST_NAME = 300
_QUANTITIES = {"loss", "accuracy", "learning_rate", "gradient_norm"}


@dataclass(frozen=True)
class Column:
    """What a column was taken for.

    Attributes:
        name: As the file has it.
        metric: The name without that of a run; the same column of all runs has one meaning.
        run: The run that the name tells, or "".
        taken_for: One of `MEANINGS`; "other" is kept as an extra curve.
        level: "step" where its values are those of single steps, "epoch", or "" where it is left open.
        reason: Why, in words.
        is_guess: Whether the name leaves it open, so that a person is asked.
        is_number: Whether it holds numbers.
    """

    name: str
    metric: str
    run: str
    taken_for: str
    level: str = ""
    reason: str = ""
    is_guess: bool = False
    is_number: bool = True


def choose_columns(
    table: Table, numbers: Mapping[str, Numbers], said: Mapping[str, str]
) -> tuple[Column, ...]:
    """Give every column its meaning.

    Args:
        said: What a person says that columns are, by name (with or without the run): one of `MEANINGS`.

    Raises:
        BadHistory: A name is too long, or `said` names a column or a meaning that there is not.
    """
    for name in table.columns:
        if len(name) > _LONGEST_NAME:
            raise BadHistory(
                f"{table.file} has a column whose name begins with {name[:40]!r} and has {len(name):,} "
                f"letters; up to {_LONGEST_NAME} are read. Shorten the name."
            )
    joined = _is_joined(table)
    split = {name: split_run(name) if joined else (table.run, name) for name in table.columns}
    _check(table.file, said, set(table.columns) | {metric for _, metric in split.values()})
    meanings = {metric: _meaning(table, metric) for _, metric in split.values()}
    points: dict[str, int] = defaultdict(int)
    counts: set[str] = set()
    for name, (_, metric) in split.items():
        points[metric] = max(points[metric], len(numbers[name].values))
        if meanings[metric].quantity == "accuracy" and not _could_be_accuracy(numbers[name]):
            meanings[metric] = replace(meanings[metric], plain=False)
            counts.add(metric)
    apart = STEP not in table.columns and _measured_apart(meanings, numbers)
    chosen = _chosen(meanings, points, said, apart)
    for metric in counts:
        reason = "its values are neither shares of 1 nor percents"
        chosen[metric] = replace(chosen[metric], reason=reason)
    found = []
    for name, (run, metric) in split.items():
        column = replace(chosen[metric], name=name, run=run)
        if (own := said.get(name, said.get(metric))) is not None:
            column = replace(column, taken_for=own, reason="as you said", is_guess=False)
        if column.taken_for != "run" and not numbers[name].values:
            empty = numbers[name].word is None
            column = replace(column, is_number=False)
            if own is None:
                reason = "it is empty" if empty else "it holds words and no numbers"
                column = replace(column, taken_for="other", reason=reason, is_guess=False)
        found.append(column)
    return tuple(found)


def _is_joined(table: Table) -> bool:
    """Whether names such as "a - b" are a run and a metric; "Loss - train" and "train - loss" are not."""
    if not table.joined:
        return False
    pairs = [split_run(name) for name in table.columns if " - " in name]
    metrics = [meaning_of(metric) for _, metric in pairs]
    if not any(meaning.quantity in _QUANTITIES for meaning in metrics):
        return False
    names_parts = all(role_of_run(run) and len(words_of(run)) == 1 for run, _ in pairs)
    return not (names_parts and not any(meaning.role for meaning in metrics))


def _measured_apart(meanings: Mapping[str, NameMeaning], numbers: Mapping[str, Numbers]) -> bool:
    """Whether an accuracy that names no part of the data never shares a row with the training loss."""
    rows: dict[str, set[int]] = {"loss": set(), "accuracy": set()}
    for metric, meaning in meanings.items():
        if meaning.quantity in rows and meaning.plain and meaning.role in ("", "train") and metric in numbers:
            rows[meaning.quantity] |= numbers[metric].values.keys()
    return all(rows.values()) and not rows["loss"] & rows["accuracy"]


def _could_be_accuracy(numbers: Numbers) -> bool:
    """Whether all values are shares of 1 or percents: a count of right answers is neither."""
    return all(-1e-6 <= value <= 100.001 for value in numbers.values.values() if math.isfinite(value))


def _check(file: str, said: Mapping[str, str], names: set[str]) -> None:
    curves = [meaning for name, meaning in said.items() if meaning in CURVES and " - " not in name]
    for name, meaning in said.items():
        if curves.count(meaning) > 1:
            both = " and ".join(n for n, m in said.items() if m == meaning)
            raise BadHistory(f"{both} cannot all be the {CURVES[meaning]}. Choose one of them.")
        if name not in names:
            known = ", ".join(sorted(names)[:12])
            raise BadHistory(f"There is no column {name!r} in {file}. Choose one of {known}.")
        if meaning not in MEANINGS:
            raise BadHistory(
                f"A column cannot be {meaning!r}. Say that {name} is one of {', '.join(MEANINGS)}."
            )


def _meaning(table: Table, metric: str) -> NameMeaning:
    if metric == STEP:
        return NameMeaning("step")
    meaning = meaning_of(metric)
    if table.run and not meaning.role and meaning.quantity in ("loss", "accuracy"):
        return replace(meaning, role=role_of_run(table.run))
    return meaning


def _chosen(
    meanings: Mapping[str, NameMeaning], points: Mapping[str, int], said: Mapping[str, str], apart: bool
) -> dict[str, Column]:
    """The meaning of every metric, by its name; `apart` as `_measured_apart` finds it."""
    taken = {m: Column(m, m, "", "other", n.level, _reason(n)) for m, n in meanings.items()}
    free = {m: n for m, n in meanings.items() if m not in said}
    for axis in ("epoch", "step", "run"):
        found = [m for m, n in free.items() if n.quantity == axis]
        if found and axis not in said.values():
            first = min(found, key=lambda m: (-(points[m] > 0), meanings[m].words, len(m)))
            taken[first] = replace(taken[first], taken_for=axis, level="", reason="by its name")
    held_out = _held_out(free, points, set(said.values()))
    bare = _bare_role(free, held_out, points)
    if apart and not any(n.quantity == "accuracy" and n.role == held_out for n in free.values()):
        bare["accuracy"] = "validation"
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for m, n in free.items():
        if n.quantity in _QUANTITIES and n.role != "unclear" and points[m]:
            curve = _curve(n, held_out, bare)
            if curve and curve not in said.values():
                groups[curve, "step" if n.level == "step" else "epoch"].append(m)
    for (curve, level), names in groups.items():
        if (best := _plainest(names, meanings, points)) is None:
            for m in names:
                why = f"several columns could be the {CURVES[curve]}, and none of them clearly is"
                if meanings[m].plain:
                    taken[m] = replace(taken[m], reason=why, is_guess=True)
            continue
        reason, is_guess = _why(meanings[best], curve, bare, [m for m in names if m != best])
        taken[best] = replace(
            taken[best], taken_for=curve, reason=reason, is_guess=is_guess,
            level="step" if level == "step" else meanings[best].level,
        )  # fmt: skip
        for m in names:
            if m != best and meanings[m].plain:
                taken[m] = replace(taken[m], reason=f"{best} is plainer")
    return _steps_beside_epochs(taken, meanings)


def _steps_beside_epochs(taken: dict[str, Column], meanings: Mapping[str, NameMeaning]) -> dict[str, Column]:
    """Leave out a curve of steps that is of something more special than the curve of epochs."""
    epochs = {c.taken_for: m for m, c in taken.items() if c.taken_for in CURVES and c.level != "step"}
    for m, column in list(taken.items()):
        other = epochs.get(column.taken_for)
        if column.level != "step" or column.taken_for not in CURVES or other is None:
            continue
        if column.taken_for.startswith("validation") or set(meanings[m].left_over) - set(
            meanings[other].left_over
        ):
            taken[m] = replace(column, taken_for="other", reason=f"{other} is plainer")
    return taken


def _held_out(free: Mapping[str, NameMeaning], points: Mapping[str, int], said: set[str]) -> str:
    """The role drawn as validation: "test" where nothing is called validation and test has a curve."""
    curves = {m: n for m, n in free.items() if n.quantity in ("loss", "accuracy") and n.plain and points[m]}
    if any(n.role == "validation" for n in curves.values()) or said & {
        "validation_loss",
        "validation_accuracy",
    }:
        return "validation"
    tested = max((points[m] for m, n in curves.items() if n.role == "test"), default=0)
    return "test" if tested > 1 else "validation"


def _bare_role(free: Mapping[str, NameMeaning], held_out: str, points: Mapping[str, int]) -> dict[str, str]:
    """The part of the data that a loss or an accuracy is of where its name tells none."""
    plain = {(n.quantity, n.role) for m, n in free.items() if n.plain and points[m]}
    roles = {"loss": "train", "accuracy": "train"}
    if ("loss", held_out) in plain and ("accuracy", held_out) not in plain and ("loss", "train") in plain:
        roles["accuracy"] = "validation"  # fastai and notebooks measure it on the images held out
    for m, n in free.items():  # Keras' file of the validation has these beside its epoch_loss
        if n.role == "validation" and n.level == "step" and "vs" in m.lower() and "iteration" in m.lower():
            roles = dict.fromkeys(roles, "validation")
    return roles


def _curve(meaning: NameMeaning, held_out: str, bare: Mapping[str, str]) -> str:
    if meaning.quantity in ("learning_rate", "gradient_norm"):
        return meaning.quantity if meaning.role in ("", "train") else ""
    role = meaning.role or bare[meaning.quantity]
    if role == held_out:
        role = "validation"
    return f"{role}_{meaning.quantity}" if role in ("train", "validation") else ""


def _plainest(names: list[str], meanings: Mapping[str, NameMeaning], points: Mapping[str, int]) -> str | None:
    """The plainest of several names for one curve; None where two are alike or none is plain."""
    usable = [m for m in names if meanings[m].plain]
    curves = [m for m in usable if points[m] > 1] or usable  # a single figure beside a curve sums it up
    if not curves:
        return None

    def rank(name: str) -> tuple[int, int, int]:
        meaning = meanings[name]
        numbers = sum(word.isdigit() for word in meaning.left_over)
        return (len(meaning.left_over) - numbers, meaning.words, not meaning.role)

    best = min(curves, key=rank)
    alike = [m for m in curves if m != best and rank(m)[:1] == rank(best)[:1]]
    if meanings[best].left_over and alike and meanings[best].quantity != "learning_rate":
        return None  # of several rates, one for each group of weights, the first is drawn
    return best


def _why(meaning: NameMeaning, curve: str, bare: Mapping[str, str], others: list[str]) -> tuple[str, bool]:
    """The reason in words, and whether it is a guess."""
    if curve.startswith("validation_") and meaning.role == "test":
        return (
            "no column is called validation, and this one is measured again and again: if these are test "
            "images, say that it is something else", True,
        )  # fmt: skip
    if meaning.left_over and meaning.quantity in ("loss", "accuracy"):
        return f"nothing plainer is there (it also says {' '.join(meaning.left_over)})", True
    if not meaning.role and curve == "validation_accuracy" and bare["accuracy"] == "validation":
        words = (
            "its name does not say which part of the data it is of, and another column holds training figures"
        )
        return words, True
    if others:
        return f"it is plainer than {', '.join(others[:3])}{' and others' if len(others) > 3 else ''}", False
    return "by its name", False


def _reason(meaning: NameMeaning) -> str:
    if meaning.role == "test":
        return "it is of test images, and is kept apart from validation"
    if meaning.role == "unclear":
        return "its name points to two parts of the data"
    if meaning.quantity in ("epoch", "step"):
        return "another column already counts"
    if meaning.quantity in ("loss", "accuracy") and not meaning.plain:
        return f"it is something more special than the {meaning.quantity}"
    if meaning.quantity in _QUANTITIES:
        return "another column is drawn as that curve"
    return "it is not a loss, an accuracy, a learning rate or a gradient norm"
