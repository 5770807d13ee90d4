"""`python -m core from-scratch`: one perceptron in NumPy by hand, by scikit-learn or by PyTorch."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import SettingError
from core.settings import add_options, settings_of

if TYPE_CHECKING:
    from core.history import Record


def add_parser(subparsers: Any) -> None:
    from core.training.from_scratch_settings import FromScratchSettings

    parser = subparsers.add_parser(
        "from-scratch",
        help="train a perceptron by hand in NumPy, by scikit-learn or by PyTorch",
        description="Mini-batch gradient descent and nothing else, in one of three implementations, with the "
        "same history as every other run.",
    )
    parser.add_argument("--name", help="the run's name; its folder is runs/NAME in Convoscope's own folder")
    parser.add_argument("--folder", type=Path, help="another folder for the run")
    parser.add_argument(
        "--three-ways",
        action="store_true",
        help="then train the other two implementations too, and keep their histories beside this one",
    )
    add_options(parser, settings_of(FromScratchSettings))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.history import FILE, append_record
    from core.paths import home
    from core.training.from_scratch import train_from_scratch, train_three_ways
    from core.training.from_scratch_settings import FromScratchSettings

    declared = settings_of(FromScratchSettings)
    settings = FromScratchSettings.of(
        {s.name: getattr(args, s.name) for s in declared if hasattr(args, s.name)}
    )
    name = args.name or f"{settings.dataset}_mlp_{settings.activation}_{settings.implementation}"
    if not args.folder and not all(c.isalnum() or c in "-_." for c in name):
        raise SettingError(f"The name of the run is {name!r}: use letters, digits, _, - and . only.")
    folder = args.folder or home("runs") / name
    if (folder / FILE).exists():
        raise SettingError(
            f"The folder {folder.name!r} holds a run already: choose another name or delete it."
        )
    command = settings.command(folder.name, three_ways=args.three_ways)
    for file, record in (
        train_three_ways(folder, settings, command=command)
        if args.three_ways
        else ((FILE, record) for record in train_from_scratch(folder, settings, command=command))
    ):
        append_record(folder / file, record)
        print(_line(record), flush=True)
    return 0


def _line(record: "Record") -> str:
    from core.history import EndRecord, EpochRecord, StartRecord

    if isinstance(record, StartRecord):
        return f"{record.implementation}: {record.train_images} training images"
    if isinstance(record, EndRecord):
        return record.verdict + (f" Test accuracy {record.test.accuracy:.2%}." if record.test else "")
    assert isinstance(record, EpochRecord)
    held = record.validation_accuracy
    return (
        f"epoch {record.epoch}: loss {record.train_loss:.4f}, "
        + (f"held out {held:.2%}, " if held is not None else "")
        + f"gradient {record.gradient_norm:.3g}"
    )
