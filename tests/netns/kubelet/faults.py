"""What the fault tests share: how often, a node with its control plane, and what a node must not leave behind.

`KUBELAB_FAULTS=full` runs every fault as often and as long as promised; otherwise a share of it that takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.netns.kubelet import cluster as control_plane
from tests.netns.kubelet import machine as machines
from tests.netns.kubelet.agent import DEADLINE, Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine

FULL = os.environ.get("KUBELAB_FAULTS") == "full"

# Ends at once on SIGTERM and costs nothing while it runs.
IDLE = "trap 'exit 0' TERM; sleep 100000 & wait"


def times(full: int, share: int) -> int:
    """How often, how many or how long: `full` in the whole suite, `share` in CI."""
    return full if FULL else share


def report(what: str, **figures: object) -> None:
    """One line of the suite's account."""
    print(f"\nfault: {what}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items()))


@dataclass(slots=True)
class Node:
    """A machine, its control plane and its kubelet."""

    machine: Machine
    cluster: Cluster
    kubelet: Kubelet

    def create(self, names: Sequence[str], **more: Any) -> None:
        """Pods with one idle container, bound to this node: there is no wait for a scheduler in the figures."""
        self.cluster.apply(*(pod(name, **more) for name in names))

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the Node."""
        listed = self.cluster.get("node", "node")["status"]["conditions"]
        found: dict[str, Any] = next(entry for entry in listed if entry["type"] == kind)
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """The API's pods by name."""
        listed = json.loads(self.cluster.kubectl("get", "pods", "-o=json"))
        return {item["metadata"]["name"]: item for item in listed["items"]}

    def all_running(self, names: Sequence[str], seconds: float = DEADLINE) -> dict[str, str]:
        """Name → container id, once all of them are Ready in the API."""

        def look() -> dict[str, str] | None:
            found = {name: item for name, item in self.pods().items() if name in names}
            ids = {name: container_id(item) for name, item in found.items() if _ready(item)}
            return ids if len(ids) == len(names) else None

        found = eventually(look, f"{len(names)} running pods", seconds)
        assert found is not None
        return found

    def delete_all(self, seconds: float = DEADLINE) -> None:
        self.cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false")
        eventually(lambda: not self.pods(), "no pod in the API", seconds)

    def ready(self) -> dict[str, Any]:
        """The Node's condition Ready."""
        listed = self.cluster.get("node", self.kubelet.name)["status"]["conditions"]
        found: dict[str, Any] = next(condition for condition in listed if condition["type"] == "Ready")
        return found

    def becomes_ready(self, seconds: float = DEADLINE) -> float:
        """Seconds until the Node is Ready."""
        began = time.monotonic()
        eventually(lambda: self.ready()["status"] == "True", "Ready", seconds)
        return time.monotonic() - began

    def settles(self, pods: int, containers: int | None = None, seconds: float = DEADLINE) -> float:
        """Seconds until there is exactly what so many pods need, and nothing else."""
        began = time.monotonic()
        wanted = Leftovers.of_pods(pods, pods if containers is None else containers)

        def look() -> bool:
            found = Leftovers.look(self)
            assert found == wanted, f"{found}, not {wanted}"
            return True

        eventually(look, f"nothing but what {pods} pods need", seconds)
        return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Counts of what a pod takes on a node."""

    sandboxes: int
    containers: int
    namespaces: int
    interfaces: int
    addresses: int
    root_mounts: int
    cgroups: int
    folders: int

    @classmethod
    def of_pods(cls, pods: int, containers: int) -> Leftovers:
        return cls(pods, containers, pods, pods, pods, pods + containers, pods, pods)

    @classmethod
    def look(cls, node: Node) -> Leftovers:
        machine, kubelet = node.machine, node.kubelet
        listed = machine.ctr("tasks", "ls").splitlines()[1:]
        known = {line.split()[0]: line for line in machine.ctr("containers", "ls").splitlines()[1:]}
        running = [line.split()[0] for line in listed if "RUNNING" in line]
        pauses = [task for task in running if "pause" in known.get(task, "")]
        links = subprocess.run(
            ["ip", "-n", machine.name, "-o", "link", "show", "type", "veth"], capture_output=True, text=True
        ).stdout.splitlines()
        mounts = Path(f"/proc/{machine.containerd_pid}/mountinfo").read_text()
        addresses = machine.dir / "ipam" / "test"
        return cls(
            sandboxes=len(pauses),
            containers=len(running) - len(pauses),
            namespaces=len(list(Path(f"/proc/{machine.containerd_pid}/root/run/netns").glob("cni-*"))),
            # Its own uplink is a veth as well.
            interfaces=len([line for line in links if " eth0@" not in line]),
            addresses=len(list(addresses.glob("10.*"))) if addresses.is_dir() else 0,
            root_mounts=len(re.findall(rf" {re.escape(str(machine.run_dir))}/state/\S*/rootfs ", mounts)),
            cgroups=len(pod_cgroups(machine)),
            folders=len(list((kubelet.root / "pods").iterdir())),
        )


def pod_cgroups(machine: Machine) -> set[str]:
    """The names of all pods' cgroups, in any hierarchy."""
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    found = set()
    for root in roots:
        base = root / machine.cgroup.strip("/") / "kubepods"
        if base.is_dir():
            found |= {place.name for place in [*base.glob("pod*"), *base.glob("*/pod*")] if place.is_dir()}
    return found


def pod(name: str, script: str = IDLE, *, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod bound to the node `node`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": "node",
            "terminationGracePeriodSeconds": 1,
            "containers": [busybox(script, **(container or {}))],
            **spec,
        },
    }


def container_id(item: dict[str, Any]) -> str:
    return str(item["status"]["containerStatuses"][0].get("containerID", "")).partition("://")[2]


def restarts(item: dict[str, Any]) -> int:
    return int(item["status"]["containerStatuses"][0]["restartCount"])


def _ready(item: dict[str, Any]) -> bool:
    listed = (item.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in listed)


@contextlib.contextmanager
def node(
    name: str,
    *,
    kind: type[Kubelet] = Kubelet,
    prepare: Callable[[Machine], object] = lambda machine: None,
    folder: Path | None = None,
    plane: Path | None = None,
    **config: Any,
) -> Iterator[Node]:
    """A node that is Ready. prepare: what to do with the machine first; folder, plane: where the files of the machine
    and of the control plane go; config: of the kubelet."""
    with machines.started(name, folder) as machine:
        prepare(machine)
        with (
            control_plane.started(machine, folder=plane) as cluster,
            control_plane.joined(cluster, kind, **config) as kubelet,
        ):
            yield Node(machine, cluster, kubelet)
