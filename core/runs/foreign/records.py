"""The border to `core.history`: what was read, as the plain records that a run keeps."""

from collections.abc import Mapping

from core.history import PlainRecord
from core.runs.foreign.reading import HistoryReading, ReadRun, read_history
from core.runs.foreign.table import BadHistory

_OF_STEPS = {"train_loss": "loss", "train_accuracy": "accuracy"}  # what a record of a step calls them


def plain_records(run: ReadRun) -> list[PlainRecord]:
    """The records of one run, as `core.history` writes them: its steps, then its epochs."""
    if run.placed is None:
        return [dict(record) for record in run.own]
    steps = [
        {"kind": "step", "epoch": f.epoch, "step": f.step}
        | {_OF_STEPS.get(curve, curve): value for curve, value in f.values.items()}
        for f in run.placed.steps
    ]  # fmt: skip
    epochs = [
        {"kind": "epoch", "epoch": f.epoch} | ({} if f.step is None else {"step": f.step}) | dict(f.values)
        for f in run.placed.epochs
    ]  # fmt: skip
    return [*steps, *epochs]


def plain_histories(reading: HistoryReading) -> Mapping[str, list[PlainRecord]]:
    """The records of every run of a file, by name.

    Raises:
        BadHistory: Nothing in the file can be drawn.
    """
    if reading.problem:
        raise BadHistory(reading.problem)
    return {run.name: plain_records(run) for run in reading.runs}


def records_of(name: str, data: bytes) -> list[PlainRecord]:
    """The records of the first run of a file."""
    return next(iter(plain_histories(read_history(name, data)).values()))
