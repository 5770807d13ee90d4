"""`python -m core from-scratch`: one perceptron in NumPy by hand, by scikit-learn or by PyTorch."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from core.errors import SettingError
from core.settings import add_options, check_settings, settings_of


def add_parser(subparsers: Any) -> None:
    from core.training.from_scratch import train_from_scratch

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
        help="afterwards the same by the other two implementations, their histories beside this one",
    )
    add_options(parser, settings_of(train_from_scratch))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.history import FILE, append_record
    from core.paths import home
    from core.training.from_scratch import train_from_scratch, train_three_ways

    declared = settings_of(train_from_scratch)
    given = {s.name: getattr(args, s.name) for s in declared if hasattr(args, s.name)}
    settings = check_settings(declared, given)
    name = args.name or f"{settings['dataset']}_mlp_{settings['activation']}_{settings['implementation']}"
    if not args.folder and not all(c.isalnum() or c in "-_." for c in name):
        raise SettingError(f"The name {name!r} is no name of a folder: use letters, digits, _ and - only.")
    folder = args.folder or home("runs") / name
    if (folder / FILE).exists():
        raise SettingError(
            f"The folder {folder.name!r} holds a run already: choose another name or delete it."
        )
    written = {
        k: str(v) for k, v in settings.items() if v != next(s.default for s in declared if s.name == k)
    }
    options = [word for k, v in written.items() for word in (f"--{k.replace('_', '-')}", v)]
    command = shlex.join(["python", "-m", "core", "from-scratch", "--name", folder.name, *options])
    command += " --three-ways" if args.three_ways else ""
    for file, record in (
        train_three_ways(folder, **settings, command=command)
        if args.three_ways
        else ((FILE, record) for record in train_from_scratch(folder, **settings, command=command))
    ):
        append_record(folder / file, record)
        print(_line(record), flush=True)
    return 0


def _line(record: dict[str, Any]) -> str:
    if record["kind"] == "start":
        return f"{record['implementation']}: {record['train_images']} training images"
    if record["kind"] == "end":
        test = record["metrics"].get("test")
        return record["verdict"] + (f" Test accuracy {test['accuracy']:.2%}." if test else "")
    held = record.get("validation_accuracy")
    return (
        f"epoch {record['epoch']}: loss {record['train_loss']:.4f}, "
        + (f"held out {held:.2%}, " if held is not None else "")
        + f"gradient {record['gradient_norm']:.3g}"
    )
