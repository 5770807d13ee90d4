"""Run the benchmarks and put their table into the README."""

import importlib
import os
import pkgutil
import platform
import sys
from pathlib import Path

import torch

import benchmarks
from benchmarks import Row

README = Path(__file__).resolve().parent.parent / "README.md"
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


def main(names: list[str]) -> int:
    known = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name != "__main__"]
    unknown = set(names) - set(known)
    if unknown:
        print(f"There is no benchmark {min(unknown)!r}. Choose one of {', '.join(known)}.", file=sys.stderr)
        return 2
    rows = []
    for name in names or known:
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").measure()
    text = table(rows)
    print(text)
    if not names:
        before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
