"""`python -m bench [NAME…] [--record]`: measure, print, and with --record write the figures to BENCH.md."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figure import Figure

BENCHES = (
    "control_plane",
    "storage",
    "api",
    "pod",
    "node",
    "stats",
    "cni",
    "dns",
    "proxy",
    "network",
    "boot",
    "scheduler",
    "controllers",
    "trace",
)
RECORD = Path(__file__).parent.parent / "BENCH.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure kubelab against floors taken in the same run.")
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(BENCHES)}; all when none is named")
    parser.add_argument("--record", action="store_true", help="append the figures to BENCH.md")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.name) - set(BENCHES)):
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    # A log is as wide as its lines; 80 columns would break every cell.
    console = Console(width=None if sys.stdout.isatty() else 180)
    for name in arguments.name or BENCHES:
        figures = importlib.import_module(f"bench.{name}").measure()
        console.print(table(name, figures))
        if arguments.record:
            with RECORD.open("a") as file:
                file.write(markdown(name, figures))
    return 0


def table(name: str, figures: list[Figure]) -> Table:
    drawn = Table(title=f"bench {name}", title_justify="left")
    for column in ("figure", "value", "floor", "ratio", "aim", ""):
        drawn.add_column(column, justify="left" if column in ("figure", "floor", "") else "right")
    for figure in figures:
        drawn.add_row(*row(figure))
    return drawn


def row(figure: Figure) -> list[str]:
    aim = ""
    if figure.aim is not None:
        aim = f"≤ {figure.aim:.3g}" + (f" {figure.unit}" if figure.absolute else " ×")
        aim += " ✓" if figure.reached else " ✗"
    return [
        figure.name,
        f"{figure.value:.4g} {figure.unit}",
        f"{figure.floor_name}: {figure.floor:.4g} {figure.unit}",
        f"{figure.ratio:.2f} ×",
        aim,
        figure.note,
    ]


def markdown(name: str, figures: list[Figure]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release().split('-')[0]}"
    # Whose build it is matters: a distribution's is made with profiles, some fifth faster than a plain one.
    whose = "the distribution's " if sys.base_prefix == "/usr" else ""
    python = f"{whose}Python {platform.python_version()}"
    lines = [f"\n## {name}, {datetime.datetime.now(datetime.UTC).date()}, {machine}, {python}\n"]
    lines += ["| figure | value | floor | ratio | aim | |", "|---|---:|---|---:|---:|---|"]
    lines += ["| " + " | ".join(row(figure)) + " |" for figure in figures]
    return "\n".join(lines) + "\n"


raise SystemExit(main())
