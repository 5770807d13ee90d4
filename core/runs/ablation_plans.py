"""Ablations that were planned here: one small file each, from which the table is made again at any time."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import SettingError
from core.history import FILE
from core.paths import from_json, home, write_whole
from core.runs.ablation_study import Change, PlannedRun, Row, ablation_table, plan_ablation
from core.runs.run_list import follow


@dataclass(frozen=True)
class Ablation:
    """One plan, as it was queued.

    Attributes:
        base: All settings of the base run.
        base_run: Its name, for people.
    """

    name: str
    base_run: str
    base: Mapping[str, Any]
    changes: tuple[Change, ...]
    seeds: tuple[int, ...]

    def runs(self) -> list[PlannedRun]:
        """All trainings of it, in the order in which they are queued."""
        return plan_ablation(self.name, self.base, self.changes, self.seeds)

    def table(self, metric: str = "validation_accuracy") -> list[Row]:
        """What has come out so far."""
        runs = self.runs()
        histories = {run.name: follow(home("runs") / run.name / FILE) for run in runs}
        titles = {"base": f"base run ({self.base_run})"} | {c.name: c.title for c in self.changes}
        return ablation_table(runs, histories, titles, metric=metric)


def save_ablation(
    name: str, base_run: str, base: Mapping[str, Any], changes: Sequence[Change], seeds: Sequence[int]
) -> Ablation:
    """Keep a plan under its name.

    Raises:
        SettingError: The name is taken or cannot be a file's, or nothing is planned.
    """
    if not name or not all(c.isalnum() or c in "_-" for c in name):
        raise SettingError(f"The name of the ablation is {name!r}: use letters, digits, _ and - only.")
    path = home("ablations") / f"{name}.json"
    ablation = Ablation(name, base_run, dict(base), tuple(changes), tuple(seeds))
    taken = [run.name for run in ablation.runs() if (home("runs") / run.name).exists()]
    if path.exists() or taken:
        raise SettingError(f"{taken[0] if taken else name!r} exists already: give the ablation another name.")
    write_whole(path, (json.dumps(dataclasses.asdict(ablation), indent=2) + "\n").encode())
    return ablation


def list_ablations() -> list[Ablation]:
    """All plans, the latest first."""
    files = sorted(home("ablations").glob("*.json"), key=lambda path: -path.stat().st_mtime)
    return [ablation for file in files if (ablation := _read(file)) is not None]


def forget_ablation(name: str) -> None:
    """Delete a plan; its runs stay."""
    for ablation in list_ablations():
        if ablation.name == name:
            (home("ablations") / f"{ablation.name}.json").unlink(missing_ok=True)


def _read(path: Path) -> Ablation | None:
    try:
        held = from_json(path.read_bytes())
        changes = tuple(Change(**change) for change in held["changes"])
        return Ablation(path.stem, held["base_run"], held["base"], changes, tuple(held["seeds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a plan
