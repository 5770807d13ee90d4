"""docs/networks.md: what Convoscope can ask of each network, and how it is answered."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.families.analyses import ANALYSES, EXACT, GENERAL
from tests.families.networks import LEFT_OUT

HEAD = """# Networks

What each analysis does with one small network of every family of torchvision and timm. `make networks` makes
this page from the same code that `make test-all` runs. Weights are random, with every branch made to count;
images are the smallest that the network takes, from 64 pixels on. Each answer was compared with a plain way
to the same figures, and the network was the same after each analysis as before.

- **exact**: computed by the exact engine; a number is the time of a window (occlusion) as a share of a
  forward pass of one image, with 49 windows, so that what is fixed for a map weighs more than usual.
- **general**: the plain way, one pass of the whole network for each window or channel; why is said below.
- **✓**: done, without another way to choose; a number is the time in forward passes of one image.
- **–**: not offered; why is said below.
"""


def page(rows: Sequence[Mapping[str, Any]], not_asked: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        rows: What `python -m tests.families` keeps of each network.
        not_asked: The networks that it has not come to.
    """
    done = [row for row in rows if "results" in row]
    names = list(ANALYSES)
    parts = [HEAD, f"{len(done)} networks.\n"]
    parts.append("| network | pixels | million parameters | " + " | ".join(names) + " |")
    parts.append("|---|---|---|" + "---|" * len(names))
    for row in done:
        cells = {result["analysis"]: _cell(result) for result in row["results"]}
        figures = f"{row['side']} | {row['parameters'] / 1e6:.1f}"
        parts.append(
            f"| {row['network']} | {figures} | " + " | ".join(cells.get(n, "") for n in names) + " |"
        )
    for title, wanted in (("Why the general way", GENERAL), ("Why not offered", "not offered")):
        parts += ["", f"## {title}", "", *_reasons(done, wanted)]
    left = [f"- {family}: {why}" for family, why in LEFT_OUT.items()]
    left += [f"- {row['network']}: {row['failed']}" for row in rows if "failed" in row]
    if not_asked:
        left.append(f"- Not asked yet; `make networks` goes on with them: {', '.join(not_asked)}")
    return "\n".join([*parts, "", "## Left out", "", *left, ""])


def _cell(result: Mapping[str, Any]) -> str:
    found = result["found"]
    if result["outcome"] != "done":
        return "–" if result["outcome"] == "not offered" else f"**{result['outcome']}**"
    cost = "" if found["cost"] is None else f" {found['cost']:.2g}×"
    return (found["way"] or "✓") + cost


def _reasons(rows: Sequence[Mapping[str, Any]], wanted: str) -> list[str]:
    """Each analysis and reason once, with the networks it holds for."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for result in row["results"]:
            way = result["found"]["way"] if result["outcome"] == "done" else result["outcome"]
            if way == wanted or (wanted == GENERAL and way == EXACT and result["found"]["words"]):
                words = result["found"]["words"].replace(row["network"], "the network")
                found.setdefault((result["analysis"], words), []).append(row["network"])
    return [
        f"- **{analysis}**: {words} ({', '.join(networks)})" for (analysis, words), networks in found.items()
    ]
