"""`python -m core findings`: what a confusion matrix in a CSV file says, in sentences."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "findings",
        help="what a confusion matrix says, in sentences",
        description="Read a confusion matrix from a CSV file (rows true, columns predicted, with or without "
        "names) and say what stands out in it by more than chance.",
    )
    parser.add_argument("matrix", type=Path, metavar="MATRIX.csv")
    parser.add_argument("--accuracy", default="", help='that is stated for it, such as "91.64 %%"')
    parser.add_argument("--transposed", action="store_true", help="rows are predicted classes, columns true")
    parser.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.evaluation.findings import findings
    from core.evaluation.matrix_file import BadMatrix, read_matrix

    try:
        data = args.matrix.read_bytes()
    except OSError as error:
        raise BadMatrix(f"{args.matrix} cannot be read: {error.strerror}. Give the path of a file.") from None
    matrix, names = read_matrix(data, args.matrix.name)
    found = findings(matrix.T if args.transposed else matrix, names, stated=args.accuracy)
    if args.json:
        listed = [dataclasses.asdict(finding) for finding in found]
        print(json.dumps({"class_names": names, "findings": listed}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(finding.text for finding in found))
    return 0
