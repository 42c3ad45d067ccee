"""Prometheus' text format with times of measurement, which the metrics library cannot write quickly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Labels = Mapping[str, str]


@dataclass(slots=True)
class Family:
    """A metric with its samples: labels, value, time of measurement in nanoseconds since the epoch (0: none)."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: list[tuple[Labels, float, int]] = field(default_factory=list)

    def add(self, value: float, at: int, labels: Labels) -> None:
        self.samples.append((labels, value, at))


def render(families: Iterable[Family]) -> bytes:
    """The exposition, families and labels in the order of their names; a family without samples is left out."""
    lines = []
    for family in sorted((each for each in families if each.samples), key=lambda each: each.name):
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for labels, value, at in family.samples:
            named = ",".join(f'{name}="{_escape(labels[name])}"' for name in sorted(labels))
            stamp = f" {at // 1_000_000}" if at else ""
            lines.append(f"{family.name}{{{named}}} {_number(value)}{stamp}" if named else
                         f"{family.name} {_number(value)}{stamp}")  # fmt: skip
    return "\n".join([*lines, ""]).encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """The shortest text that reads back the same, with an exponent where Go writes one (strconv, 'g', -1)."""
    if not value:
        return "0"
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(exponent, int), "nothing here is infinite"
    power = len(digits) + exponent - 1
    if -4 <= power < 6:
        return f"{Decimal((sign, digits, exponent)):f}"
    text = "".join(map(str, digits))
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' if sign else ''}{mantissa}e{'+' if power >= 0 else '-'}{abs(power):02d}"
