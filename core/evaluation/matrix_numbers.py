"""Numbers as people write them: decimal commas, thousands, per cent; decided by the whole file."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_BLANKS = " '\u00a0\u202f"  # that stand between thousands
_GROUPED = re.compile(rf"-?\d{{1,3}}([{_BLANKS}]\d{{3}})+(?![\d])")


@dataclass(frozen=True)
class Notation:
    """What a comma and a point mean in a file.

    Attributes:
        comma: "decimal" or "thousands".
        point: "decimal" or "thousands".
        percent: Whether a cell ends with a per cent sign.
        open: Whether the other meaning would make sense as well.
    """

    comma: str = "decimal"
    point: str = "decimal"
    percent: bool = False
    open: bool = False


def notation_of(cells: Iterable[str], separator: str) -> Notation:
    """How the numbers of a file are written. What is not a number is passed over.

    Args:
        separator: Between the cells: where it is a semicolon, the comma is the decimal sign of the region.
    """
    numbers = [cell for cell in cells if re.fullmatch(r"-?[\d.,]+\s*%?", cell)]
    percent = any(cell.endswith("%") for cell in cells)
    bare = [cell.rstrip("% ") for cell in numbers]
    meaning = {}
    undecided = False
    for sign, other in ((",", "."), (".", ",")):
        having = [cell for cell in bare if sign in cell]
        if not having:
            meaning[sign] = "decimal"
            continue
        three = all(
            re.fullmatch(rf"-?[1-9]\d{{0,2}}(\{sign}\d{{3}})+(\{other}\d+)?", cell) for cell in having
        )
        several = any(
            cell.count(sign) > 1 or (other in cell and cell.index(sign) < cell.rindex(other))
            for cell in having
        )
        if not three:
            meaning[sign] = "decimal"
        elif several or len(having) < len(bare):
            # Some have no sign at all: a file of decimals would write them all alike.
            meaning[sign] = "thousands"
            undecided = undecided or not (
                several or any(not cell.endswith("000") for cell in having) or sign == ","
            )
        else:
            zeros = all(cell.endswith("000") for cell in having)
            meaning[sign] = "thousands" if not zeros or sign == "," or separator == ";" else "decimal"
            undecided = True
    return Notation(meaning[","], meaning["."], percent, undecided)


def number_of(cell: str, notation: Notation) -> float | None:
    """The number in a cell; None where it holds none. An empty cell is 0."""
    text = cell.strip().removesuffix("%").strip()
    if not text:
        return 0.0
    if _GROUPED.fullmatch(text):
        text = re.sub(f"[{_BLANKS}]", "", text)
    if not re.fullmatch(r"[+-]?[\d.,]+([eE][+-]?\d+)?", text):
        return None
    for sign, meaning in ((",", notation.comma), (".", notation.point)):
        if meaning == "thousands":
            text = text.replace(sign, "")
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
