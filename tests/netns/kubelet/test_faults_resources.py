"""A node that runs out of disk; pods that take all memory, all processes, and all the log there is."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet import faults, oci
from tests.netns.kubelet.agent import eventually
from tests.netns.kubelet.faults import IDLE, Node, pod, report, restarts
from tests.netns.kubelet.machine import Machine

MI = 1 << 20
DISK = 300 * MI
#: Far below the threshold, but not to the last byte: containerd keeps its books on the same disk, and without room for
#: a line about it, it does not believe that a container has ended.
FILL = "while [ $(df -k /d | awk 'NR==2 {print $4}') -gt 24576 ]; do head -c 4194304 /dev/zero >> /d/hog; done"
BALLAST = "example.com/ballast:1"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Everything of the machine, runtime and agent, is on one small disk; the control plane is elsewhere."""
    disk = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
    try:
        with faults.node(
            "flt-res",
            prepare=_import_ballast,
            folder=disk,
            plane=tmp_path_factory.mktemp("plane"),
            evictionHard={"nodefs.available": "25%", "memory.available": "1Mi"},
            # Long enough for a pod to be refused meanwhile, on a busy machine too.
            evictionPressureTransitionPeriod="15s",
            podPidsLimit=64,
            containerLogMaxSize="1Mi",
            containerLogMonitorInterval="3s",
        ) as made:
            yield made
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _import_ballast(machine: Machine) -> None:
    machine.ctr("images", "import", str(oci.build_ballast(machine.dir, BALLAST, 8 * MI)))


@pytest.fixture(autouse=True)
def _empty(node: Node) -> Iterator[None]:
    yield
    node.delete_all()
    node.settles(0)


def test_a_full_disk_is_collected_then_the_hog_is_evicted_and_the_node_recovers(node: Node) -> None:
    mounts = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    volumes = [{"name": "d", "emptyDir": {}}]
    node.cluster.apply(pod("bystander"))
    before = node.all_running(["bystander"])
    assert BALLAST in node.machine.ctr("images", "ls", "-q")
    began = time.monotonic()
    node.cluster.apply(pod("hog", f"{FILL}; {IDLE}", container=mounts, volumes=volumes))
    pressed = eventually(
        lambda: found if (found := node.condition("DiskPressure"))["status"] == "True" else None, "DiskPressure"
    )
    noticed = time.monotonic() - began
    assert pressed is not None
    assert (pressed["reason"], pressed["message"]) == ("KubeletHasDiskPressure", "kubelet has disk pressure")
    node.cluster.apply(pod("late"))
    hog = eventually(
        lambda: found if (found := node.cluster.pod("hog"))["status"]["phase"] == "Failed" else None, "eviction"
    )
    assert hog is not None and hog["status"]["reason"] == "Evicted"
    assert hog["status"]["message"].startswith(
        "The node was low on resource: ephemeral-storage. Threshold quantity: 75Mi, available: "
    ), hog["status"]["message"]
    [target] = [entry for entry in hog["status"]["conditions"] if entry["type"] == "DisruptionTarget"]
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    late = eventually(
        lambda: found if (found := node.cluster.pod("late"))["status"].get("phase") != "Pending" else None, "a verdict"
    )
    assert late is not None
    assert (late["status"]["reason"], late["status"]["message"]) == (
        "Evicted",
        "Pod was rejected: The node had condition: [DiskPressure]. ",
    )
    images = node.machine.ctr("images", "ls", "-q")
    assert oci.PAUSE in images, "sandboxes are made of it"
    assert BALLAST not in images and oci.BUSYBOX in images, "what nobody uses was thrown away first"
    eventually(lambda: node.condition("DiskPressure")["status"] == "False", "the end of the pressure")
    assert node.all_running(["bystander"]) == before and restarts(node.pods()["bystander"]) == 0
    told = {"EvictionThresholdMet", "NodeHasDiskPressure", "NodeHasNoDiskPressure"}
    eventually(lambda: told <= set(node.cluster.events("node")), "the events of the node")
    eventually(lambda: "Evicted" in node.cluster.events("hog"), "the event of the pod")
    assert node.condition("Ready")["status"] == "True"
    node.cluster.apply(pod("after"))
    node.all_running(["after"])
    report("disk full", pressure_after_s=f"{noticed:.1f}", evicted="the hog alone", agent="kept reporting")


def test_an_empty_dir_over_its_limit_ends_its_pod(node: Node) -> None:
    mounts = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    script = f"head -c {5 * MI} /dev/zero > /d/f; {IDLE}"
    node.cluster.apply(pod("fat", script, container=mounts, volumes=[{"name": "d", "emptyDir": {"sizeLimit": "2Mi"}}]))
    fat = eventually(
        lambda: found if (found := node.cluster.pod("fat"))["status"].get("phase") == "Failed" else None, "its end"
    )
    assert fat is not None
    text = 'Usage of EmptyDir volume "d" exceeds the limit "2Mi". '
    assert (fat["status"]["reason"], fat["status"]["message"]) == ("Evicted", text)
    assert node.condition("DiskPressure")["status"] == "False"


def test_greedy_pods_hurt_themselves_alone(node: Node) -> None:
    """Memory, processes and logs are taken without end by three pods, beside one that must not feel it."""
    limits = {"resources": {"limits": {"memory": "24Mi"}}}
    flood = "while true; do yes 0123456789abcdef0123456789abcdef | head -c 1500000; sleep 1; done"
    # The shell that can fork no more gives up, what it made stays; exec needs no process of its own.
    bomb = "(while true; do sleep 1000 & done) 2>/dev/null; exec sleep 100000"
    node.cluster.apply(
        pod(
            "bystander",
            container={"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 2, "timeoutSeconds": 60}},
        ),
        pod("memory", "tail /dev/zero", container=limits),
        pod("forks", bomb),
        pod("flood", flood),
    )
    before = node.all_running(["bystander"])

    def killed() -> bool:
        # containerd tells why by an event of its own, which may come after the end: that one then says Error.
        ended = _ended(node, "memory")
        return ended is not None and (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)

    eventually(killed, "the end of what takes all memory")
    eventually(lambda: _processes(node, "forks") >= 60, "the fork bomb")
    [folder] = (node.kubelet.logs / "pods").glob("default_flood_*")
    eventually(lambda: len(list((folder / "main").iterdir())) == 5, "five log files")
    oldest = min(file.name for file in (folder / "main").iterdir() if file.name != "0.log")
    eventually(lambda: not (folder / "main" / oldest).exists(), "the oldest log's end")
    files = sorted(file.name for file in (folder / "main").iterdir())
    assert len(files) <= 6 and sum(name.endswith(".gz") for name in files) >= 2, files
    eventually(lambda: "0123456789abcdef" in node.kubelet.log("flood", "?tailLines=3"), "lines in the new file")
    assert _processes(node, "forks") <= 64
    assert node.all_running(["bystander"]) == before and restarts(node.pods()["bystander"]) == 0
    assert node.condition("Ready")["status"] == "True"
    node.cluster.apply(pod("another"))
    node.all_running(["another"])
    report("greedy pods", out_of_memory="OOMKilled", processes_at_most=64, log_files=len(files), others_disturbed=0)


def _ended(node: Node, name: str) -> dict[str, Any] | None:
    status = node.pods()[name]["status"]["containerStatuses"][0]
    found: dict[str, Any] | None = status["state"].get("terminated") or status["lastState"].get("terminated")
    return found


def _processes(node: Node, name: str) -> int:
    uid = node.pods()[name]["metadata"]["uid"]
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/pids")):
        base = root / node.machine.cgroup.strip("/") / "kubepods"
        for folder in (base, base / "burstable", base / "besteffort"):
            with contextlib.suppress(OSError):
                return int((folder / f"pod{uid}" / "pids.current").read_text())
    return 0
