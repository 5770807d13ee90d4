"""`python -m core check-checkpoints`: the accuracies on the cards measured again."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "check-checkpoints",
        help="measure the accuracies on the cards again",
        description="Ask every shipped checkpoint for all test images of its data set, and compare with its "
        "card. Sutures are drawn and Fashion-MNIST's and the digits' test images ship; what needs a download "
        "is named and left out. The exit status is 1 if an accuracy is not that of its card.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these, such as runs/mine (default: all that ship)"
    )
    parser.add_argument("--download", action="store_true", help="download test images that are missing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from core.errors import UnknownName
    from core.evaluation.checkpoint_check import check_checkpoint
    from core.models.catalogue import checkpoint_folder, entries

    shipped = [entry.name for entry in entries() if entry.kind == "shipped"]
    checks = []
    for name in args.names or shipped:
        folder = checkpoint_folder(name)
        if folder is None:
            raise UnknownName("checkpoint", name, shipped)
        began = time.monotonic()
        check = check_checkpoint(folder, download=args.download, progress=_show)
        checks.append(check)
        if args.json:
            continue
        for figure in check.figures:
            print(f"{name}: {figure.words}, {time.monotonic() - began:.0f} s", flush=True)
        if not check.figures:
            print(f"{name}: not measured: {check.reason}", flush=True)
        elif check.reason:
            print(f"  {check.reason}", flush=True)
    measured = [check for check in checks if check.figures]
    wrong = [check.name for check in measured if not check.holds]
    if args.json:
        print(json.dumps([asdict(c) | {"holds": c.holds} for c in checks], indent=2, ensure_ascii=False))
    else:
        print(
            f"{len(measured)} of {len(checks)} measured: "
            + (f"NOT as on their cards: {', '.join(wrong)}." if wrong else "all as on their cards.")
        )
    return 1 if wrong else 0


def _show(share: float, message: str) -> None:
    if sys.stderr.isatty():
        print(
            f"\r\033[K{share:4.0%} {message}",
            end="" if share < 1 else "\r\033[K",
            file=sys.stderr,
            flush=True,
        )
