"""`python -m core classifiers`: what can be asked."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("classifiers", help="list the classifiers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.models.catalogue import damaged, entries

    found = entries()
    for one in damaged():
        print(f"{one.name} is left out: {one.reason}", file=sys.stderr)
    if args.json:
        print(json.dumps([asdict(entry) for entry in found], ensure_ascii=False, indent=2))
        return 0
    width = max(len(entry.name) for entry in found)
    for entry in found:
        print(f"{entry.name:<{width}}  {entry.title}. {entry.summary}".rstrip())
    print("Any other torchvision/<name> or timm/<name> with published weights works too.")
    return 0
