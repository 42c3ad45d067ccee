"""``up`` broken off in each of its steps, by Ctrl-C and by kill -9: it continues, and ``destroy`` leaves nothing.

The command itself is run, and looked at as a program does: its lines of JSON, its exit code.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.home import LabHome
from provisioner.plan import plan_up
from provisioner.specfile import parse_lab
from tests.netns.lab.labs import home_of
from tests.netns.lab.leftovers import footprint, leftovers

TEXT = """
name: brokenoff
driver: netns
workers: 1
network: 192.168.75.0/24
podCIDR: 10.75.0.0/16
serviceCIDR: 10.175.0.0/20
"""
LAB = parse_lab(TEXT)
STEPS = [step.id for step in plan_up(LAB)]
#: One of each kind of state that a lab can be left in: a network, machines, processes, pods.
STATES = ["lab/network", "worker-1/create", "worker-1/boot", "lab/api", "lab/nodes"]
Object = dict[str, Any]


@pytest.fixture
def place() -> Iterator[LabHome]:
    with home_of(LAB) as place:
        yield place


@pytest.fixture
def lab_file(tmp_path: Path) -> Path:
    (tmp_path / "lab.yaml").write_text(TEXT)
    return tmp_path / "lab.yaml"


def kubelab(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, ended by itself."""
    argv = [sys.executable, "-m", "provisioner", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)


def up(lab_file: Path, step: str, number: signal.Signals) -> tuple[int, list[Object], str]:
    """``kubelab up --json``, sent a signal when ``step`` begins: exit code, events, what went to standard error."""
    argv = [sys.executable, "-m", "provisioner", "up", "--json", "--file", str(lab_file)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    events: list[Object] = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "started" and _named(step).items() <= events[-1].items():
            process.send_signal(number)
            break
    rest, error = process.communicate(timeout=240)
    return process.returncode, events + [json.loads(line) for line in rest.splitlines()], error


def _named(step: str) -> Object:
    scope, name = step.split("/")
    return {"scope": scope, "step": name}


def _of(events: list[Object], step: str) -> Object:
    """The last that was said of a step."""
    return [each for each in events if _named(step).items() <= each.items()][-1]


def test_ctrl_c_in_every_step_and_up_continues(place: LabHome, lab_file: Path) -> None:
    for step in STEPS:
        code, events, error = up(lab_file, step, signal.SIGINT)
        if code == 0 and {"event": "skipped", **_named(step)}.items() <= _of(events, step).items():
            continue  # it was done when the other machine's step of that name was broken off
        if code == 0 and step == STEPS[-1]:
            break  # it ended before it was told to
        assert (code, error) == (130, ""), step
        assert events[-1]["event"] == "error" and events[-1]["error"] == "stopped", step
        assert "kubelab up continues" in events[-1]["advice"]
        assert kubelab("status", "--lab", LAB.name).stderr == "", step
    done = kubelab("up", "--json", "--file", lab_file)
    assert done.returncode == 0, done.stdout
    assert kubelab("status", "--lab", LAB.name).returncode == 0


@pytest.mark.parametrize("step", STATES)
def test_destroy_after_ctrl_c_leaves_nothing(place: LabHome, lab_file: Path, step: str) -> None:
    assert up(lab_file, step, signal.SIGINT)[0] == 130
    before = footprint(LAB)
    done = kubelab("destroy", "--lab", LAB.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "brokenoff is gone\n", "")
    assert leftovers(LAB, place, before) == []
    again = kubelab("destroy", "--lab", LAB.name)
    assert again.returncode == 2 and "there is no lab 'brokenoff'" in again.stderr


@pytest.mark.parametrize("step", ["worker-1/create", "master-1/services"])
def test_killed_and_continued(place: LabHome, lab_file: Path, step: str) -> None:
    assert up(lab_file, step, signal.SIGKILL)[0] == -signal.SIGKILL
    done = kubelab("up", "--json", "--file", lab_file)
    assert done.returncode == 0, done.stdout


def test_one_up_at_a_time(place: LabHome, lab_file: Path) -> None:
    with place.locked():
        done = kubelab("up", "--file", lab_file)
    assert done.returncode == 1
    assert f"another kubelab (process {os.getpid()}) is at work on the lab brokenoff" in done.stderr
    assert not place.root.exists()


def test_a_folder_deleted_by_hand(place: LabHome, lab_file: Path) -> None:
    """What is left of the lab in the kernel is found without the folder: by ``up``, and by ``destroy --file``."""
    for cure in ("up", "destroy"):
        done = kubelab("up", "--json", "--file", lab_file)
        assert done.returncode == 0, done.stdout
        before = footprint(LAB)
        shutil.rmtree(place.root, ignore_errors=True)
        assert "there is no lab" in kubelab("status", "--lab", LAB.name).stderr
        done = kubelab(cure, "--file", lab_file)
        assert done.returncode == 0, done.stderr
        if cure == "destroy":
            assert leftovers(LAB, place, before) == []


def test_a_machine_killed_from_outside(place: LabHome, lab_file: Path) -> None:
    done = kubelab("up", "--json", "--file", lab_file)
    assert done.returncode == 0, done.stdout
    record = json.loads((place.machine_dir("worker-1") / "process.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    looked = kubelab("status", "--lab", LAB.name, "--json")
    machines = {each["name"]: each["state"] for each in json.loads(looked.stdout)["machines"]}
    assert (looked.returncode, machines) == (1, {"master-1": "running", "worker-1": "crashed"})
    there = kubelab("ssh", "--lab", LAB.name, "worker-1", "true")
    assert (there.returncode, there.stderr) == (1, "kubelab: worker-1 is crashed\nkubelab up starts it.\n")
    done = kubelab("up", "--json", "--file", lab_file)
    assert done.returncode == 0, done.stdout
