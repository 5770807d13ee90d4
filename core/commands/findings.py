"""`python -m core findings`: what a confusion matrix says, in sentences."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.evaluation.findings import Finding


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "findings",
        help="say in sentences what a confusion matrix shows",
        description="Read a confusion matrix from a CSV file (rows true, columns predicted, with or without "
        "names) and say what stands out in it by more than chance. The shipped classifiers of CIFAR-10 bring "
        "their predictions along: give the name of one in place of a file.",
    )
    parser.add_argument(
        "matrix", type=Path, metavar="MATRIX.csv", help="or a classifier, such as cifar10_resnet18"
    )
    parser.add_argument(
        "--accuracy", default="", help='the accuracy that is stated for it, such as "91.64 %%"'
    )
    parser.add_argument(
        "--rows",
        choices=("true", "predicted"),
        help="what the rows are, where the file does not say (or says wrongly)",
    )
    parser.add_argument(
        "--numbers", choices=("decimal", "thousands"), help="what a point or comma before three digits means"
    )
    parser.add_argument(
        "--labels", choices=("merge", "apart"), help="whether Cat and cat, or 1 and 1.0, are one class"
    )
    parser.add_argument("--transposed", action="store_true", help="another way to write --rows predicted")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.evaluation.confusion import confusion_matrix
    from core.evaluation.findings import findings
    from core.evaluation.matrix_file import BadMatrix, Reading, read_matrix_file
    from core.evaluation.stored_predictions import stored_predictions

    stored = None if args.matrix.is_file() else stored_predictions(str(args.matrix))
    if stored is not None:
        said = stored.predictions
        matrix = confusion_matrix(said.labels, said.predicted, said.number_of_classes)
        _print(findings(matrix, said.class_names, stated=args.accuracy), said.class_names, args.json)
        return 0
    try:
        data = args.matrix.read_bytes()
    except OSError as error:
        raise BadMatrix(f"{args.matrix} cannot be read: {error.strerror}. Give the path of a file.") from None
    rows = "predicted" if args.transposed else args.rows
    read = read_matrix_file(data, args.matrix.name, Reading(rows, args.numbers, args.labels))
    names = read.class_names
    print(f"Read as {read.taken_for}", *read.notes, sep="\n", file=sys.stderr)
    if read.open:
        options = ", ".join(f"--{field}" for field in read.open)
        print(f"The file leaves this open; change it with {options}.", file=sys.stderr)
    _print(findings(read.matrix, names, stated=args.accuracy), names, args.json)
    return 0


def _print(found: "Sequence[Finding]", names: "Sequence[str]", as_json: bool) -> None:
    if as_json:
        listed = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps({"class_names": names, "findings": listed}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(finding.text for finding in found))
