"""Runs against one of them: what is set differently, and whether each did better by more than chance."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.evaluation.intervals import difference_interval
from core.runs.run_list import RunFigures
from core.settings import Settings, SettingValue


@dataclass(frozen=True)
class RunDifference:
    """One run against the base run.

    Attributes:
        settings: What is set differently from the base run: {setting: its value}.
        difference: Accuracy less that of the base run, −1…1; None where one of them has none.
        interval: Of 95%, by the number of images; None where that is not known.
        of: "test" where both were measured on test images, else "validation".
    """

    settings: Settings
    difference: float | None
    interval: tuple[float, float] | None
    of: str

    @property
    def could_be_chance(self) -> bool:
        return self.interval is None or self.interval[0] <= 0 <= self.interval[1]

    @property
    def sentence(self) -> str:
        """In points, with the judgment."""
        if self.difference is None:
            return ""
        words = f"{100 * self.difference:+.2f} points"
        if self.interval is None:
            return words
        low, high = (100 * end for end in self.interval)
        judged = "could be chance" if self.could_be_chance else "better" if self.difference > 0 else "worse"
        return f"{words} ({low:+.2f} to {high:+.2f}): {judged}".replace("-", "−")


def base_of(settings: Mapping[str, Settings]) -> str:
    """The run that differs from the others in the fewest settings: the one that one thing was changed about.

    Args:
        settings: All settings of each run, by its name.
    """
    names = list(settings)

    def distance(name: str) -> int:
        return sum(len(changed_settings(settings[name], settings[other])) for other in names)

    return min(names, key=distance)


def changed_settings(base: Settings, other: Settings) -> dict[str, SettingValue]:
    """The settings of `other` that are not those of `base`."""
    names = dict.fromkeys([*base, *other])
    return {name: other.get(name) for name in names if base.get(name) != other.get(name)}


def run_difference(
    base: Settings, other: Settings,
    base_figures: RunFigures | None, figures: RunFigures | None,
) -> RunDifference:  # fmt: skip
    """One run against the base run.

    Args:
        base, other: Their settings.
        base_figures, figures: What they reached; None where no epoch has ended.
    """
    changed = changed_settings(base, other)
    for of in ("test", "validation"):
        ours, theirs = _accuracy(figures, of), _accuracy(base_figures, of)
        if ours is not None and theirs is not None:
            interval = None
            if ours[1] and theirs[1]:
                counts = [(round(accuracy * n), n) for accuracy, n in (ours, theirs)]
                interval = difference_interval(*counts)
            return RunDifference(changed, ours[0] - theirs[0], interval, of)
    return RunDifference(changed, None, None, "validation")


def _accuracy(figures: RunFigures | None, of: str) -> tuple[float, int] | None:
    """An accuracy and the number of images behind it, 0 where that is not known; None without one."""
    if figures is None:
        return None
    if of == "test":
        return (figures.test.accuracy, figures.test.images or 0) if figures.test is not None else None
    if figures.validation_accuracy is None:
        return None
    return figures.validation_accuracy, figures.validation_images or 0
