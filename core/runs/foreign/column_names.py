"""What the name of a column or tag says: its quantity, its part of the data, of a step or of an epoch.

A name is taken apart into words. Known words say what it is; the words left over say that it is something
more special, so that of two names for one thing the plainer can be told.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_ROLES = {
    "validation": {"val", "valid", "validation", "eval", "evaluation", "dev", "heldout", "vld"},
    "train": {"train", "training", "trn"},
    "test": {"test", "testing", "tst"},
}
_LEVELS = {"epoch": {"epoch", "epochs"}, "step": {"step", "steps", "batch", "iter", "iteration", "iterations",
                                                  "minibatch"}}  # fmt: skip
_COUNTING = {"global", "current", "number", "num", "nr", "no", "index", "idx", "count", "id", "trainer", "n"}
_LOSS = {"loss", "losses", "nll", "crossentropy", "xent"}
_ACCURACY = {"accuracy", "acc", "accuracies"}
# They say nothing of the quantity, or name the usual kind of it.
_HARMLESS = {
    "metric", "metrics", "scalar", "scalars", "score", "history", "avg", "average", "mean", "overall",
    "running", "sparse", "categorical", "binary", "cross", "entropy", "crossentropy", "nll", "xent", "bce",
    "ce", "multiclass", "percent", "pct", "classification", "model", "logs", "performance", "set", "data",
    "images", "top1", "vs", "value", "at",
}  # fmt: skip
# They make another quantity of it: the loss's scale is not a loss, and the best accuracy so far no accuracy.
_CHANGING = {
    "best", "min", "max", "minimum", "maximum", "lowest", "highest", "std", "stdev", "var", "variance", "sem",
    "delta", "diff", "gap", "ratio", "scale", "scaler", "weight", "weights", "coef", "lambda", "factor",
    "ema",
    "swa", "topk", "top", "patience", "improvement", "improved", "per", "time", "seconds", "error",
    "err", "f1",
    "precision", "recall", "auc", "total",
}  # fmt: skip
_RUN_NAMES = {("run",), ("runs",), ("run", "name"), ("run", "id"), ("experiment",), ("trial",), ("fold",)}
_GLUED = re.compile(r"(train|training|val|valid|validation|eval|test)(loss|acc|accuracy|err|error)")


@dataclass(frozen=True)
class NameMeaning:
    """What a name says.

    Attributes:
        quantity: "epoch", "step", "run", "loss", "accuracy", "learning_rate", "gradient_norm" or "other".
        role: "train", "validation", "test", "unclear" where it names two of them, or "" where it names none.
        level: "epoch" or "step" where the name says so, else "".
        left_over: The words that are not understood: a special kind of the quantity.
        plain: Whether no word makes another quantity of it.
        words: How many words there are besides those for the role and the level.
    """

    quantity: str
    role: str = ""
    level: str = ""
    left_over: tuple[str, ...] = ()
    plain: bool = True
    words: int = 0


def words_of(name: str) -> list[str]:
    """The words of a name in small letters, numbers apart: "valLoss/top_5" has val, loss, top and 5."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    found: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+", spaced):
        if glued := _GLUED.fullmatch(word):
            found += glued.groups()
        else:
            found.append({"learningrate": "lr", "gradnorm": "grad norm"}.get(word, word))
    return " ".join(found).split()


def meaning_of(name: str) -> NameMeaning:
    """What a name without the name of a run says."""
    words = words_of(name)
    kinds = set(words)
    roles = [role for role, known in _ROLES.items() if kinds & known]
    role = roles[0] if len(roles) == 1 else "unclear" if roles else ""
    if {"held", "out"} <= kinds:
        role = "validation"
    level = next((level for level, known in _LEVELS.items() if kinds & known), "")
    if tuple(words) in _RUN_NAMES:
        return NameMeaning("run")
    rest = [w for w in words if not any(w in known for known in (*_ROLES.values(), *_LEVELS.values()))]
    axis = [w for w in rest if w not in _COUNTING]
    if level and not axis and role != "unclear" and role in ("", "train"):
        return NameMeaning(level, role, words=len(rest))
    if kinds & {"lr"} or {"learning", "rate"} <= kinds or words == ["rate"]:
        left = _without(rest, {"lr", "learning", "rate"})
        return _meaning("learning_rate", "", "", left, len(rest))
    if kinds & {"grad", "grads", "gradient", "gradients"} and "norm" in kinds:
        left = _without(rest, {"grad", "grads", "gradient", "gradients", "norm", "total"})
        return _meaning("gradient_norm", role, level, left, len(rest))
    if kinds & _LOSS:
        left = _without(rest, _LOSS | ({"total"} if "loss" in kinds else set()))
        return _meaning("loss", role, level, left, len(rest))
    left, is_top_one = _without_top_one(rest)
    if kinds & _ACCURACY or is_top_one:
        left = _without(left, _ACCURACY)
        return _meaning("accuracy", role, level, left, len(rest))
    return NameMeaning("other", role, level, tuple(rest), words=len(rest))


def split_run(name: str) -> tuple[str, str]:
    """The run and the metric of a column that Weights & Biases exports as "run - metric"."""
    run, found, metric = name.rpartition(" - ")
    return (run.strip(), metric.strip()) if found and run.strip() and metric.strip() else ("", name)


def role_of_run(run: str) -> str:
    """The part of the data that the last word of a run's name tells, as Keras names its folders."""
    words = words_of(run)
    return next((role for role, known in _ROLES.items() if words and words[-1] in known), "")


def _meaning(quantity: str, role: str, level: str, left: Iterable[str], words: int) -> NameMeaning:
    special = tuple(w for w in left if w not in _HARMLESS)
    numbers = [w for w in special if w.isdigit()]
    plain = not set(special) & _CHANGING and not (quantity == "accuracy" and set(numbers) - {"1"})
    return NameMeaning(quantity, role, level, special, plain, words)


def _without(words: Iterable[str], known: set[str]) -> list[str]:
    return [word for word in words if word not in known]


def _without_top_one(words: list[str]) -> tuple[list[str], bool]:
    """The words without those for "the first answer is right" (top1, prec@1), and whether it had them."""
    found, left, at = False, [], 0
    while at < len(words):
        pair = (words[at], words[at + 1]) if at + 1 < len(words) else ("", "")
        if pair[1] == "1" and pair[0] in ("top", "prec", "precision"):
            found = True
            at += 2
        elif pair[1] == "1" and pair[0] in _ACCURACY:
            left.append(words[at])
            at += 2
        else:
            left.append(words[at])
            at += 1
    return left, found
