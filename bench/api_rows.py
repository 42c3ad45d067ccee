"""What `bench api` asks of a server, the same of each: writes, reads, lists, watches of 5,000 pods."""

from __future__ import annotations

import itertools
import json
import os
import select
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.api_load import Connection, Driven, drive, request
from bench.api_server import Server
from bench.figure import p50

CONNECTIONS = 16
PODS = 5000
SECONDS = 3.0
LISTS = 8
WATCHERS = 100
UPDATES = 300
PACED = 25  # updates a second
PACED_SECONDS = 6.0
SILENCE = 2.0  # seconds
SPACE = "bench"
PATH = f"/api/v1/namespaces/{SPACE}"
LONE = "GET one pod, one connection"


@dataclass(frozen=True, slots=True)
class Row:
    """One line for one server. seconds: of an operation (1/rate); cpu: the server's, of an operation, None if not told;
    generator: share of one core that the load generator took."""

    name: str
    seconds: float
    cpu: float | None = None
    note: str = ""
    generator: float = 0.0


def prepare(server: Server) -> None:
    """A namespace, its service account, and the rights of whom the load comes from."""
    server.admin("POST", "/api/v1/namespaces", _json({"metadata": {"name": SPACE}}))
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    server.admin("POST", f"{PATH}/serviceaccounts", _json(account))
    rule = {"apiGroups": [""], "resources": ["pods", "pods/status", "configmaps"], "verbs": ["*"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    server.admin("POST", f"{rbac}/clusterroles", _json({"metadata": {"name": "load"}, "rules": [rule]}))
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "load"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "load"}
    binding = {"metadata": {"name": "load"}, "roleRef": role, "subjects": [subject]}
    server.admin("POST", f"{rbac}/clusterrolebindings", _json(binding))
    end = time.monotonic() + 10
    while time.monotonic() < end:
        (connection,) = server.connect(1)
        try:
            drive([connection], [request("GET", f"{PATH}/pods?limit=1")])
            return
        except RuntimeError:  # the binding has not got round yet
            time.sleep(0.02)
        finally:
            connection.close()
    raise SystemExit(f"{server.store}: the load is never allowed in")


def rows(server: Server) -> list[Row]:
    """Every line, in this order, of a server that has been prepared."""
    connections = server.connect(CONNECTIONS)
    measured: list[Row] = []

    def row(name: str, requests: Iterable[bytes], seconds: float = SECONDS, count: int = CONNECTIONS) -> None:
        cpu, own = server.cpu(), _own_cpu()
        done = drive(connections[:count], requests, seconds)
        used, own = server.cpu() - cpu, _own_cpu() - own
        each = done.seconds / done.count
        measured.append(Row(name, each, used / done.count, _told(done), own / done.seconds))

    row("create ConfigMap 1 KiB", (request("POST", f"{PATH}/configmaps", config_map(n)) for n in itertools.count()))
    made = itertools.count()
    row("create Pod", (request("POST", f"{PATH}/pods", pod(next(made))) for _ in range(PODS)), 3600)
    row("GET one pod", (request("GET", f"{PATH}/pods/pod-{n % PODS:05}") for n in itertools.count()))
    row(LONE, (request("GET", f"{PATH}/pods/pod-{n:05}") for n in range(1000)), count=1)
    row(f"LIST {PODS:,} pods", itertools.repeat(request("GET", f"{PATH}/pods"), LISTS), 3600, 1)
    size = len(connections[0].body()) / 1e6
    measured[-1] = Row(measured[-1].name, measured[-1].seconds, measured[-1].cpu, f"{size:.1f} MB")
    rv0 = request("GET", f"{PATH}/pods?resourceVersion=0")
    row(f"LIST {PODS:,} pods, resourceVersion=0", itertools.repeat(rv0, LISTS), 3600, 1)
    row("PATCH pod status", map(status_patch, itertools.count()))
    measured.append(watch_at_full_speed(server, connections))
    measured += watch_paced(server, connections[0])
    row(f"delete {PODS:,} pods", (request("DELETE", f"{PATH}/pods/pod-{n:05}", DELETE) for n in range(PODS)), 3600)
    for connection in connections:
        connection.close()
    return measured


def config_map(number: int) -> bytes:
    return _json({"metadata": {"name": f"map-{number:06}"}, "data": {"value": f"{number:06}" + "x" * 1018}})


def pod(number: int) -> bytes:
    """A pod as a Deployment makes them; stored with its defaults and managed fields it is about 2 KiB."""
    container = {
        "name": "main",
        "image": "registry.example/shop/web:1.2.3",
        "args": ["--listen=:8080", "--log-level=info"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "TIER", "value": "front"}, {"name": "ZONE", "value": "a"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
    }
    labels = {"app": "web", "tier": "front", "pod-template-hash": "6d4cf56db6"}
    return _json({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number:05}", "labels": labels},
        "spec": {"containers": [container], "nodeSelector": {"kubernetes.io/os": "linux"},
                 "terminationGracePeriodSeconds": 0},
    })  # fmt: skip


def status_patch(number: int) -> bytes:
    """What a node agent sends when a pod has started."""
    condition = {"type": "Ready", "status": "True" if number % 2 else "False", "lastTransitionTime": _TIME}
    body = _json({"status": {"conditions": [condition], "hostIP": "10.0.0.1", "message": f"change {number}"}})
    return request("PATCH", f"{PATH}/pods/pod-{number % PODS:05}/status", body, STRATEGIC)


def watch_at_full_speed(server: Server, writers: Sequence[Connection]) -> Row:
    """300 updates as fast as they go, each writer's of an object of its own, each seen by 100 watchers. What has not
    come after a silence does not come: the real server ends slow watches when its buffers are full."""
    watchers = watch(server, WATCHERS, f"{PATH}/configmaps")
    targets = [f"{PATH}/configmaps/map-{n:06}" for n in range(len(writers))]
    updates = iter(range(UPDATES))
    cpu, own, began = server.cpu(), _own_cpu(), time.perf_counter()
    with select.epoll() as poll:
        for connection in (*watchers, *writers):
            poll.register(connection.socket.fileno(), select.EPOLLIN)
        writing = {connection.socket.fileno(): connection for connection in writers}
        watching = {connection.socket.fileno(): connection for connection in watchers}
        own_target = dict(zip(writing, targets, strict=True))
        for number, connection in writing.items():
            connection.send(_update(own_target[number], next(updates)))
        seen = dict.fromkeys(watching, 0)
        owing = len(watching)
        last = began
        while owing and (ready := poll.poll(SILENCE)):
            last = time.perf_counter()
            for number, _ in ready:
                if number in watching:
                    connection = watching[number]
                    seen[number] += _events(connection)
                    if seen[number] >= UPDATES or connection.received.endswith(END):
                        poll.unregister(number)
                        owing -= 1
                elif writing[number].receive():
                    if writing[number].status != 200:
                        raise RuntimeError(writing[number].body()[:500].decode())
                    if (update := next(updates, None)) is not None:
                        writing[number].send(_update(own_target[number], update))
    elapsed, used, own = last - began, server.cpu() - cpu, _own_cpu() - own
    for connection in watchers:
        connection.close()
    name = f"watch, {WATCHERS} watchers × {UPDATES} updates, a delivery"
    total = sum(seen.values())
    missing = sum(max(0, UPDATES - count) for count in seen.values())
    note = f"{total / elapsed:,.0f} events/s" + (f", {missing} never came" if missing else "")
    return Row(name, elapsed / total, used / total, note, own / elapsed)


def watch_paced(server: Server, writer: Connection) -> list[Row]:
    """25 updates a second, 100 watchers: from the moment an update is sent, and acknowledged, to each delivery."""
    watchers = watch(server, WATCHERS, f"{PATH}/configmaps")
    target = f"{PATH}/configmaps/map-000000"
    sent, seen = 0.0, 0
    delivered: list[float] = []
    written: list[float] = []
    with select.epoll() as poll:
        watching = {connection.socket.fileno(): connection for connection in watchers}
        for number in (*watching, writer.socket.fileno()):
            poll.register(number, select.EPOLLIN)
        for update in range(int(PACED * PACED_SECONDS)):
            seen, acknowledged, sent = 0, False, time.perf_counter()
            writer.send(_update(target, update))
            while seen < WATCHERS or not acknowledged:
                for number, _ in _within(poll, 10.0):
                    if number not in watching:
                        acknowledged = writer.receive()
                        written.append(time.perf_counter() - sent)
                    elif events := _events(watching[number]):
                        seen += events
                        delivered.append(time.perf_counter() - sent)
            time.sleep(max(0.0, sent + 1 / PACED - time.perf_counter()))
    for connection in watchers:
        connection.close()
    done = Driven(delivered, 1.0)
    name = f"watch delivery to {WATCHERS} at {PACED} updates/s"
    note = f"the update itself: p50 {p50(written) * 1e3:.1f} ms"
    return [Row(f"{name}, p50", done.quantile(0.5), note=note), Row(f"{name}, p99", done.quantile(0.99))]


def watch(server: Server, count: int, path: str) -> list[Connection]:
    """So many watches from now on, each begun (its head has come)."""
    connections = server.connect(count)
    asking = connections[0]
    drive([asking], [request("GET", f"{path}?limit=1")])
    version = json.loads(asking.body())["metadata"]["resourceVersion"]
    for connection in connections:
        connection.send(request("GET", f"{path}?watch=true&resourceVersion={version}"))
    for connection in connections:
        head = bytearray()
        with select.epoll() as poll:
            poll.register(connection.socket.fileno(), select.EPOLLIN)
            while b"\r\n\r\n" not in head:
                _within(poll, 10.0)
                head += connection.take()
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a watch was refused: {bytes(head)!r}")
    return connections


def _events(connection: Connection) -> int:
    """Events that have arrived on a watch: lines that end an object."""
    data = connection.take()
    # A line's end may come in the next record; what is before it is remembered in the connection's buffer.
    before = connection.received.count(b"}\n")
    data = bytes(connection.received) + data
    connection.received[:] = data[-len(END) :]
    return data.count(b"}\n") - before


def _within(poll: select.epoll, seconds: float) -> list[tuple[int, int]]:
    found = poll.poll(seconds)
    if not found:
        raise TimeoutError(f"nothing arrived within {seconds:g} s")
    return found


def _update(target: str, number: int) -> bytes:
    return request("PATCH", target, _json({"metadata": {"annotations": {"update": str(number)}}}), MERGE)


def _told(done: Driven) -> str:
    return f"{done.rate:,.0f}/s, p50 {done.quantile(0.5) * 1e3:.1f} ms, p99 {done.quantile(0.99) * 1e3:.1f} ms"


def _own_cpu() -> float:
    times = os.times()
    return times.user + times.system


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


END = b"\n\r\n0\r\n\r\n"  # of the last chunk of a watch
DELETE = _json({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
_TIME = "2025-01-01T00:00:00Z"
Rows = Callable[[Server], list[Row]]
