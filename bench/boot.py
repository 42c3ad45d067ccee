"""A lab from power-on to every Node Ready, divided by the same machines from power-on to SSH; and what it holds idle.

The floor boots the same three machines at once, from the same image, with nothing of ours on them. Both control planes
(static pods, one service) are measured in the same run, on a lab of its own that is destroyed afterwards.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from bench.figure import Figure
from provisioner import lifecycle
from provisioner.context import Context
from provisioner.drivers import make_driver
from provisioner.home import LabHome, find_home
from provisioner.journal import Journal
from provisioner.plan import Step, plan_up
from provisioner.progress import PlainProgress
from provisioner.runner import run_plan
from provisioner.spec import ControlPlane, Lab
from provisioner.specfile import load_lab

BARE = ("images", "keys", "network", "bundle", "create", "boot")
AIMS = {ControlPlane.STATIC_PODS: 3.0, ControlPlane.SERVICE: 2.0}
IDLE = 60.0  # seconds after Ready when memory is looked at
NODE_AGENT = ("kubelet", "kube-proxy")
CONTROL_PLANE = ("kube-apiserver", "kube-controller", "kube-scheduler", "etcd", "control-plane", "kubelab-control")
# Proportional set sizes, so that pages shared between our processes count once.
_MEMORY = """
for status in /proc/[0-9]*/comm; do
  pid=${status%/comm}
  pss=$(awk '/^Pss:/{print $2}' $pid/smaps_rollup 2>/dev/null)
  if [ -n "$pss" ]; then echo "$(cat $status) $pss"; fi
done
"""


def measure() -> list[Figure]:
    home = find_home()
    base = dataclasses.replace(load_lab(Path("lab.yaml")), name="bench")
    _bare(base, home)  # fills the page cache with the image, so that neither side pays for it
    bare = _bare(base, home)
    figures = []
    for control_plane, aim in AIMS.items():
        lab = dataclasses.replace(base, control_plane=control_plane)
        try:
            watch, brought = _up(lab, home)
            slowest = sorted(brought.steps, key=lambda each: -each.seconds)[:4]
            note = ", ".join(f"{each.step} {each.seconds:.0f} s" for each in slowest)
            figures.append(
                Figure(
                    f"up to all Nodes Ready, {control_plane}",
                    watch.ready,
                    "s",
                    "three bare machines to SSH",
                    bare,
                    aim,
                    note=note,
                )
            )
            print(f"{control_plane}: Ready after {watch.ready:.1f} s, {note}", file=sys.stderr)
            figures += _memory(lab, brought.home)
        finally:
            lifecycle.destroy(LabHome(home, lab.name))
    return figures


class _UntilReady(PlainProgress):
    """Notes after how many seconds every Node was Ready."""

    def __init__(self) -> None:
        super().__init__()
        self._begun, self.ready = time.monotonic(), 0.0

    def finished(self, step: Step, seconds: float) -> None:
        super().finished(step, seconds)
        if step.id == "lab/nodes":
            self.ready = time.monotonic() - self._begun


def _up(lab: Lab, home: Path) -> tuple[_UntilReady, lifecycle.Brought]:
    watch = _UntilReady()
    return watch, lifecycle.bring_up(lab, home, lambda _: watch)


def _bare(lab: Lab, home: Path) -> float:
    """Seconds until three machines of the image, without our services, all answer SSH."""
    place = LabHome(home, lab.name)
    driver = make_driver(lab, place)
    try:
        with place.locked():
            place.create(lab)
            progress = PlainProgress()
            steps = [step for step in plan_up(lab) if step.name in BARE]
            begun = time.monotonic()
            run_plan(steps, Context(lab, place, driver, lifecycle.SOURCE, Journal(place.journal), progress), progress)
            return time.monotonic() - begun
    finally:
        lifecycle.destroy(place)


def _memory(lab: Lab, place: LabHome) -> list[Figure]:
    time.sleep(IDLE)
    driver = make_driver(lab, place)
    figures = []
    for machine in (lab.machines[0], lab.machines[-1]):
        shell = driver.connect(machine, 60.0)
        sizes = [line.rsplit(" ", 1) for line in shell.run(_MEMORY, timeout=120.0).text.splitlines()]
        shell.close()
        containerd = _sum(sizes, ("containerd",))
        where = f"{machine.name}, {lab.control_plane}"
        agent = _sum(sizes, NODE_AGENT)
        figures.append(
            Figure(
                f"kubelet + kube-proxy idle, {where}", agent, "MB", "containerd there", containerd, 120, absolute=True
            )
        )
        if machine.is_master:
            plane = _sum(sizes, CONTROL_PLANE)
            etcd = _sum(sizes, ("etcd",))
            figures.append(
                Figure(f"control plane with etcd idle, {where}", plane, "MB", "etcd of it", etcd, 500, absolute=True)
            )
    return figures


def _sum(sizes: list[list[str]], names: tuple[str, ...]) -> float:
    """Megabytes (10⁶ bytes) of the processes whose name begins with one of `names`."""
    return sum(int(size) * 1024 / 1e6 for name, size in sizes if name.startswith(names) and "shim" not in name)
