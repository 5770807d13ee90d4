"""`python -m core`: what the pages do, without a browser, from the same functions."""

import argparse
import codecs
import importlib
import os
import pkgutil
import sys
import unicodedata
from typing import TextIO

from core import commands
from core.disk import sentence_of
from core.errors import ConvoscopeError

# What a terminal or a file of another encoding than UTF-8 gets for signs that it does not have.
_PLAIN = {
    "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "±": "+/-",
    "→": "->", "≤": "<=", "≥": ">=", "·": ".", "²": "^2", "⏎": "|",
}  # fmt: skip
_PLAIN_ERRORS = "convoscope_plain"


def make_parser(program: str = "python -m core") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Explain, train and judge convolutional image classifiers.",
        epilog=f"`{program} COMMAND --help` lists a command's options.",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"core.commands.{module.name}").add_parser(subparsers)
    return parser


def main(arguments: list[str] | None = None, program: str = "python -m core") -> int:
    """Run a command. What the user can put right goes to stderr in one sentence, with exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        write_plainly(stream)
    args = make_parser(program).parse_args(arguments)
    try:
        return int(args.run(args) or 0)
    except ConvoscopeError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def write_plainly(stream: TextIO) -> None:
    """Let a stream write a plain sign for one that its encoding lacks, instead of ending in an error."""
    codecs.register_error(_PLAIN_ERRORS, _plain_sign)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_PLAIN_ERRORS)


def _plain_sign(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = []
    for sign in error.object[error.start : error.end]:
        simple = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
        found.append(_PLAIN.get(sign) or simple or "?")
    return "".join(found), error.end


if __name__ == "__main__":
    sys.exit(main())
