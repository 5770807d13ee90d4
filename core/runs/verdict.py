"""What a run's curves say, in one sentence with its numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.history import EpochRecord, Record, of_kind

LOW_TRAINING_ACCURACY, SMALL_GAP = 0.9, 0.02  # together they mean that a network underfits


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
    # An epoch in which every step was skipped says nothing about learning.
    epochs = [r for r in of_kind(history, EpochRecord) if r.train_loss is not None or not r.skipped_steps]
    if not epochs:
        return Verdict("too early", "No epoch has ended yet, so there is nothing to judge.")
    finite = [r for r in epochs if _is_finite(r)]
    if len(finite) < len(epochs):
        return _not_finite(epochs, finite, learning_rate)
    best = best_record(epochs)
    curves = _Curves(epochs)
    if best.validation_loss is None or best.validation_accuracy is None:
        return Verdict(
            "good",
            f"No images were held out: the training loss fell from {curves.train_loss[0]:.3g} to "
            f"{curves.train_loss[-1]:.3g}, so nothing can be said about overfitting.",
            best.epoch,
        )
    over = planned_epochs is None or epochs[-1].epoch >= planned_epochs
    return _held_out_verdict(curves, best.epoch, best.validation_accuracy, over, learning_rate)


class _Curves:
    """The figures of some epochs as lists, NaN where one is missing."""

    def __init__(self, epochs: Sequence[EpochRecord]) -> None:
        def values(name: str) -> list[float]:
            return [math.nan if (v := getattr(r, name)) is None else v for r in epochs]

        self.epochs = [r.epoch for r in epochs]
        self.train_loss, self.train_accuracy = values("train_loss"), values("train_accuracy")
        self.validation_loss = values("validation_loss")
        self.validation_accuracy = values("validation_accuracy")


def _held_out_verdict(
    curves: _Curves, best: int, accuracy: float, over: bool, learning_rate: float | None
) -> Verdict:
    """The verdict where images were held out.

    Args:
        best: The best epoch, and `accuracy` is what it reached on those images.
        over: Whether the run is over.
    """
    wasted = curves.epochs[-1] - best
    gap = curves.train_accuracy[-1] - curves.validation_accuracy[-1]
    end = "At the end" if over else "By now"
    reached = f"{accuracy:.1%} on the images held out"

    def judged(kind: str, sentence: str, overfits_from: int | None = None) -> Verdict:
        return Verdict(kind, sentence, best, overfits_from, gap, wasted)

    if _has_no_progress(curves):
        return judged(
            "no progress",
            f"The network learned nothing in {_count(len(curves.epochs), 'epoch')}: the training loss went "
            f"from {curves.train_loss[0]:.3g} to no less than {min(curves.train_loss):.3g}, and the best "
            f"epoch has {reached}. {_rate_words(learning_rate)}Try another rate, or a network through "
            f"which gradients pass.",
        )
    if (lowest := _overfitting_onset(curves)) is not None:
        onset = curves.epochs[lowest] + 1
        return judged(
            "overfitting",
            f"Best at epoch {best} with {reached}; from epoch {onset} on it overfits: the loss there rose "
            f"from {curves.validation_loss[lowest]:.3g} to {curves.validation_loss[-1]:.3g} while the "
            f"training loss fell to {curves.train_loss[-1]:.3g}. {end} {_gap_words(gap)}"
            + (f", and the last {_count(wasted, 'epoch')} brought nothing." if wasted else "."),
            onset,
        )
    lead = f"{'Best' if over else 'So far best'} at epoch {best} with {reached}"
    if improving := _still_improving(curves.validation_accuracy):
        more = "more epochs would help" if over else "still improving"
        return judged(
            "still improving", f"{lead}; the last epochs improved it by {100 * improving:.1f} points: {more}."
        )
    highest = max(curves.train_accuracy)
    if highest < LOW_TRAINING_ACCURACY and gap < SMALL_GAP:
        return judged(
            "underfitting",
            f"{lead}; training accuracy is no higher than {highest:.1%} and {_gap_words(gap)}, so the "
            "network underfits: train longer, augment less, or take a larger one.",
        )
    later = "epoch" if wasted == 1 else f"{wasted} epochs"
    after = f"; the {later} after it brought nothing" if wasted else ""
    return judged("good", f"{lead}{after}. {end} {_gap_words(gap)}.")


def best_record(epochs: Sequence[EpochRecord]) -> EpochRecord:
    """The best epoch: highest validation accuracy, then lowest loss; without them, lowest training loss."""
    usable = [r for r in epochs if _finite(r.train_loss)] or epochs

    def held_out(record: EpochRecord) -> tuple[float, float]:
        loss = math.inf if record.validation_loss is None else record.validation_loss
        return record.validation_accuracy or 0.0, -loss

    if held := [r for r in usable if r.validation_accuracy is not None]:
        return max(held, key=held_out)
    return min(usable, key=lambda r: math.inf if r.train_loss is None else r.train_loss)


def _is_finite(record: EpochRecord) -> bool:
    """Whether an epoch ended with finite numbers; a gradient norm that was not recorded speaks for none."""
    return _finite(record.train_loss) and (record.gradient_norm is None or _finite(record.gradient_norm))


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _overfitting_onset(curves: _Curves, *, rise: float = 0.05, least: int = 2) -> int | None:
    """The place of the lowest validation loss, if it rose by the share `rise` after it and stayed so.

    At least `least` epochs must follow, and the training loss must have gone on falling.
    """
    losses = curves.validation_loss
    lowest = min(range(len(losses)), key=losses.__getitem__)
    after = losses[lowest + 1 :]
    if len(after) < least or curves.train_loss[-1] >= curves.train_loss[lowest]:
        return None
    tail = after[-max(1, len(after) // 2) :]
    return lowest if sum(tail) / len(tail) > losses[lowest] * (1 + rise) else None


def _has_no_progress(curves: _Curves) -> bool:
    """Whether the training loss never fell by 2 %, nor accuracy rose by 2 points."""
    losses, accuracies = curves.train_loss, curves.train_accuracy
    if len(losses) < 2:
        return False
    return min(losses) > 0.98 * losses[0] and max(accuracies) < min(accuracies) + 0.02


def _still_improving(accuracies: list[float]) -> float:
    """Validation accuracy (0…1) that the last quarter of the epochs won; 0 if less than half a point."""
    quarter = max(2, len(accuracies) // 4)
    if len(accuracies) < 2 * quarter:
        return 0.0
    won = max(accuracies[-quarter:]) - max(accuracies[:-quarter])
    return won if won > 0.005 else 0.0


def _not_finite(epochs: list[EpochRecord], finite: list[EpochRecord], learning_rate: float | None) -> Verdict:
    broken = next(r for r in epochs if r not in finite)
    best = best_record(finite).epoch if finite else None
    norms = [r.gradient_norm for r in finite if r.gradient_norm is not None]
    grown = ""
    if len(norms) > 1:
        grown = (
            f"The gradient norm had grown from {norms[0]:.3g} in epoch {finite[0].epoch} to "
            f"{norms[-1]:.3g} in epoch {finite[-1].epoch}"
            if norms[-1] > 1.5 * norms[0]
            else f"The gradient norm was still {norms[-1]:.3g} on average in epoch {finite[-1].epoch}"
        )
        largest = broken.largest_gradient_norm
        grown += (
            f" and reached {largest:.3g} in the last one. " if largest and math.isfinite(largest) else ". "
        )
    return Verdict(
        "not finite",
        f"The loss is no longer a finite number in epoch {broken.epoch}, so the run was stopped. {grown}"
        f"{_rate_words(learning_rate)}Steps this long throw the weights further off each time: use a "
        f"smaller rate, or clip the gradient.",
        best,
    )


def _gap_words(gap: float) -> str:
    if gap < 0:
        return f"the held-out images do {-100 * gap:.1f} points better than the training images"
    return f"the gap to the images held out is {100 * gap:.1f} points"


def _rate_words(learning_rate: float | None) -> str:
    return f"The learning rate was {learning_rate:g}. " if learning_rate is not None else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
