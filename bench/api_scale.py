"""What `bench api` asks of ours alone: many pods and watches on one core, a pod's memory, two processes on one port."""

from __future__ import annotations

import itertools
import os
import select
import time

from bench.api_load import Connection, drive, request
from bench.api_rows import CONNECTIONS, PATH, pod, prepare, status_patch, watch
from bench.api_server import Credentials, Server
from bench.figure import Figure, p50

PODS, WATCHES = 10_000, 1_000
PACE, SECONDS = 10, 6.0  # status updates a second while GETs are timed, each told to every watch
GET_AIM = 50.0  # milliseconds, p99
POD_BYTES, POD_AIM = 4096, 8.0  # a pod as it is stored; kibibytes of memory
FACTOR_SECONDS = 3.0


def measure(credentials: Credentials) -> list[Figure]:
    """Every figure."""
    return [*crowd(credentials), two_processes(credentials)]


def crowd(credentials: Credentials) -> list[Figure]:
    """10,000 pods of 4 KiB and 1,000 watches of them, the server on one core."""
    with Server("sqlite", credentials.directory / "crowd", credentials) as server:
        server.start()
        server.pin(0)
        prepare(server)
        idle = server.memory()
        connections = server.connect(CONNECTIONS)
        filler = b'"annotations":{"filler":"%b"},"labels"' % (b"x" * (POD_BYTES - 2100))
        bodies = (pod(number).replace(b'"labels"', filler, 1) for number in range(PODS))
        drive(connections, (request("POST", f"{PATH}/pods", body) for body in bodies))
        drive(connections[:1], [request("GET", f"{PATH}/pods")])
        size = len(connections[0].body()) / PODS
        held = (server.memory() - idle) * 1e6 / PODS
        quiet = drive(connections[:1], (request("GET", f"{PATH}/pods/pod-{n % 5000:05}") for n in range(1000)))
        busy, told = _gets_among_watches(server, connections)
    note = f"p50 {p50(busy) * 1e3:.1f} ms; {told:,} events to {WATCHES:,} watches meanwhile"
    return [
        Figure(
            f"GET one of {PODS:,} pods, {WATCHES:,} watches, {PACE} updates/s, one core, p99",
            sorted(busy)[int(len(busy) * 0.99)] * 1e3, "ms", "without watches", quiet.quantile(0.99) * 1e3, GET_AIM,
            absolute=True, note=note,
        ),
        Figure("memory of a stored pod", held / 1024, "KiB", "its bytes", size / 1024, POD_AIM, absolute=True),
    ]  # fmt: skip


def _gets_among_watches(server: Server, connections: list[Connection]) -> tuple[list[float], int]:
    """Seconds of each GET, one after the other, and events delivered meanwhile."""
    watchers = watch(server, WATCHES, f"{PATH}/pods")
    reader, writer = connections[:2]
    numbers, updates = itertools.count(), itertools.count()
    taken: list[float] = []
    told = 0
    with select.epoll() as poll:
        by_file = {watcher.socket.fileno(): watcher for watcher in watchers}
        for number in (*by_file, reader.socket.fileno(), writer.socket.fileno()):
            poll.register(number, select.EPOLLIN)
        began = due = time.perf_counter()
        reader.send(request("GET", f"{PATH}/pods/pod-{next(numbers) % 5000:05}"))
        writing = False
        while time.perf_counter() < began + SECONDS:
            if not writing and time.perf_counter() >= due:
                writer.send(status_patch(next(updates)))
                writing, due = True, due + 1 / PACE
            for number, _ in poll.poll(0.01):
                if number in by_file:
                    told += by_file[number].take().count(b"}\n")
                elif number == writer.socket.fileno():
                    writing = not writer.receive()
                elif reader.receive():
                    taken.append(time.perf_counter() - reader.began)
                    reader.send(request("GET", f"{PATH}/pods/pod-{next(numbers) % 5000:05}"))
    for watcher in watchers:
        watcher.close()
    return taken, told


def two_processes(credentials: Credentials) -> Figure:
    """GETs of one process, and of two that share a port and an etcd; etcd and the load are on the same cores."""
    with Server("etcd", credentials.directory / "shared", credentials, "--permit-port-sharing") as first:
        first.start()
        prepare(first)
        rates, shares = [], []
        with first.beside() as second:
            for server in (first, second):
                if server is second:
                    server.start()
                connections = server.connect(CONNECTIONS)
                drive(connections[:1], (request("POST", f"{PATH}/pods", pod(0)) for _ in range(server is first)))
                gets = itertools.repeat(request("GET", f"{PATH}/pods/pod-00000"))
                running = {first, server}
                used, own = sum(each.cpu() for each in running), time.process_time()
                done = drive(connections, gets, FACTOR_SECONDS)
                used, own = sum(each.cpu() for each in running) - used, time.process_time() - own
                rates.append(done.rate)
                shares.append((used / done.seconds, own / done.seconds))
                for connection in connections:
                    connection.close()
    one, two = rates
    told = " against ".join(f"{used:.2f} (load {own:.2f})" for used, own in reversed(shares))
    note = (
        f"factor {two / one:.2f}: {two:,.0f}/s against {one:,.0f}/s; of {os.cpu_count()} cores they had {told}, "
        "etcd some of the rest"
    )
    return Figure("GET one pod, two processes on one port", 1e3 / two, "ms", "one process", 1e3 / one, note=note)
