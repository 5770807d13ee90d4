"""All runs with their records: trainings of this server, shipped checkpoints, histories dropped in."""

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import ConvoscopeError, UnknownName
from core.history import (
    FILE,
    EndRecord,
    EpochRecord,
    MeasuredAccuracy,
    PlainRecord,
    Record,
    StartRecord,
    StepRecord,
    history_file,
    of_kind,
    read_new_records,
    typed_records,
    variants,
)
from core.paths import PROJECT, from_json, home
from core.runs.verdict import Verdict, best_record, verdict
from core.serving import jobs
from core.serving.jobs import Job
from core.settings import Settings, SettingValue

SHIPPED_PREFIX = "shipped/"
_JOBS_AGE = 0.5  # seconds: thirty viewers who look once a second share one look at the folders


@dataclass(frozen=True)
class Run:
    """One run: where it is kept, and how it stands if it is a job of this server.

    Attributes:
        name: The job's name; "shipped/<checkpoint>" for what ships; the file's name for a history dropped in.
        folder: None for a history dropped in.
        records: Those of a history dropped in, as JSON has them; the others are read from the folder.
        file: The history in the folder; there may be several, of one training by several implementations.
    """

    name: str
    folder: Path | None = None
    job: Job | None = None
    records: Sequence[PlainRecord] = field(default=(), repr=False)
    file: str = FILE

    @property
    def is_active(self) -> bool:
        """Whether something may still be written by itself."""
        return self.job is not None and self.job.state in ("waiting", "running", "stopping")

    def history(self) -> list[Record]:
        """All records written so far; read again only from where the last reader ended."""
        return typed_records(self.records) if self.folder is None else follow(self.folder / self.file)


def list_runs() -> list[Run]:
    """Jobs first (running, waiting, latest), then runs started in a shell, then shipped checkpoints."""
    parent = home("runs")
    known = {job.name: job for job in current_jobs() if _is_training(job)}
    runs = [Run(name, job.folder, job) for name, job in known.items()]
    alone = [f for f in parent.iterdir() if f.name not in known and (f / FILE).is_file()]
    alone.sort(key=lambda folder: -(folder / FILE).stat().st_mtime)
    runs += [Run(folder.name, folder) for folder in alone]
    shipped = PROJECT / "checkpoints"
    if shipped.is_dir():
        runs += [Run(SHIPPED_PREFIX + f.name, f) for f in sorted(shipped.iterdir()) if (f / FILE).is_file()]
    return [each for run in runs for each in (run, *companions(run))]


def companions(run: Run) -> list[Run]:
    """The same training by other implementations: "<run>/<implementation>"."""
    if run.folder is None or run.file != FILE:
        return []
    return [
        Run(f"{run.name}/{variant}", run.folder, file=history_file(variant))
        for variant in variants(run.folder)
    ]


def families(runs: Iterable[Run], *, least: int = 3) -> dict[str, list[str]]:
    """Shipped runs that belong together, by a title: those of a data set, and its networks of one kind."""
    from core.data.sets import datasets

    found: dict[str, list[str]] = {}
    for run in runs:
        settings = settings_of_run(run) if run.name.startswith(SHIPPED_PREFIX) else {}
        if not settings:
            continue
        name = str(settings.get("dataset", ""))
        title = datasets[name].title if name in datasets else name
        found.setdefault(title, []).append(run.name)
        found.setdefault(f"{title}, {settings.get('architecture')}", []).append(run.name)
    # A kind that holds all runs of its data set is not listed beside it.
    kept = {title: names for title, names in found.items() if len(names) >= least}
    return {t: n for t, n in kept.items() if not any(n == kept[o] and t != o for o in kept if o in t)}


def find_run(name: str, runs: Iterable[Run]) -> Run:
    """The run of that name.

    Raises:
        UnknownName: There is none.
    """
    found = {run.name: run for run in runs}
    if name not in found:
        raise UnknownName("run", name, found)
    return found[name]


def current_jobs(*, now: bool = False) -> list[Job]:
    """The jobs as they stood at most half a second ago; `now` looks again, after something was changed."""
    parent = home("runs")
    with _lock:
        seen = _jobs.get(parent)
        if seen is None or now or time.monotonic() - seen[0] > _JOBS_AGE:
            seen = (time.monotonic(), jobs.jobs(parent=parent))
            _jobs.clear()
            _jobs[parent] = seen
        return seen[1]


def follow(path: Path) -> list[Record]:
    """A history's records; only what was appended since the last call is read."""
    try:
        about = path.stat()
    except OSError:
        return []
    with _lock:
        inode, offset, records = _read.pop(path, (about.st_ino, 0, []))
        if inode != about.st_ino or about.st_size < offset:  # it was rewritten: a run was resumed
            offset, records = 0, []
        new, offset = read_new_records(path, offset)
        records = [*records, *new] if new else records
        _read[path] = (about.st_ino, offset, records)
        while len(_read) > 64:
            _read.pop(next(iter(_read)))
        return list(records)


def settings_of_run(run: Run, history: Sequence[Record] | None = None) -> Settings:
    """What was asked for, flat: the network's and the data set's own settings stand beside the others."""
    starts = list(of_kind(run.history() if history is None else history, StartRecord))
    settings: dict[str, SettingValue] = dict(starts[-1].settings) if starts else {}
    if not settings and run.folder is not None:
        try:
            settings = dict(from_json((run.folder / "settings.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            settings = {}
    for option in ("architecture_settings", "dataset_settings"):
        settings |= _own_settings(settings, option)
        settings.pop(option, None)
    return settings


@dataclass(frozen=True)
class RunFigures:
    """What a run reached at its best epoch (not the last), and on the test images with its best weights.

    Attributes:
        epochs: How many have ended.
        test: None before the run has ended, and where there are no test images.
        validation_images: How many images were held out; None where that is not known.
        seconds_an_epoch: The mean over all epochs.
    """

    best_epoch: int
    epochs: int
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    train_accuracy: float | None = None
    train_loss: float | None = None
    test: MeasuredAccuracy | None = None
    validation_images: int | None = None
    seconds_an_epoch: float | None = None

    @property
    def gap(self) -> float | None:
        """Training accuracy less validation accuracy."""
        if self.train_accuracy is None or self.validation_accuracy is None:
            return None
        return self.train_accuracy - self.validation_accuracy


def judge(history: Sequence[Record], settings: Mapping[str, Any] | None = None) -> Verdict | None:
    """The verdict on a history; None where it lacks what a verdict needs (a history from elsewhere may)."""
    epochs = list(of_kind(history, EpochRecord))
    held_out = any(r.validation_accuracy is not None or r.validation_loss is not None for r in epochs)
    for record in epochs:
        needed = [record.train_loss, record.train_accuracy]
        if held_out:
            needed += [record.validation_loss, record.validation_accuracy]
        # The epoch in which a run broke was not validated any more, and does not have to be; one in which
        # every step was skipped has no figures of training.
        broke = record.train_loss is not None and not math.isfinite(record.train_loss)
        skipped = record.train_loss is None and record.skipped_steps is not None
        if None in needed and not broke and not skipped:
            return None
    settings = settings or {}
    return verdict(
        history, planned_epochs=settings.get("epochs"), learning_rate=settings.get("learning_rate")
    )


def best_figures(history: Sequence[Record]) -> RunFigures | None:
    """What a run reached; None before its first epoch has ended."""
    epochs = list(of_kind(history, EpochRecord))
    if not epochs:
        return None
    best = best_record(epochs)
    ends, starts = list(of_kind(history, EndRecord)), list(of_kind(history, StartRecord))
    seconds = [r.seconds for r in epochs if r.seconds is not None]
    return RunFigures(
        best.epoch, len(epochs), best.validation_accuracy, best.validation_loss, best.train_accuracy,
        best.train_loss,
        test=ends[-1].test if ends else None,
        validation_images=(starts[-1].validation_images or None) if starts else None,
        seconds_an_epoch=sum(seconds) / len(seconds) if seconds else None,
    )  # fmt: skip


def seconds_left(history: Sequence[Record], share: float) -> float | None:
    """How long a run still takes, by its last epochs, or by its last steps in the first; None if unknown."""
    starts = list(of_kind(history, StartRecord))
    if not starts:
        return None
    start = starts[-1]
    epochs = [r.seconds for r in of_kind(history, EpochRecord) if r.seconds][-3:]
    if epochs:
        return start.epochs * (1 - share) * sum(epochs) / len(epochs) if start.steps_an_epoch else 0.0
    rates = [r.images_per_second for r in of_kind(history, StepRecord) if r.images_per_second][-5:]
    if not rates:
        return None
    return start.epochs * start.train_images * (1 - share) / (sum(rates) / len(rates))


def _own_settings(settings: Mapping[str, Any], option: str) -> Settings:
    """The settings behind one line of name=value, with the defaults of those that are not in it."""
    from core.settings import assignments_in, check_settings

    text = settings.get(option)
    if text is None:
        return {}
    try:
        given: Settings = dict(assignments_in(text))
        if option == "architecture_settings":
            from core.models.architectures import models

            return check_settings(models[settings["architecture"]].settings, given)
        return given
    except (ConvoscopeError, KeyError):
        return {option: text}


def _is_training(job: Job) -> bool:
    return (job.folder / FILE).exists() or any(word in ("train", "from-scratch") for word in job.command)


_lock = threading.RLock()
_jobs: dict[Path, tuple[float, list[Job]]] = {}
_read: dict[Path, tuple[int, int, list[Record]]] = {}
