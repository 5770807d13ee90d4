"""What a confusion matrix says, in sentences with numbers: only what stands out by more than chance.

Every sentence that singles out a class or a pair has passed a test at 1 %, corrected for how many classes or
pairs were looked at (Bonferroni). A matrix in which nothing does is said to be one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.errors import ConvoscopeError
from core.evaluation.confusion import accuracy, class_scores
from core.evaluation.intervals import wilson_interval

SIGNIFICANCE = 0.01
MOST_PAIRS = 3  # told of a kind
MOST_TESTED = 500  # pairs, the most frequent


class BadStatement(ConvoscopeError):
    """A stated accuracy that is not a number."""


@dataclass(frozen=True)
class Finding:
    """One sentence about a matrix.

    Attributes:
        kind: What it is about: "accuracy", "stated", "best", "worst", "confusion", "false positives", "false
            negatives", "asymmetric", "symmetric", "never predicted", "no better than guessing" or "nothing".
        text: The sentence, with its numbers.
        cells: (true, predicted) of the cells it speaks of, whose images prove it; −1 stands for every class
            but the other one. The first is the one to look at first.
        numbers: The figures in it, by name.
    """

    kind: str
    text: str
    cells: tuple[tuple[int, int], ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


def findings(matrix: np.ndarray, class_names: Sequence[str], *, stated: str = "") -> list[Finding]:
    """What stands out in a confusion matrix, the most general first.

    Args:
        stated: The accuracy that a report states for it, as it is written there, such as "91.64 %".
    Shape:
        matrix: (K, K) counts; rows true, columns predicted
    Raises:
        BadStatement: `stated` is not a number from 0 to 1, nor from 0 to 100 %.
    """
    found = [_accuracy(matrix)]
    if stated.strip():
        found.append(_stated(matrix, stated))
    if not matrix.sum():
        return found
    errors = int(matrix.sum() - np.trace(matrix))
    if errors == 0:
        return [*found, Finding("nothing", "There are no errors.")]
    special = [
        *_no_better_than_guessing(matrix, class_names),
        *_best_and_worst(matrix, class_names),
        *_mixed_up(matrix, class_names),
        *_collectors(matrix, class_names),
        *_pairs(matrix, class_names),
        *_never_predicted(matrix, class_names),
    ]
    if not special:
        special = [
            Finding(
                "nothing",
                f"Nothing stands out: with {_count(int(matrix.sum()), 'image')} the classes, and the "
                f"{_count(errors, 'error')}, differ by no more than chance would make them.",
            )
        ]
    return found + special


def _accuracy(matrix: np.ndarray) -> Finding:
    total = int(matrix.sum())
    if not total:
        return Finding("accuracy", "The matrix has no images: every number in it is 0.")
    share, (low, high) = accuracy(matrix)
    text = (
        f"{int(np.trace(matrix)):,} of {_count(total, 'image')} are right: an accuracy of {share:.2%}, "
        f"95% interval {low:.2%} to {high:.2%}."
    )
    return Finding("accuracy", text, (), {"accuracy": share, "low": low, "high": high, "images": total})


def _stated(matrix: np.ndarray, stated: str) -> Finding:
    share, places = read_share(stated)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    own = right / max(1, total)
    numbers = {"stated": share, "accuracy": own}
    half = 0.5 * 10.0**-places + 1e-12
    shown, measured = f"{share:.{max(0, places - 2)}%}", f"{own:.{max(2, places - 2)}%}"
    if abs(own - share) <= half:
        return Finding("stated", f"The stated accuracy of {shown} is that of the matrix.", (), numbers)
    text = (
        f"The stated accuracy of {shown} does not follow from the matrix: {right:,} of its {total:,} images "
        f"are on the diagonal, which is {measured}, {abs(own - share) * 100:.2f} percentage points "
        f"{'more' if own > share else 'less'}. {shown} would be {round(share * total):,} images."
    )
    scores = class_scores(matrix)
    for average, values in (("macro", scores.macro()), ("weighted", scores.weighted())):
        for name, value in values.items():
            if abs(value - share) <= half:
                return Finding("stated", f"{text} It is the {average} average of {name}.", (), numbers)
    return Finding("stated", text, (), numbers)


def read_share(text: str) -> tuple[float, int]:
    """A share as people write it ("91.64 %", "0.9164", "91,6"), and its digits behind the point as a share.

    Raises:
        BadStatement: It is none.
    """
    clean = text.strip().replace(",", ".")
    match = re.fullmatch(r"(\d+)(?:\.(\d*))?\s*(%?)", clean)
    if match:
        value, digits = float(f"{match[1]}.{match[2] or 0}"), len(match[2] or "")
        if match[3] or value > 1:
            value, digits = value / 100, digits + 2
        if value <= 1:
            return value, digits
    raise BadStatement(
        f"The stated accuracy is {text!r}: write a percentage such as 91.64 %, or a share such as 0.9164."
    )


def _no_better_than_guessing(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    support, total = matrix.sum(axis=1), int(matrix.sum())
    if (support > 0).sum() < 2:
        return
    largest = int(support.argmax())
    share, (_, high) = accuracy(matrix)
    constant = support[largest] / total
    if high < constant or share <= constant:
        yield Finding(
            "no better than guessing",
            f"Calling every image “{names[largest]}” would be right in {constant:.2%} of the cases: the "
            f"accuracy of {share:.2%} is no better than that.",
            ((largest, largest),),
            {"constant": float(constant), "accuracy": share},
        )


def _best_and_worst(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """The class recognized best and worst, where it differs from all the others together."""
    from scipy.stats import fisher_exact

    hits, support = np.diagonal(matrix), matrix.sum(axis=1)
    present = np.flatnonzero(support)
    if len(present) < 2:
        return
    recall = hits[present] / support[present]
    low, high = wilson_interval(hits, support)
    rest = int(hits.sum()), int(support.sum())
    for kind, index in (("best", int(recall.argmax())), ("worst", int(recall.argmin()))):
        i = int(present[index])
        others = rest[0] - hits[i], rest[1] - support[i]
        table = [[hits[i], support[i] - hits[i]], [others[0], others[1] - others[0]]]
        if fisher_exact(table).pvalue * len(present) >= SIGNIFICANCE:
            continue
        better = hits[i] / support[i] > others[0] / others[1]
        if better != (kind == "best"):
            continue
        equal = [int(j) for j in present if hits[j] / support[j] == hits[i] / support[i]]
        also = f" (as well as {_listed([names[j] for j in equal if j != i])})" if len(equal) > 1 else ""
        text = (
            f"“{names[i]}” is recognized {kind}{also}: {hits[i]:,} of {support[i]:,}, "
            f"{hits[i] / support[i]:.1%} ({low[i]:.1%} to {high[i]:.1%}), against "
            f"{others[0] / others[1]:.1%} of all other images."
        )
        cells = ((i, i),) if kind == "best" else ((i, -1), (i, i))
        numbers = {"recall": float(hits[i] / support[i]), "low": float(low[i]), "high": float(high[i])}
        yield Finding(kind, text, cells, numbers)


def _mixed_up(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """What the class with the most errors is taken for, and the other way round."""
    k = len(matrix)
    if k < 3:
        return
    for i, j in _crowded_cells(matrix)[:MOST_PAIRS]:
        support = matrix.sum(axis=1)
        n, back = int(matrix[i, j]), int(matrix[j, i])
        errors = int(support[i] - matrix[i, i])
        text = (
            f"“{names[i]}” is taken for “{names[j]}” {n:,} times: {n / support[i]:.1%} of its images and "
            f"{n / errors:.0%} of its {_count(errors, 'error')}; "
        )
        text += f"the reverse happens {_times(back)}."
        numbers = {"count": n, "share": float(n / support[i]), "back": back}
        yield Finding("confusion", text, ((i, j), (j, i)), numbers)


def _crowded_cells(matrix: np.ndarray) -> list[tuple[int, int]]:
    """Cells with more errors than if the errors of their row were spread evenly, the largest first."""
    from scipy.stats import binom

    k = len(matrix)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    errors = wrong.sum(axis=1)
    rows, columns = np.nonzero(wrong > 2)  # one or two errors never stand out
    p = binom.sf(wrong[rows, columns] - 1, errors[rows], 1 / (k - 1)) * k * (k - 1)
    few = p < SIGNIFICANCE
    found = list(zip(rows[few].tolist(), columns[few].tolist(), strict=True))
    return sorted(found, key=lambda cell: -int(wrong[cell]))


def _collectors(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """Which class collects most false positives, and which suffers most false negatives."""
    from scipy.stats import binom

    k, total = len(matrix), int(matrix.sum())
    if k < 2:
        return
    missed = matrix.sum(axis=1) - np.diagonal(matrix)
    taken = matrix.sum(axis=0) - np.diagonal(matrix)
    errors = int(missed.sum())
    # With each class's errors spread evenly over the others, and as many of each class as it has images:
    expected = {
        "false positives": (errors - missed) / ((k - 1) * errors),
        "false negatives": matrix.sum(axis=1) / total,
    }
    for kind, counts in (("false positives", taken), ("false negatives", missed)):
        i = int(counts.argmax())
        share = float(expected[kind][i])
        if binom.sf(counts[i] - 1, errors, share) * k >= SIGNIFICANCE:
            continue
        even = share * errors
        if kind == "false positives":
            source = int(np.where(np.arange(k) == i, -1, matrix[:, i]).argmax())
            text = (
                f"“{names[i]}” collects most false positives: {_count(int(counts[i]), 'image')} of other "
                f"classes taken for it, {counts[i] / errors:.0%} of all errors (spread evenly it would be "
                f"{even:.0f}); {matrix[source, i]:,} of them are “{names[source]}”."
            )
            cells = ((-1, i), (source, i))
        else:
            goal = int(np.where(np.arange(k) == i, -1, matrix[i]).argmax())
            text = (
                f"“{names[i]}” suffers most false negatives: {counts[i]:,} of its images were taken for "
                f"others, {counts[i] / errors:.0%} of all errors (by its share of the images it would be "
                f"{even:.0f}); {matrix[i, goal]:,} of them went to “{names[goal]}”."
            )
            cells = ((i, -1), (i, goal))
        yield Finding(kind, text, cells, {"count": int(counts[i]), "expected": even, "errors": errors})


def _pairs(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """Pairs mixed up mostly in one direction, and pairs mixed up in both about as often."""
    from scipy.stats import binom, binomtest

    k = len(matrix)
    support = matrix.sum(axis=1)
    both = np.triu(matrix + matrix.T, 1)
    # Only pairs that are mixed up often: more errors between them than between two classes on the average.
    enough = both >= max(10, both.sum() / max(1, k * (k - 1) / 2))
    candidates = np.argwhere(enough & (support[:, None] > 0) & (support[None, :] > 0)).tolist()
    often = sorted(((i, j) for i, j in candidates), key=lambda pair: -int(both[pair]))[:MOST_TESTED]
    one_way, both_ways = [], []
    for i, j in often:
        n, pair_total = int(matrix[i, j]), int(both[i, j])
        even = support[i] / (support[i] + support[j])  # of equal rates, the larger class makes more errors
        if binomtest(n, pair_total, even).pvalue * len(often) < SIGNIFICANCE:
            first, second = (i, j) if n > even * pair_total else (j, i)
            one_way.append((first, second))
        else:
            low, high = wilson_interval(n, pair_total)
            odds = even / (1 - even)
            # Equal for sure within a factor of two, not merely too few to tell apart; and a pair at all.
            pairs = k * (k - 1) // 2
            crowded = pairs > 1 and binom.sf(pair_total - 1, both.sum(), 1 / pairs) * pairs < SIGNIFICANCE
            if crowded and low / (1 - low + 1e-12) > odds / 2 and high / (1 - high + 1e-12) < odds * 2:
                both_ways.append((i, j))
    for i, j in one_way[:MOST_PAIRS]:
        text = (
            f"Mostly in one direction: “{names[i]}” is taken for “{names[j]}” {_times(int(matrix[i, j]))} "
            f"({matrix[i, j] / support[i]:.1%}), the reverse {_times(int(matrix[j, i]))} "
            f"({matrix[j, i] / support[j]:.1%})."
        )
        numbers = {"count": float(matrix[i, j]), "back": float(matrix[j, i])}
        yield Finding("asymmetric", text, ((i, j), (j, i)), numbers)
    for i, j in both_ways[:MOST_PAIRS]:
        text = (
            f"In both directions alike: “{names[i]}” is taken for “{names[j]}” {_times(int(matrix[i, j]))}, "
            f"“{names[j]}” for “{names[i]}” {_times(int(matrix[j, i]))}."
        )
        numbers = {"count": float(matrix[i, j]), "back": float(matrix[j, i])}
        yield Finding("symmetric", text, ((i, j), (j, i)), numbers)


def _never_predicted(matrix: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    missing = [int(i) for i in np.flatnonzero((support > 0) & (predicted == 0))]
    if missing:
        images = int(support[missing].sum())
        verb = "is" if len(missing) == 1 else "are"
        text = (
            f"{_listed([f'“{names[i]}”' for i in missing])} {verb} never predicted, though "
            f"{_count(images, 'image')} {'belongs' if images == 1 else 'belong'} there."
        )
        yield Finding("never predicted", text, tuple((i, -1) for i in missing), {"images": images})


def _count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def _times(n: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n:,} times")


def _listed(names: Sequence[str], limit: int = 5) -> str:
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
