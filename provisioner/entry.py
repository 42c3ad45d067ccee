"""The ``kubelab`` command. ``control-plane`` is handed on before anything is imported: its start time counts."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Exit code 2 where the packages of the extra ``host`` were not installed."""
    if sys.argv[1:2] == ["control-plane"]:
        os.execv(sys.executable, [sys.executable, "-m", "controlplane", *sys.argv[2:]])
    try:
        from provisioner.cli import run
    except ModuleNotFoundError as error:
        # A plain `pip install` leaves them out: the machines need none of them.
        print(f"kubelab: no Python package {error.name}: install kubelab[host], or run make setup", file=sys.stderr)
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
