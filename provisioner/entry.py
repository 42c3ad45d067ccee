"""The ``kubelab`` command. ``control-plane`` is handed on before anything is imported: its start time counts."""

from __future__ import annotations

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["control-plane"]:
        os.execv(sys.executable, [sys.executable, "-m", "controlplane", *sys.argv[2:]])
    from provisioner.cli import run

    sys.exit(run(sys.argv[1:]))
