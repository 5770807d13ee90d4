"""`python -m core history`: what a training's history from another program holds, and what its curves say."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.history import PlainRecord


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "history",
        help="read the history of a training that another program wrote, and judge its curves",
        description="Read a history (CSV, JSON, a TensorBoard event file or a history.jsonl). What each "
        "column was taken for is printed on the error output; --column and --steps say it otherwise.",
    )
    parser.add_argument("history", type=Path, metavar="FILE")
    parser.add_argument(
        "--column", action="append", default=[], metavar="NAME=MEANING",
        help="what a column is: train_loss, validation_loss, train_accuracy, validation_accuracy, "
        "learning_rate, gradient_norm, epoch, step, run or other; can be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--steps", choices=("epochs", "batches"), default="", help="what the column of steps counts"
    )
    parser.add_argument("--json", action="store_true", help="print the records of all runs as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.runs.foreign.reading import read_history
    from core.runs.foreign.records import plain_histories
    from core.runs.foreign.table import BadHistory

    try:
        data = args.history.read_bytes()
    except OSError as error:
        raise BadHistory(
            f"{args.history} cannot be read: {error.strerror}. Give the path of a file."
        ) from None
    reading = read_history(args.history.name, data, _said(args.column), steps_are=args.steps)
    print("\n".join(reading.sentences()), file=sys.stderr)
    if reading.is_open and not reading.problem:
        print("To overrule a guess, give --column NAME=MEANING or --steps.", file=sys.stderr)
    histories = plain_histories(reading)
    if args.json:
        print(json.dumps(histories, indent=2, ensure_ascii=False))
        return 0
    for name, records in histories.items():
        print(_run_in_words(name, records))
    return 0


def _said(columns: list[str]) -> dict[str, str]:
    from core.errors import SettingError

    found = {}
    for text in columns:
        name, given, meaning = text.rpartition("=")
        if not given:
            raise SettingError(
                f"--column is {text!r}. Give a column and what it is: val_loss=validation_loss."
            )
        found[name.strip()] = meaning.strip().replace("-", "_")
    return found


def _run_in_words(name: str, records: "list[PlainRecord]") -> str:
    """A run's epochs as a table, and the verdict on them."""
    from core.runs.foreign.column_choice import CURVES
    from core.runs.run_list import Run, judge

    epochs = [record for record in records if record["kind"] == "epoch"]
    curves = [curve for curve in CURVES if any(curve in record for record in epochs)]
    lines = [f"{name}: {len(epochs)} epochs, {sum(r['kind'] == 'step' for r in records)} steps"]
    if epochs:
        lines.append("  ".join(["epoch", *(f"{curve:>19}" for curve in curves)]))
    for record in epochs:
        cells = (f"{record[c]:19.6g}" if c in record else f"{'':19}" for c in curves)
        lines.append("  ".join([f"{record['epoch']:5}", *cells]).rstrip())
    verdict = judge(Run(name, records=tuple(records)).history())
    lines.append(
        verdict.sentence if verdict is not None
        else "For a verdict, losses and accuracies of every epoch would be needed."
    )  # fmt: skip
    return "\n".join(lines)
