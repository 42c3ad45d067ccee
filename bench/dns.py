"""The DNS server under load, divided by a bare loop that sends every datagram back, in the same language.

1,000 names of another server, answered before, so that every answer is a cached one. The server is its own process;
the load comes from this one. Its own processor time counts, so that the figures hold for one core.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, p50
from nodeagent.dns import message, reading

NAMES = 1_000
ANSWERS = 60_000
WINDOW = 32  # questions under way at once, where as many as possible are asked
RATE = 10_000  # a second
SECONDS = 5
ROUNDS = 3
_TICK = 0.001  # seconds
_ECHO = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, address = one.recvfrom(65535)
    one.sendto(data, address)
"""


def measure() -> list[Figure]:
    queries = [message.write_query(0, (f"name{number}", "bench", "test"), message.A) for number in range(NAMES)]
    costs: dict[str, list[float]] = {"dns": [], "echo": []}
    late: dict[str, list[float]] = {"dns": [], "echo": []}
    lost = 0
    with _upstream() as upstream, _dns(upstream) as dns, _echo() as echo:
        for pid, port in (dns, echo):
            _ask_all(pid, port, queries[:], NAMES)
        for _ in range(ROUNDS):
            for what, (pid, port) in (("dns", dns), ("echo", echo)):
                costs[what].append(_ask_all(pid, port, queries, ANSWERS))
                waits, unanswered = _ask_steadily(port, queries)
                late[what].append(waits[len(waits) * 99 // 100] * 1000)
                lost += unanswered if what == "dns" else 0
    cost, floor = p50(costs["dns"]) * 1e6, p50(costs["echo"]) * 1e6
    note = f"{1e6 / cost:,.0f} answers a second and core"
    return [
        Figure("processor time of a cached answer", cost, "µs", "a bare echo", floor, 100.0, absolute=True, note=note),
        Figure(
            f"p99 at {RATE:,} questions a second", p50(late["dns"]), "ms", "a bare echo", p50(late["echo"]), 5.0,
            absolute=True, note=f"{lost} of {RATE * SECONDS * ROUNDS:,} without an answer",
        ),
    ]  # fmt: skip


def _ask_all(pid: int, port: int, queries: list[bytes], count: int) -> float:
    """Seconds of the server's processor for each answer, with WINDOW questions under way."""
    began, sent, answered = _processor(pid), 0, 0
    with _client(port) as client:
        while answered < count:
            while sent < count and sent - answered < WINDOW:
                client.send(struct.pack("!H", sent & 0xFFFF) + queries[sent % len(queries)][2:])
                sent += 1
            if not select.select([client], [], [], 5.0)[0]:
                raise AssertionError(f"{sent - answered} of {sent} questions have no answer")
            while True:
                try:
                    client.recv(4096)
                except BlockingIOError:
                    break
                answered += 1
    return (_processor(pid) - began) / count


def _ask_steadily(port: int, queries: list[bytes]) -> tuple[list[float], int]:
    """How long answers took, in ascending order, and how many never came, with RATE questions a second."""
    waits: list[float] = []
    sent_at: dict[int, float] = {}
    each = int(RATE * _TICK)
    with _client(port) as client:
        began = time.monotonic()
        for tick in range(int(SECONDS / _TICK)):
            due = began + tick * _TICK
            while (left := due - time.monotonic()) > 0:
                if select.select([client], [], [], left)[0]:
                    _receive(client, sent_at, waits)
            for number in range(tick * each, tick * each + each):
                sent_at[number & 0xFFFF] = time.monotonic()
                client.send(struct.pack("!H", number & 0xFFFF) + queries[number % len(queries)][2:])
            _receive(client, sent_at, waits)
        while sent_at and select.select([client], [], [], 1.0)[0]:
            _receive(client, sent_at, waits)
    return sorted(waits), len(sent_at)


def _receive(client: socket.socket, sent_at: dict[int, float], waits: list[float]) -> None:
    while True:
        try:
            data = client.recv(4096)
        except BlockingIOError:
            return
        sent = sent_at.pop(struct.unpack_from("!H", data)[0], None)
        if sent is not None:
            waits.append(time.monotonic() - sent)


@contextmanager
def _client(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        yield client


def _processor(pid: int) -> float:
    """Seconds that a process has used, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _upstream() -> Iterator[int]:
    """A server that knows every name, in a thread."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                data, address = one.recvfrom(4096)
                if not data:
                    return
                query = message.parse_query(data)
                record = message.Record(query.name, message.A, 3600, message.a("192.0.2.1"))
                one.sendto(message.write_answer(query, message.Answer(records=(record,))), address)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield one.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"", one.getsockname())
            thread.join()


@contextmanager
def _dns(upstream: int) -> Iterator[tuple[int, int]]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as directory:
        corefile = Path(directory, "Corefile")
        corefile.write_text(f".:{port} {{\n errors\n forward . 127.0.0.1:{upstream}\n cache 3600\n loadbalance\n}}\n")
        argv = ["-m", "nodeagent.dns", "--conf", str(corefile), "--bind-address", "127.0.0.1"]
        with _process(port, *argv) as pid:
            yield pid, port


@contextmanager
def _echo() -> Iterator[tuple[int, int]]:
    port = _free_port()
    with _process(port, "-c", _ECHO, str(port)) as pid:
        yield pid, port


@contextmanager
def _process(port: int, *argv: str) -> Iterator[int]:
    """A process of ours that answers on that port."""
    process = subprocess.Popen([sys.executable, *argv], stdout=subprocess.DEVNULL)
    try:
        query = message.write_query(7, ("name0", "bench", "test"), message.A)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(0.2)
                client.connect(("127.0.0.1", port))
                if client.getsockname()[1] == port:
                    continue  # it would hear itself: nobody has taken the port yet
                try:
                    client.send(query)
                    assert reading.rcode(client.recv(4096)) == message.NOERROR
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
