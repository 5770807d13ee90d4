"""`python -m core train`: train a network, or go on with a run; every setting of `train` is an option."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from core.compute.malloc import keep_freed_memory
from core.errors import ConvoscopeError
from core.history import FILE, append_record, rewrite_history
from core.paths import home
from core.settings import add_options, check_settings, settings_of


def add_parser(subparsers: Any) -> None:
    from core.training.train import train

    parser = subparsers.add_parser(
        "train",
        help="train a network, or go on with a run that was stopped",
        description="Train a network. The same command in the same folder goes on where the run was stopped.",
    )
    parser.add_argument("--name", help="the run's name; its folder is runs/NAME in Convoscope's own folder")
    parser.add_argument("--folder", type=Path, help="another folder for the run")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the end")
    add_options(parser, settings_of(train))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.serving.jobs import as_job, note_stop, stop_asked, train_command
    from core.training.train import train

    declared = settings_of(train)
    given = {s.name: getattr(args, s.name) for s in declared if hasattr(args, s.name)}
    settings = check_settings(declared, given)
    folder = args.folder or home("runs") / _name(args.name, settings)
    keep_freed_memory()
    stopping = _stop_on_signals()
    with as_job(folder, train_command(folder.name, given), device=_queue(settings["device"])):
        _forget_what_was_lost(folder)
        ended = False
        for record in train(folder, **settings, stop=lambda: bool(stopping) or stop_asked(folder)):
            append_record(folder / FILE, record)
            ended = record["kind"] == "end"
            if ended or not args.quiet:
                print(_line(record), flush=True)
        if not ended and (stopping or stop_asked(folder)):
            note_stop(folder)
            print("Stopped. The same command goes on from here.", flush=True)
    return 0


def _queue(device: str) -> str:
    from core.models.classifier import best_device

    return best_device().type if device == "auto" else device


def _name(name: str | None, settings: dict[str, Any]) -> str:
    from core.serving.jobs import check_name

    return check_name(name or f"{settings['dataset']}_{settings['architecture']}")


def _stop_on_signals() -> list[int]:
    """A list that is filled by Ctrl-C or a polite kill; a second Ctrl-C breaks off at once."""
    stopping: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopping.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
    return stopping


def _forget_what_was_lost(folder: Path) -> None:
    """Drop the records of steps that were done after the last save and are now done again."""
    from core.training.folder import load_state

    state = load_state(folder) or {}
    if state.get("finished"):
        return
    epoch, steps = state.get("epoch", 1), state.get("total_steps", 0)
    if (folder / FILE).exists():
        rewrite_history(
            folder / FILE,
            lambda r: (
                (r["kind"] == "start" and bool(state))
                or (r["kind"] == "step" and r["step"] <= steps)
                or (r["kind"] == "epoch" and r["epoch"] < epoch)
            ),
        )


def _line(record: dict[str, Any]) -> str:
    if record["kind"] == "start":
        return (
            f"{record['train_images']} training images, {record['parameters']:,} parameters, "
            f"{record['epochs']} epochs of {record['steps_an_epoch']} steps on {record['machine']}"
        )
    if record["kind"] == "end":
        test = record["metrics"].get("test")
        words = ""
        if test:
            low, high = test["interval"]
            words = f" Test accuracy {test['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})."
        return record["verdict"] + words
    if record["kind"] == "features":
        return f"features of {record['done']} of {record['of']} images"
    if record["kind"] == "step":
        return (
            f"epoch {record['epoch']} step {record['step']}: loss {record['loss']:.4f}, "
            f"{record['images_per_second']:.0f} images/s"
        )
    held_out = ""
    if "validation_loss" in record:
        held_out = (
            f"; held out: loss {record['validation_loss']:.4f}, accuracy {record['validation_accuracy']:.2%}"
        )
    return (
        f"epoch {record['epoch']}: loss {record['train_loss']:.4f}, accuracy {record['train_accuracy']:.2%}"
        f"{held_out}; {record['seconds']:.0f} s"
    )


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
