"""`python -m core`: what the pages do, without a browser, from the same functions."""

import argparse
import importlib
import os
import pkgutil
import sys

from core import commands
from core.errors import ConvoscopeError


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m core",
        description="Explain, train and judge convolutional image classifiers.",
        epilog="`python -m core COMMAND --help` lists a command's options.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"core.commands.{module.name}").add_parser(subparsers)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command. What the user can put right goes to stderr in one sentence, with exit status 2."""
    args = make_parser().parse_args(arguments)
    try:
        return int(args.run(args) or 0)
    except ConvoscopeError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
