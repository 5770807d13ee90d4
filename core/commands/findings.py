"""`python -m core findings`: what a confusion matrix in a CSV file says, in sentences."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "findings",
        help="say in sentences what a confusion matrix shows",
        description="Read a confusion matrix from a CSV file (rows true, columns predicted, with or without "
        "names) and say what stands out in it by more than chance.",
    )
    parser.add_argument("matrix", type=Path, metavar="MATRIX.csv")
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
    from core.evaluation.findings import findings
    from core.evaluation.matrix_file import BadMatrix, Reading, read_matrix_file

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
    found = findings(read.matrix, names, stated=args.accuracy)
    if args.json:
        listed = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps({"class_names": names, "findings": listed}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(finding.text for finding in found))
    return 0
