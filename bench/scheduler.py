"""Pods bound per second on simulated nodes: our three components against the real three, in one run.

Pods are created as fast as the API server takes them; the time is from the first request to the last pod bound. Given
as time per pod, so that less is better; CPU is of API server, scheduler and controller manager together (without etcd).
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.api_load import Connection, drive, request
from bench.api_rows import CONNECTIONS, PATH, pod
from bench.api_server import Credentials, Server
from bench.components import CONTROLLERS, SCHEDULER, Components, missing, running
from bench.figure import Figure

# (nodes, pods)
SIZES = ((10, 1000), (110, 1000), (110, 2000), (1000, 1000), (1000, 2000))
TIME_AIM = 0.5
IDLE_SECONDS, IDLE_AIM, MEMORY_AIM = 10.0, 1.0, 150.0  # s, % of a core, MB: scheduler and controllers together
DEADLINE = 60.0  # seconds; a pod that is not bound by then never is


@dataclass(frozen=True, slots=True)
class Run:
    """seconds: to the last pod bound. cpu: of the three, scheduler: of it alone, meanwhile. idle: % of a core, memory:
    megabytes, of scheduler and controllers afterwards."""

    seconds: float
    cpu: float
    scheduler: float
    idle: float = 0.0
    memory: float = 0.0


def measure() -> list[Figure]:
    if lacking := missing():
        raise SystemExit(f"bench scheduler: no {lacking[0]}; run bench/peer.sh with its name")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-scheduler-") as name:
        credentials = Credentials(Path(name))
        for nodes, pods in SIZES:
            idle = (nodes, pods) == (110, 2000)
            runs = {store: measure_one(store, credentials, nodes, pods, idle=idle) for store in ("peer", "etcd")}
            figures += _figures(nodes, pods, runs["etcd"], runs["peer"])
    return figures


def measure_one(store: str, credentials: Credentials, nodes: int, pods: int, *, idle: bool = False) -> Run:
    """One size on control planes that start from nothing. idle: look at them afterwards, too."""
    with running(store, credentials.directory / f"{store}-{nodes}-{pods}", credentials) as components:
        add_nodes(components.server, nodes)
        run = bind(components, pods)
        if idle:
            run = _idle(components, run)
    print(f"{store}, {nodes} nodes: {pods / run.seconds:.0f} pods/s, {run}", file=sys.stderr)
    return run


def add_nodes(server: Server, count: int) -> None:
    """Nodes that are ready, and from which the controllers have taken the taint of those that are not yet."""
    connections = server.connect(CONNECTIONS, "admin")
    drive(connections, (request("POST", "/api/v1/nodes", _node(number)) for number in range(count)))
    end = time.monotonic() + DEADLINE
    while b"node.kubernetes.io/not-ready" in server.admin("GET", "/api/v1/nodes"):
        if time.monotonic() > end:
            raise SystemExit(f"{server.store}: the nodes never become ready")
        time.sleep(0.2)
    for connection in connections:
        connection.close()


def bind(components: Components, count: int) -> Run:
    """Create pods and wait until the last is bound."""
    connections = components.server.connect(CONNECTIONS)
    (watching,) = components.server.connect(1)
    counter = _Bound(watching, count)
    cpu, scheduler, began = components.cpu(), components.cpu_of(SCHEDULER), time.perf_counter()
    counter.start()
    drive(connections, (request("POST", f"{PATH}/pods", pod(number)) for number in range(count)))
    counter.join(DEADLINE)
    if counter.bound != count:
        raise SystemExit(f"{components.server.store}: {counter.bound} of {count} pods are bound after {DEADLINE:g} s")
    run = Run(counter.ended - began, components.cpu() - cpu, components.cpu_of(SCHEDULER) - scheduler)
    for connection in (*connections, watching):
        connection.close()
    return run


class _Bound(threading.Thread):
    """Counts pods that got a node, in a watch of such pods. ended: when the last did."""

    def __init__(self, connection: Connection, wanted: int) -> None:
        super().__init__(daemon=True)
        self._connection, self._wanted = connection, wanted
        connection.socket.setblocking(True)
        connection.send(request("GET", f"{PATH}/pods?watch=true&fieldSelector=spec.nodeName!="))
        self.bound, self.ended = 0, 0.0

    def run(self) -> None:
        rest = b""
        while self.bound < self._wanted and (data := self._connection.socket.recv(1 << 16)):
            data = rest + data
            self.bound += data.count(_ADDED)
            rest = data[-len(_ADDED) + 1 :]
        self.ended = time.perf_counter()


_ADDED = b'{"type":"ADDED"'


def _idle(components: Components, run: Run) -> Run:
    time.sleep(5)  # let the events of the last bindings be sent
    brain = (SCHEDULER, CONTROLLERS)
    before = components.cpu_of(*brain)
    time.sleep(IDLE_SECONDS)
    used = components.cpu_of(*brain) - before
    return Run(run.seconds, run.cpu, run.scheduler, 100 * used / IDLE_SECONDS, components.memory_of(*brain))


def _node(number: int) -> bytes:
    name = f"node-{number:04}"
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": f"zone-{number % 3}",
    }
    status = {"capacity": amounts, "allocatable": amounts, "conditions": [{**ready, **times}]}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}
    return json.dumps(node).encode()


def _figures(nodes: int, pods: int, ours: Run, peer: Run) -> list[Figure]:
    size = f"{pods:,} pods on {nodes:,} nodes"
    rates = f"{pods / ours.seconds:,.0f} pods/s against {pods / peer.seconds:,.0f}"
    share = f"the scheduler's {ours.scheduler / pods * 1e3:.2f} against {peer.scheduler / pods * 1e3:.2f}"
    found = [
        Figure(
            f"{size}, time a pod",
            ours.seconds / pods * 1e3,
            "ms",
            _PEER,
            peer.seconds / pods * 1e3,
            TIME_AIM,
            note=rates,
        ),
        Figure(f"{size}, CPU a pod", ours.cpu / pods * 1e3, "ms", _PEER, peer.cpu / pods * 1e3, note=share),
    ]
    if ours.memory:
        what = f"scheduler and controllers idle with {size}"
        found.append(Figure(f"{what}, CPU", ours.idle, "%", _PEER, peer.idle, IDLE_AIM, absolute=True))
        found.append(Figure(f"{what}, memory", ours.memory, "MB", _PEER, peer.memory, MEMORY_AIM, absolute=True))
    return found


_PEER = "the real three"
