"""`python -m bench [NAME…] [--record]`: measure, print, and with --record write the figures to BENCH.md."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import sys
import time
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
    parser.add_argument("--record", action="store_true", help="write the figures to BENCH.md, in place of older ones")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.name) - set(BENCHES)):
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    # A log is as wide as its lines; 80 columns would break every cell.
    console = Console(width=None if sys.stdout.isatty() else 180)
    for name in arguments.name or BENCHES:
        stolen, passed = stolen_seconds(), time.monotonic()
        figures = importlib.import_module(f"bench.{name}").measure()
        share = (stolen_seconds() - stolen) / (time.monotonic() - passed) / (os.cpu_count() or 1)
        console.print(table(name, figures), f"the machine's host gave {share:.1%} of the cores' time to others")
        if arguments.record:
            RECORD.write_text(recorded(RECORD.read_text(), name, markdown(name, figures, share)))
    return 0


def stolen_seconds() -> float:
    """CPU time that this machine wanted and its hypervisor gave to others, of all cores since its start ("steal",
    proc_stat(5)); 0 on bare metal. Where it is much, ratios of wall time say less than those of CPU."""
    total = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(total[8]) / os.sysconf("SC_CLK_TCK")


def recorded(text: str, name: str, section: str) -> str:
    """BENCH.md with a bench's section, in the place of the one that it has of it, or at its end."""
    head, *sections = text.split("\n## ")
    place = next((at for at, each in enumerate(sections) if each.startswith(f"{name}, ")), len(sections))
    sections[place : place + 1] = [section]
    return "\n## ".join([head, *sections])


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


def markdown(name: str, figures: list[Figure], stolen: float) -> str:
    """A section of BENCH.md, without the `## ` before it. stolen: the share of the cores that others had, 0 to 1."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release().split('-')[0]}"
    # Whose build it is matters: a distribution's is made with profiles, some fifth faster than a plain one.
    whose = "the distribution's " if sys.base_prefix == "/usr" else ""
    python = f"{whose}Python {platform.python_version()}"
    lines = [f"{name}, {datetime.datetime.now(datetime.UTC).date()}, {machine}, {python}, {stolen:.1%} stolen\n"]
    lines += ["| figure | value | floor | ratio | aim | |", "|---|---:|---|---:|---:|---|"]
    lines += ["| " + " | ".join(row(figure)) + " |" for figure in figures]
    return "\n".join(lines) + "\n"


raise SystemExit(main())
