"""What a Deployment of 500 replicas takes until its pods are there, ours against the real three in one run; and what
the change of one pod costs our controllers among few pods and among many.

Created, not bound: from the request for the Deployment to the last pod in a watch. Idle CPU and memory of scheduler and
controllers are in `bench scheduler`.
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
from bench.api_rows import CONNECTIONS, PATH, SPACE, pod
from bench.api_server import Credentials
from bench.components import CONTROLLERS, Components, missing, running
from bench.figure import Figure, p50
from bench.scheduler import add_nodes

REPLICAS, NODES, ROUNDS = 500, 10, 3
TIME_AIM = 0.5
FEW, MANY, CHANGES = 100, 5000, 400
# A change among many pods may cost what it costs among few, and what is measured twice differs by.
GROWTH_AIM = 1.25
DEADLINE = 60.0

_PEER = "the real three"
_TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "nginx", "resources": {"requests": {"cpu": "10m"}}}]},
}


@dataclass(frozen=True, slots=True)
class Run:
    """seconds: until all pods are there. cpu: of the three meanwhile, controllers: of the manager alone."""

    seconds: float
    cpu: float
    controllers: float


def measure() -> list[Figure]:
    if lacking := missing():
        raise SystemExit(f"bench controllers: no {lacking[0]}; run bench/peer.sh with its name")
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-controllers-") as name:
        credentials = Credentials(Path(name))
        peer, _ = _measure_one("peer", credentials)
        ours, changes = _measure_one("etcd", credentials)
    few, many = changes
    what = f"Deployment of {REPLICAS} replicas"
    cpu = f"the controllers' {ours.controllers:.2f} against {peer.controllers:.2f}"
    return [
        Figure(f"{what}, until the last pod is created, p50", ours.seconds, "s", _PEER, peer.seconds, TIME_AIM),
        Figure(f"{what}, CPU of the three", ours.cpu, "s", _PEER, peer.cpu, note=cpu),
        Figure(f"controllers' CPU a change of one pod, {MANY:,} others", many, "ms", f"{FEW} others", few, GROWTH_AIM),
    ]


def _measure_one(store: str, credentials: Credentials) -> tuple[Run, tuple[float, float]]:
    changes = (0.0, 0.0)
    with running(store, credentials.directory / store, credentials) as components:
        add_nodes(components.server, NODES)
        runs = [create(components, f"web-{number}") for number in range(ROUNDS)]
        if store != "peer":
            create(components, "one", 1)
            few = _change(components, FEW)
            changes = (few, _change(components, MANY))
    run = Run(*(p50([getattr(each, field) for each in runs]) for field in Run.__slots__))
    print(f"{store}: {run}, ms a change: {changes}", file=sys.stderr)
    return run, changes


def create(components: Components, name: str, replicas: int = REPLICAS) -> Run:
    """Ask for a Deployment and wait for its pods. Those of more than one are deleted again."""
    server, labels = components.server, {"app": name}
    template = {**_TEMPLATE, "metadata": {"labels": labels}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    body = json.dumps({"metadata": {"name": name}, "spec": spec}).encode()
    (watching,) = server.connect(1, "admin")
    counter = _Added(watching, name, replicas)
    counter.start()
    before, manager, began = components.cpu(), components.cpu_of(CONTROLLERS), time.perf_counter()
    server.admin("POST", f"/apis/apps/v1/namespaces/{SPACE}/deployments", body)
    counter.join(DEADLINE)
    if counter.seen < replicas:
        raise SystemExit(f"{server.store}: {counter.seen} of {replicas} pods are there after {DEADLINE:g} s")
    run = Run(counter.ended - began, components.cpu() - before, components.cpu_of(CONTROLLERS) - manager)
    watching.close()
    if replicas > 1:
        server.admin("DELETE", f"/apis/apps/v1/namespaces/{SPACE}/deployments/{name}")
        _empty(components, name)
    return run


def _empty(components: Components, name: str) -> None:
    """Be the kubelets that let the deleted pods go."""
    server, end = components.server, time.monotonic() + DEADLINE
    connections = server.connect(CONNECTIONS, "admin")
    options = json.dumps({"gracePeriodSeconds": 0}).encode()
    while items := json.loads(server.admin("GET", f"{PATH}/pods?labelSelector=app%3D{name}"))["items"]:
        if time.monotonic() > end:
            raise SystemExit(f"{server.store}: {len(items)} pods of the deleted Deployment are still there")
        for each in items:
            if each["metadata"].get("deletionTimestamp"):
                try:
                    path = f"{PATH}/pods/{each['metadata']['name']}"
                    drive(connections[:1], [request("DELETE", path, options)])
                except RuntimeError:  # it went by itself, never having been bound
                    continue
        time.sleep(0.1)
    for connection in connections:
        connection.close()


def _change(components: Components, others: int) -> float:
    """Milliseconds of the controllers' CPU that a change of one pod's status takes, beside so many pods of nobody."""
    server = components.server
    connections = server.connect(CONNECTIONS, "admin")
    there = len(json.loads(server.admin("GET", f"{PATH}/pods?fieldSelector=spec.schedulerName!=x"))["items"])
    drive(connections, (request("POST", f"{PATH}/pods", pod(number)) for number in range(there, others)))
    (subject,) = json.loads(server.admin("GET", f"{PATH}/pods?labelSelector=app%3Done"))["items"]
    path = f"{PATH}/pods/{subject['metadata']['name']}/status"
    settle(components)
    before = components.cpu_of(CONTROLLERS)
    (connection, *_) = connections
    for number in range(CHANGES):
        word = "True" if number % 2 else "False"
        ready = {"type": "Ready", "status": word, "lastTransitionTime": "2025-01-01T00:00:00Z"}
        body = json.dumps({"status": {"phase": "Running", "conditions": [ready]}}).encode()
        drive([connection], [request("PATCH", path, body, "application/merge-patch+json")])
        time.sleep(0.005)  # one change at a time: a burst would be seen as one
    settle(components)
    for each in connections:
        each.close()
    return (components.cpu_of(CONTROLLERS) - before) / CHANGES * 1e3


def settle(components: Components) -> None:
    """Wait until the controllers have been idle for a second."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        before = components.cpu_of(CONTROLLERS)
        time.sleep(1.0)
        if components.cpu_of(CONTROLLERS) - before < 0.03:
            return
    raise SystemExit("the controllers never come to rest")


class _Added(threading.Thread):
    """Counts pods as a watch shows them. ended: when the last that is waited for came."""

    def __init__(self, connection: Connection, app: str, wanted: int) -> None:
        super().__init__(daemon=True)
        self._connection, self._wanted = connection, wanted
        connection.socket.setblocking(True)
        connection.send(request("GET", f"{PATH}/pods?watch=true&labelSelector=app%3D{app}"))
        self.seen, self.ended = 0, 0.0

    def run(self) -> None:
        rest = b""
        while self.seen < self._wanted and (data := self._connection.socket.recv(1 << 16)):
            data = rest + data
            self.seen += data.count(_ADDED)
            rest = data[-len(_ADDED) + 1 :]
        self.ended = time.perf_counter()


_ADDED = b'{"type":"ADDED"'
