"""What a run's curves say, in one sentence with its numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from core.history import Record


@dataclass(frozen=True)
class Verdict:
    """One judgment on a run.

    Attributes:
        kind: "not finite", "no progress", "overfitting", "underfitting", "still improving", "good" or
            "too early".
        best_epoch: By validation accuracy (training loss where nothing was held out); None before the first.
        overfits_from: The epoch from which the loss on held-out images lay above its lowest while training
            got better.
        gap: Training accuracy less validation accuracy at the last epoch, in −1…1; None without validation.
        wasted_epochs: Epochs after the best one.
    """

    kind: str
    sentence: str
    best_epoch: int | None = None
    overfits_from: int | None = None
    gap: float | None = None
    wasted_epochs: int = 0


def verdict(
    history: Iterable[Record], *, planned_epochs: int | None = None, learning_rate: float | None = None
) -> Verdict:
    """Judge a history by its epochs; other records in it are passed over.

    Args:
        planned_epochs: How many there were to be, if the run is not over or was broken off.
        learning_rate: Named where it is the likely cause.
    """
    epochs = [record for record in history if record.get("kind") == "epoch"]
    if not epochs:
        return Verdict("too early", "No epoch has ended yet, so there is nothing to judge.")
    finite = [r for r in epochs if math.isfinite(r.get("train_loss", math.nan))
              and math.isfinite(r.get("gradient_norm", 0.0))]  # fmt: skip
    if len(finite) < len(epochs):
        return _not_finite(epochs, finite, learning_rate)
    best = best_record(epochs)
    wasted = epochs[-1]["epoch"] - best["epoch"]
    if "validation_loss" not in best:
        return Verdict(
            "good",
            f"No images were held out: the training loss fell from {epochs[0]['train_loss']:.3g} to "
            f"{epochs[-1]['train_loss']:.3g}, and whether the network overfits cannot be told.",
            best["epoch"],
        )
    gap = epochs[-1]["train_accuracy"] - epochs[-1]["validation_accuracy"]
    onset = overfitting_onset(epochs)
    facts = {"best_epoch": best["epoch"], "gap": gap, "wasted_epochs": wasted}
    over = planned_epochs is None or epochs[-1]["epoch"] >= planned_epochs
    end = "At the end" if over else "By now"
    reached = f"{best['validation_accuracy']:.1%} on the images held out"
    if no_progress(epochs):
        first, last = epochs[0]["train_loss"], min(r["train_loss"] for r in epochs)
        return Verdict(
            "no progress",
            f"The network learned nothing in {_count(len(epochs), 'epoch')}: the training loss went from "
            f"{first:.3g} to no less than {last:.3g}, and the best epoch has {reached}. "
            f"{_rate_words(learning_rate)}Try another rate, or a network that gradients get through.",
            **facts,
        )
    if onset is not None:
        low = next(r for r in epochs if r["epoch"] == onset)
        return Verdict(
            "overfitting",
            f"Best at epoch {best['epoch']} with {reached}; from epoch {onset + 1} on it overfits: the loss "
            f"there rose from {low['validation_loss']:.3g} to {epochs[-1]['validation_loss']:.3g} while the "
            f"training loss fell to {epochs[-1]['train_loss']:.3g}. {end} {_gap_words(gap)}"
            + (f", and the last {_count(wasted, 'epoch')} brought nothing." if wasted else "."),
            overfits_from=onset + 1,
            **facts,
        )
    lead = f"{'Best' if over else 'So far best'} at epoch {best['epoch']} with {reached}"
    if improving := _still_improving(epochs):
        more = "more epochs would help" if over else "still improving"
        return Verdict(
            "still improving",
            f"{lead}; the last epochs brought {100 * improving:.1f} points: {more}.",
            **facts,
        )
    highest = max(r["train_accuracy"] for r in epochs)
    if highest < 0.9 and gap < 0.02:
        return Verdict(
            "underfitting",
            f"{lead}; training accuracy is no higher than {highest:.1%} and {_gap_words(gap)}, so the "
            "network underfits: train longer, augment less, or take a larger one.",
            **facts,
        )
    later = "epoch" if wasted == 1 else f"{wasted} epochs"
    after = f"; the {later} after it brought nothing" if wasted else ""
    return Verdict("good", f"{lead}{after}. {end} {_gap_words(gap)}.", **facts)


def best_record(epochs: list[Record]) -> Record:
    """The best epoch: highest validation accuracy, then lowest loss; without them, lowest training loss."""
    usable = [r for r in epochs if math.isfinite(r.get("train_loss", math.nan))] or epochs
    if any("validation_accuracy" in r for r in usable):
        held = [r for r in usable if "validation_accuracy" in r]
        return max(held, key=lambda r: (r["validation_accuracy"], -r["validation_loss"]))
    return min(usable, key=lambda r: r.get("train_loss", math.inf))


def overfitting_onset(epochs: list[Record], *, rise: float = 0.05, least: int = 2) -> int | None:
    """The epoch of the lowest validation loss, if it rose by the share `rise` after it and stayed so.

    At least `least` epochs must follow, and the training loss must have gone on falling.
    """
    losses = [r["validation_loss"] for r in epochs]
    lowest = min(range(len(losses)), key=losses.__getitem__)
    after = losses[lowest + 1 :]
    if len(after) < least or epochs[-1]["train_loss"] >= epochs[lowest]["train_loss"]:
        return None
    tail = after[-max(1, len(after) // 2) :]
    risen = sum(tail) / len(tail) > losses[lowest] * (1 + rise)
    return int(epochs[lowest]["epoch"]) if risen else None


def no_progress(epochs: list[Record]) -> bool:
    """Whether the training loss never fell by 2 %, nor accuracy rose by 2 points."""
    if len(epochs) < 2:
        return False
    losses = [r["train_loss"] for r in epochs]
    accuracies = [r["train_accuracy"] for r in epochs]
    return min(losses) > 0.98 * losses[0] and max(accuracies) < min(accuracies) + 0.02


def _still_improving(epochs: list[Record]) -> float:
    """Validation accuracy (0…1) that the last quarter of the epochs won; 0 if less than half a point."""
    quarter = max(2, len(epochs) // 4)
    if len(epochs) < 2 * quarter:
        return 0.0
    values = [r["validation_accuracy"] for r in epochs]
    won = max(values[-quarter:]) - max(values[:-quarter])
    return won if won > 0.005 else 0.0


def _not_finite(epochs: list[Record], finite: list[Record], learning_rate: float | None) -> Verdict:
    broken = next(r for r in epochs if r not in finite)
    best = best_record(finite)["epoch"] if finite else None
    norms = [r["gradient_norm"] for r in finite if r.get("gradient_norm") is not None]
    grown = ""
    if len(norms) > 1:
        grown = (
            f"The gradient norm had grown from {norms[0]:.3g} in epoch {finite[0]['epoch']} to "
            f"{norms[-1]:.3g} in epoch {finite[-1]['epoch']}"
            if norms[-1] > 1.5 * norms[0]
            else f"The gradient norm was still {norms[-1]:.3g} on average in epoch {finite[-1]['epoch']}"
        )
        largest = broken.get("largest_gradient_norm")
        grown += (
            f" and reached {largest:.3g} in the last one. " if largest and math.isfinite(largest) else ". "
        )
    return Verdict(
        "not finite",
        f"The loss is no longer a finite number in epoch {broken['epoch']}, so the run was stopped. {grown}"
        f"{_rate_words(learning_rate)}Steps this long throw the weights further out each time: take a "
        "smaller rate, or clip the gradient.",
        best,
    )  # fmt: skip


def _gap_words(gap: float) -> str:
    if gap < 0:
        return f"the held-out images do {-100 * gap:.1f} points better than the training images"
    return f"the gap to the images held out is {100 * gap:.1f} points"


def _rate_words(learning_rate: float | None) -> str:
    return f"The learning rate was {learning_rate:g}. " if learning_rate is not None else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
