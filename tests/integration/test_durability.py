"""What was acknowledged is there after the worst of ends; what is wrong on the command line is told at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.contention import contended
from tests.hostile.kills import killed
from tests.integration.process import ROOT, ControlPlane

KILLS = 15  # of each store; `python -m tests.hostile.kills` does a thousand


@pytest.mark.parametrize("store", ["sqlite", "etcd"])
def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path, store: str) -> None:
    acknowledged, problems = killed(store, KILLS, 1, tmp_path)
    assert not problems
    assert acknowledged >= KILLS


@pytest.mark.parametrize("store", ["sqlite", "etcd"])
def test_contended_writes_add_up(tmp_path: Path, store: str) -> None:
    assert contended(store, tmp_path) == []


def test_a_restart_keeps_identities_and_numbers(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path / "data", "sqlite")
    plane.start()
    kubeconfig = plane.kubeconfig.read_bytes()
    made = plane.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}}).json
    assert plane.stop() == 0
    plane.start()
    assert plane.kubeconfig.read_bytes() == kubeconfig
    found = plane.request("GET", "/api/v1/namespaces/default/configmaps/a").json
    assert found == made
    assert plane.stop() == 0


def test_a_wrong_command_line_is_told_at_once(tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "controlplane",
        "--data-dir",
        str(tmp_path),
        "--listen",
        "nowhere",
        "--store",
        "ftp://x",
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--listen" in done.stderr and "--store" in done.stderr and "Traceback" not in done.stderr
