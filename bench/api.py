"""The API server against the real one: the same load on each, in turn, in one run, on the same machine.

Floor: Debian 12's kube-apiserver (`make peer` builds it), on an etcd of the same version as ours. Rates are given as
time per operation, so that less is better in every line; CPU is the server's own, of all its threads. Where the load
generator takes more than half a core, the note says so.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import api_scale
from bench.api_rows import LONE, PODS, Row, prepare, rows
from bench.api_server import PEER, Credentials, Server
from bench.figure import Figure, p50
from bench.storage import open_etcd, running_etcd

WORDS = {"etcd": "etcd", "sqlite": "SQLite"}
TIME_AIM, READ_AIM, EMBEDDED_AIM, CPU_AIM, MEMORY_AIM = 1 / 1.5, 1 / 3, 1 / 3, 0.5, 0.25
DELIVERY_AIM, START_AIM = 3.0, 1.0  # milliseconds, seconds
READS = 500


def measure() -> list[Figure]:
    if not PEER.exists():
        raise SystemExit(f"bench api: no {PEER}; run make peer")
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-api-") as name:
        credentials = Credentials(Path(name))
        measured = {store: measure_one(store, credentials) for store in ("peer", "etcd", "sqlite")}
        return [*figures(measured), _etcd_alone(measured["peer"], Path(name)), *api_scale.measure(credentials)]


def measure_one(store: str, credentials: Credentials, work: Callable[[Server], list[Row]] = rows) -> list[Row]:
    """Every line of one server, which starts from nothing."""
    with Server(store, credentials.directory / store, credentials) as server:
        start = server.start()
        prepare(server)
        idle = server.memory()
        before = server.cpu()
        found = work(server)
        print(f"{store}: {server.cpu() - before:.0f} s of CPU, {len(found)} lines", file=sys.stderr)
        peak = server.memory("VmHWM")
    return [
        Row("cold start to /readyz", start),
        *found,
        Row("memory idle", idle),
        Row(f"memory at most, {PODS:,} pods", peak),
    ]


def _etcd_alone(peer: list[Row], directory: Path) -> Figure:
    """What no server can be quicker than whose reads are consistent, beside the time that the aim leaves for all."""

    async def reads(endpoint: str) -> list[float]:
        store, found = await open_etcd(endpoint), []
        for _ in range(READS):
            began = time.perf_counter()
            await store.current_revision()
            found.append(time.perf_counter() - began)
        await store.close()
        return found

    with running_etcd(directory / "alone") as endpoint:
        alone = p50(asyncio.run(reads(endpoint)))
    (lone,) = (row.seconds for row in peer if row.name == LONE)
    floor = "the aim of one connection's GET"
    return Figure("etcd's own answer to a consistent read", alone * 1e3, "ms", floor, lone * READ_AIM * 1e3)


def figures(measured: dict[str, list[Row]]) -> list[Figure]:
    """Every line of ours over the peer's."""
    peer = {row.name: row for row in measured["peer"]}
    return [figure for store in WORDS for row in measured[store] for figure in _pair(store, row, peer[row.name])]


def _pair(store: str, row: Row, floor: Row) -> list[Figure]:
    name, peer = f"{row.name}, {WORDS[store]}", "real one"
    if row.name.startswith("memory"):
        return [Figure(name, row.seconds, "MB", peer, floor.seconds, MEMORY_AIM)]
    if row.name.startswith("cold start"):
        return [Figure(name, row.seconds, "s", peer, floor.seconds, START_AIM, absolute=True)]
    if row.name.startswith("watch delivery"):
        aim = DELIVERY_AIM if row.name.endswith("p50") else None
        return [
            Figure(
                name, row.seconds * 1e3, "ms", peer, floor.seconds * 1e3, aim, absolute=True, note=_against(row, floor)
            )
        ]
    aim = READ_AIM if row.name.startswith(("GET", "LIST")) else TIME_AIM
    if store == "sqlite":
        aim = EMBEDDED_AIM
    found = [
        Figure(f"{name}, time", row.seconds * 1e3, "ms", peer, floor.seconds * 1e3, aim, note=_against(row, floor))
    ]
    if row.cpu is not None and floor.cpu is not None:
        found.append(Figure(f"{name}, CPU", row.cpu * 1e3, "ms", peer, floor.cpu * 1e3, CPU_AIM))
    return found


def _against(row: Row, floor: Row) -> str:
    told = " against ".join(note for note in (row.note, floor.note) if note)
    shares = [each.generator for each in (row, floor)]
    if max(shares) > 0.5:
        told += f"; the load took {shares[0]:.2f} and {shares[1]:.2f} of a core"
    return told
