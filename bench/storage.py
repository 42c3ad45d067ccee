"""How fast the stores write, and how fast a large list is served, against floors measured in the same run.

Floors: for SQLite, the same creates as one transaction per 64 through bare sqlite3 (same schema, same durability) on an
otherwise idle thread; for etcd, the same compare-and-put transactions through bare grpc.aio from 64 tasks; for the
list, one copy of the bytes that are answered. Creates are given as microseconds per create (64 clients at once).
"""

import asyncio
import itertools
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.figure import Figure, p50
from controlplane.apiserver.storage import sqlite_tables as tables
from controlplane.apiserver.storage.cacher import Cacher
from controlplane.apiserver.storage.interface import Storage, Unavailable
from controlplane.apiserver.storage.sqlite import SqliteStorage

CLIENTS = 64
ROUNDS = 5
SECONDS = 1.0
LIST_SIZE = 5000
VALUE = orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "bench"}, "data": "x" * 1024})
LARGE = orjson.dumps({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "bench"}, "data": "x" * 4096})

_numbers = itertools.count()


def create_figure(name: str, ours: list[float], floor_name: str, floor: list[float], aim: float | None) -> Figure:
    """Rates per second as microseconds per create. aim: the ratio."""
    rate_ours, rate_floor = p50(ours), p50(floor)
    note = f"{rate_ours:,.0f}/s against {rate_floor:,.0f}/s"
    return Figure(name, 1e6 / rate_ours, "µs", floor_name, 1e6 / rate_floor, aim, note=note)


async def rate(create: Callable[[str], Awaitable[object]]) -> float:
    """Creates per second from CLIENTS tasks that each wait for their own."""
    end = time.perf_counter() + SECONDS
    done = 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await create(f"/registry/bench/ns/{next(_numbers):09}")
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (time.perf_counter() - began)


def bare_sqlite_rate(path: Path) -> float:
    """The same creates, CLIENTS to a transaction, with nothing around them."""
    connection = tables.open_connection(str(path))
    tables.create_schema(connection)
    revision = tables.read_revision(connection)
    began = time.perf_counter()
    done = 0
    while time.perf_counter() < began + SECONDS:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(CLIENTS):
            revision += 1
            tables.insert(connection, f"/registry/bench/ns/{next(_numbers):09}", VALUE, None, revision)
        connection.execute("COMMIT")
        done += CLIENTS
    elapsed = time.perf_counter() - began
    connection.close()
    return done / elapsed


async def bench_sqlite(directory: Path) -> Figure:
    """Creates from 64 clients against bare group commit, rounds interleaved."""
    store = await SqliteStorage.open(directory / "store.db")
    ours, floor = [], []
    for number in range(ROUNDS):
        floor.append(bare_sqlite_rate(directory / f"floor-{number}.db"))
        ours.append(await rate(lambda key: store.create(key, VALUE)))
    await store.close()
    return create_figure("sqlite create, 64 clients", ours, "bare sqlite3, 64 to a commit", floor, aim=2.5)


async def bench_etcd(endpoint: str) -> Figure:
    """Creates from 64 clients against the bare transaction, rounds interleaved."""
    import grpc.aio

    from controlplane.apiserver.storage.etcd import EtcdStorage
    from controlplane.apiserver.storage.etcdv3 import rpc_pb2 as rpc

    channel = grpc.aio.insecure_channel(endpoint.removeprefix("http://"))
    txn: Callable[[Any], Awaitable[Any]] = channel.unary_unary(
        "/etcdserverpb.KV/Txn",
        request_serializer=rpc.TxnRequest.SerializeToString,
        response_deserializer=rpc.TxnResponse.FromString,
    )

    async def bare(key: str) -> None:
        name = key.encode()
        compare = rpc.Compare(key=name, target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=0)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=name, value=VALUE))
        assert (await txn(rpc.TxnRequest(compare=[compare], success=[put]))).succeeded

    store = await EtcdStorage.open([endpoint])
    ours, floor = [], []
    for _ in range(ROUNDS):
        floor.append(await rate(bare))
        ours.append(await rate(lambda key: store.create(key, VALUE)))
    await store.close()
    await channel.close()
    return create_figure("etcd create, 64 clients", ours, "bare grpc.aio transaction", floor, aim=None)


async def bench_list(store: Storage, name: str) -> list[Figure]:
    """A linearizable list of 5,000 pods of 4 KiB from the cache, and the same from the store."""
    prefix = "/registry/bench-list/"
    for first in range(0, LIST_SIZE, 500):
        await asyncio.gather(*(store.create(f"{prefix}{n:05}", LARGE) for n in range(first, first + 500)))
    cacher = Cacher(store, prefix, orjson.loads)
    cacher.start()
    await cacher.wait_ready()
    cached, stored, floor = [], [], []
    for _ in range(20):
        began = time.perf_counter()
        body = (await cacher.list(prefix)).joined()
        cached.append(time.perf_counter() - began)
        began = time.perf_counter()
        bytearray(body)
        floor.append(time.perf_counter() - began)
    for _ in range(3):
        began = time.perf_counter()
        assert len((await store.list(prefix)).items) == LIST_SIZE
        stored.append(time.perf_counter() - began)
    await cacher.close()
    copy = p50(floor) * 1e3
    return [
        Figure(f"{name} list of 5,000, {what}", p50(figures) * 1e3, "ms", "one copy of the bytes", copy)
        for what, figures in (("from the cache", cached), ("from the store", stored))
    ]


@contextmanager
def running_etcd(directory: Path) -> Any:
    """A real etcd on loopback for the time of the block; gives its endpoint."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        client, peer = (f"http://127.0.0.1:{server.getsockname()[1]}" for server in (first, second))
    argv = [
        "etcd", f"--data-dir={directory}", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        "--logger=zap", "--log-level=error",
    ]  # fmt: skip
    process = subprocess.Popen(argv)
    try:
        yield client
    finally:
        process.kill()
        process.wait()


async def open_etcd(endpoint: str, deadline: float = 30.0) -> Storage:
    """The store on an etcd that is just starting."""
    from controlplane.apiserver.storage.etcd import EtcdStorage

    async with asyncio.timeout(deadline):
        while True:
            try:
                return await EtcdStorage.open([endpoint])
            except Unavailable:
                await asyncio.sleep(0.05)


async def measure_all() -> list[Figure]:
    """Every figure, on a SQLite file and an etcd of its own."""
    with tempfile.TemporaryDirectory(prefix="kubelab-bench-") as name:
        directory = Path(name)
        figures = [await bench_sqlite(directory)]
        with running_etcd(directory / "etcd") as endpoint:
            etcd = await open_etcd(endpoint)
            figures.append(await bench_etcd(endpoint))
            sqlite = await SqliteStorage.open(directory / "list.db")
            figures += await bench_list(sqlite, "sqlite")
            figures += await bench_list(etcd, "etcd")
            await sqlite.close()
            await etcd.close()
    return figures


def measure() -> list[Figure]:
    """What `python -m bench storage` prints."""
    return uvloop.run(measure_all())
