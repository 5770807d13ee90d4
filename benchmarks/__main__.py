"""Run the benchmarks and put their table into docs/speed.md.

python -m benchmarks                                 # all, and rewrite the table
python -m benchmarks occlusion --network wide_cnn    # one, of one of its networks
"""

import importlib
import os
import pkgutil
import platform
import sys
from pathlib import Path

import torch

import benchmarks
from benchmarks import Row

SPEED = Path(__file__).resolve().parent.parent / "docs" / "speed.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- end of benchmarks -->"


def table(rows: list[Row]) -> str:
    lines = ["| operation | against | ours | theirs | times faster | results |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.operation} | {row.against} | {row.ours:.3g} s | {row.theirs:.3g} s | **{row.ratio:.2f}** | "
        f"{row.difference} |"
        for row in rows
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    lines.append("")
    lines.append(
        f"Medians of alternating runs in one process; {platform.machine()}, {cores} cores, {device}, "
        f"PyTorch {torch.__version__.partition('+')[0]}."
    )
    return "\n".join(lines)


def main(words: list[str]) -> int:
    try:
        names, networks = _asked(words)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rows = []
    for name in names or _known():
        print(f"{name} …", file=sys.stderr, flush=True)
        measure = importlib.import_module(f"benchmarks.{name}").measure
        rows += measure(networks) if networks else measure()
    text = table(rows)
    print(text)
    if not names:
        before, _, rest = SPEED.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        SPEED.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0


def _known() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name != "__main__"]


def _asked(words: list[str]) -> tuple[list[str], list[str]]:
    """The benchmarks named, and the networks behind `--network`.

    Raises:
        ValueError: One is unknown, or networks are named for a benchmark that has only one.
    """
    names, networks = [], []
    left = iter(words)
    for word in left:
        if word == "--network":
            networks.append(next(left, ""))
        elif word not in _known():
            raise ValueError(f"There is no benchmark {word!r}. Choose one of {', '.join(_known())}.")
        else:
            names.append(word)
    if networks and not names:
        raise ValueError("--network goes with a benchmark: python -m benchmarks occlusion --network vgg19.")
    for name in names if networks else ():
        allowed = getattr(importlib.import_module(f"benchmarks.{name}"), "NETWORKS", ())
        if unknown := set(networks) - set(allowed):
            choice = (
                f"Choose one of {', '.join(allowed)}." if allowed else "It has no networks to choose from."
            )
            raise ValueError(f"The benchmark {name} has no network {min(unknown)!r}. {choice}")
    return names, networks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
