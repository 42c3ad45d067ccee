"""Tables as Go's tabwriter draws them, and sizes and ages as docker's go-units says them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _PADDING = 20, 3
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows with columns as wide as their widest cell and three spaces more, twenty at least; the last one is free."""
    widths: dict[int, int] = {}
    for row in rows:
        for index, cell in enumerate(row[:-1]):
            widths[index] = max(widths.get(index, _WIDTH), len(cell) + _PADDING)
    lines = []
    for row in rows:
        head = "".join(cell.ljust(widths[index]) for index, cell in enumerate(row[:-1]))
        lines.append(head + row[-1])
    return "".join(f"{line}\n" for line in lines)


def age(seconds: float) -> str:
    """`units.HumanDuration`: "Less than a second", "45 seconds", "About a minute", "3 hours", "2 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = int(seconds / 60)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def size(amount: float, precision: int = 4) -> str:
    """`units.HumanSizeWithPrecision`: powers of ten, `precision` significant figures: 1.93MB."""
    index = 0
    while amount >= 1000 and index < len(_SIZES) - 1:
        amount /= 1000
        index += 1
    return f"{amount:.{precision}g}{_SIZES[index]}"


def short(identifier: str, prefix: str = "") -> str:
    """The first thirteen characters of an id, without its prefix."""
    return identifier.removeprefix(prefix)[:13]
