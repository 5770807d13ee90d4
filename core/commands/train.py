"""`python -m core train`: train a network, or go on with a run; every setting is an option."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from core.commands import say_folders
from core.compute.malloc import keep_freed_memory
from core.errors import ConvoscopeError
from core.history import EndRecord, EpochRecord, FeaturesRecord, Record, StartRecord, StepRecord
from core.paths import home
from core.settings import add_options, assignments_in, settings_of

if TYPE_CHECKING:
    from core.training.training_settings import TrainingSettings


def add_parser(subparsers: Any) -> None:
    from core.training.training_settings import TrainingSettings

    parser = subparsers.add_parser(
        "train",
        help="train a network, or resume a run that was stopped",
        description="Train a network. The same command in the same folder continues where the run was "
        "stopped.",
    )
    parser.add_argument("--name", help="the run's name; its folder is runs/NAME in Convoscope's own folder")
    parser.add_argument("--folder", type=Path, help="another folder for the run")
    parser.add_argument("--quiet", action="store_true", help="print only the last line")
    add_options(parser, settings_of(TrainingSettings))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.serving.jobs import as_job, note_stop, stop_asked, train_command
    from core.training.folder import write_record
    from core.training.train import claim_run, train
    from core.training.training_settings import TrainingSettings

    given = {s.name: getattr(args, s.name) for s in settings_of(TrainingSettings) if hasattr(args, s.name)}
    settings = TrainingSettings.of(given)
    say_folders(settings.dataset, dict(assignments_in(settings.dataset_settings)))
    folder = args.folder or home("runs") / _name(args.name, settings)
    device = claim_run(folder, settings).type  # before the folder becomes a job's
    keep_freed_memory()
    stopping = _stop_on_signals()
    with as_job(folder, train_command(folder.name, given), device=device):
        ended = False
        for record in train(folder, settings, stop=lambda: bool(stopping) or stop_asked(folder)):
            write_record(folder, record)
            ended = isinstance(record, EndRecord)
            if ended or not args.quiet:
                print(_line(record), flush=True)
        if not ended and (stopping or stop_asked(folder)):
            note_stop(folder)
            print("Stopped. The same command continues from here.", flush=True)
    return 0


def _name(name: str | None, settings: "TrainingSettings") -> str:
    from core.serving.jobs import check_name

    return check_name(name or f"{settings.dataset}_{settings.architecture}")


def _stop_on_signals() -> list[int]:
    """A list that is filled by Ctrl-C or a polite kill; a second Ctrl-C breaks off at once."""
    stopping: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopping.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return stopping


def _line(record: Record) -> str:
    match record:
        case StartRecord():
            return (
                f"{record.train_images} training images, {record.parameters:,} parameters, "
                f"{record.epochs} epochs of {record.steps_an_epoch} steps on {record.machine}"
            )
        case FeaturesRecord():
            return f"features of {record.done} of {record.of} images"
        case StepRecord():
            return (
                f"epoch {record.epoch} step {record.step}: loss {record.loss:.4f}, "
                f"{record.images_per_second:.0f} images/s"
            )
        case EpochRecord():
            return _epoch_line(record)
        case EndRecord():
            words = ""
            if test := record.test:
                low, high = test.interval
                words = f" Test accuracy {test.accuracy:.2%} (95% interval {low:.2%} to {high:.2%})."
            return record.verdict + words


def _epoch_line(record: EpochRecord) -> str:
    words = [f"epoch {record.epoch}:"]
    if record.train_loss is not None:
        words.append(f"loss {record.train_loss:.4f}, accuracy {record.train_accuracy:.2%};")
    if record.validation_loss is not None:
        words.append(
            f"held out: loss {record.validation_loss:.4f}, accuracy {record.validation_accuracy:.2%};"
        )
    if record.skipped_steps:
        words.append(f"{record.skipped_steps} steps skipped, their gradients too large for 16-bit floats;")
    return " ".join([*words, f"{record.seconds:.0f} s"])


def main() -> int:
    """Run this command alone: `python -m core.commands.train`."""
    parser = argparse.ArgumentParser(prog="python -m core")
    add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["train", *sys.argv[1:]])
    try:
        return int(args.run(args))
    except ConvoscopeError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
