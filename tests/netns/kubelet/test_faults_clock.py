"""The wall clock jumps under a running node: nothing restarts, waits are as long as ever, the Node stays Ready."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.kubelet import faults
from tests.netns.kubelet.agent import DEADLINE, Kubelet, eventually
from tests.netns.kubelet.faults import Node, pod, report, restarts, times


@pytest.fixture(scope="module")
def offset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("clock") / "offset"
    file.write_text("0")
    return file


@pytest.fixture(scope="module")
def node(offset: Path) -> Iterator[Node]:
    class Shifted(Kubelet):
        program = ("-m", "tests.netns.kubelet.shifted_agent", str(offset))

    with faults.node("flt-clock", kind=Shifted) as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(node: Node) -> Iterator[None]:
    yield
    node.delete_all()
    node.settles(0)


PROBED = {
    "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 60},
    "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 60},
}


JUMPS = {"ten minutes back": -600, "forty seconds back": -40, "a day on": 86_400}


def test_jumps_change_nothing(node: Node, offset: Path) -> None:
    watched = times(60, 6)
    node.cluster.apply(pod("steady", container=PROBED))
    before = node.all_running(["steady"])
    for jump in JUMPS.values():
        renewed = _renewed(node)
        _move(offset, jump)
        began = time.monotonic()
        while time.monotonic() - began < watched or _renewed(node) == renewed:
            _steady(node)
            assert time.monotonic() - began < watched + DEADLINE, "the node goes on sending heartbeats"
        assert node.all_running(["steady"]) == before and restarts(node.pods()["steady"]) == 0
    report("wall clock jumps", jumps=", ".join(JUMPS), watched_s=watched, restarted=0)


def test_a_jump_in_a_crash_loop_makes_its_waits_neither_longer_nor_shorter(node: Node, offset: Path) -> None:
    gaps = {}
    for name in list(JUMPS) if faults.FULL else ["forty seconds back"]:
        lives = node.machine.dir / f"lives-{len(gaps)}"
        volume = {"name": "d", "hostPath": {"path": str(lives), "type": "DirectoryOrCreate"}}
        mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
        # The machine's own clock, which nobody moves, says when each life began.
        node.cluster.apply(pod("crash", "cat /proc/uptime >> /d/log; exit 1", container=mount, volumes=[volume]))
        eventually(lambda lives=lives: len(_begun(lives)) == 2, "the first restart")
        _move(offset, JUMPS[name])
        eventually(lambda lives=lives: len(_begun(lives)) == 3, "the restart after the wait")
        _, before, after = _begun(lives)
        gaps[name] = after - before
        assert 9 < gaps[name] < 45, f"the back-off of ten seconds took {gaps[name]:.1f} s"
        node.delete_all()
        node.settles(0)
    report("wall clock jumps in a crash loop", **{name: f"waited {gap:.1f} s" for name, gap in gaps.items()})


def _begun(lives: Path) -> list[float]:
    return [float(line.split()[0]) for line in (lives / "log").read_text().splitlines()]


def _move(offset: Path, seconds: float) -> None:
    offset.write_text(str(float(offset.read_text()) + seconds))


def _renewed(node: Node) -> str:
    return str(node.cluster.get("lease", "node", "kube-node-lease")["spec"]["renewTime"])


def _steady(node: Node) -> None:
    assert node.ready()["status"] == "True"
    assert node.pods()["steady"]["status"]["containerStatuses"][0]["ready"]
