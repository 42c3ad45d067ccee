"""A node under load, each figure beside what the runtime alone needs for the same in the same run.

One warm node as in bench pod. Thirty pods made at once over thirty made by bare calls with the concurrency that suits
the runtime best; the end of a container until its restart is issued, by the runtime's own time stamps; and a full node
of 110 pods: what the agent costs idle, how late it shows what happened, how long it takes to start among them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import uvloop

from apimachinery.api.catalogue import LEASES, PODS
from apimachinery.cache.informer import Informer
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait
from bench import pod as one
from bench.figure import Figure, p50
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from tests.netns.kubelet.agent import Kubelet
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine

AT_ONCE, BURSTS, FULL, DEATHS = 30, 5, 110, 20
CONCURRENCY = (4, 8, AT_ONCE)
IDLE = 30.0  # seconds of watching a full node
_TICK = os.sysconf("SC_CLK_TCK")


def measure() -> list[Figure]:
    with _node() as (machine, cluster, kubelet):
        return uvloop.run(_measure(machine, cluster, kubelet))


@contextmanager
def _node() -> Iterator[tuple[Machine, Cluster, Kubelet]]:
    machine = Machine("bnode")
    cluster, kubelet = Cluster(machine), None
    try:
        machine.start()
        cluster.start()
        kubelet = Kubelet(machine, "bench", cluster.node_kubeconfig("bench"), maxPods=250)
        kubelet.start()
        cluster.kubectl("wait", "--for=condition=Ready", "node/bench", "--timeout=30s")
        yield machine, cluster, kubelet
    finally:
        if kubelet is not None:
            kubelet.stop()
        cluster.stop()
        machine.stop()


async def _measure(machine: Machine, cluster: Cluster, kubelet: Kubelet) -> list[Figure]:
    channel = Channel(f"unix://{machine.socket}")
    async with Client(load_kubeconfig(cluster.admin), "bench") as client:
        figures = [*await _burst(machine, client, RuntimeService(channel)), await _deaths(machine, client)]
        figures += await _full(machine, client, kubelet)
    await channel.close()
    return figures


async def _burst(machine: Machine, client: Client, runtime: RuntimeService) -> list[Figure]:
    """In turns, because the first of anything on a new machine is quicker or slower than what follows."""
    await (await one.start_bare(machine, runtime))()
    ours: list[float] = []
    bare: dict[int, list[float]] = {most: [] for most in CONCURRENCY}
    for _ in range(BURSTS):
        for most, samples in bare.items():
            samples.append(await _bare_burst(machine, runtime, most))
        ours.append(await _pod_burst(client))
    typical = {most: p50(samples) for most, samples in bare.items()}
    best = min(typical, key=lambda most: typical[most])
    note = ", ".join(f"{most} at a time {seconds * 1000:.0f}" for most, seconds in typical.items())
    floor = f"{AT_ONCE} × the three calls, {best} at a time"
    return [Figure(f"{AT_ONCE} pods at once → Running", p50(ours) * 1000, "ms", floor, typical[best] * 1000, 1.3,
                   note=f"p50 of {BURSTS}; {note}")]  # fmt: skip


async def _bare_burst(machine: Machine, runtime: RuntimeService, most: int) -> float:
    """Seconds that so many pods take by bare calls, `most` of them at a time."""
    slots = asyncio.Semaphore(most)

    async def start() -> Callable[[], Any]:
        async with slots:
            return await one.start_bare(machine, runtime)

    began = time.perf_counter()
    ends = await asyncio.gather(*(start() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    await asyncio.gather(*(end() for end in ends))
    return took


async def _pod_burst(client: Client) -> float:
    """Seconds from the creation of so many pods until a watch has seen them all run."""
    names = _names(AT_ONCE)
    async with _watching(client) as seen:
        began = time.perf_counter()
        await _create(client, names)
        await seen.until(lambda: seen.running(names))
        took = time.perf_counter() - began
        await _delete(client, names, seen)
    return took


async def _deaths(machine: Machine, client: Client) -> Figure:
    """By containerd's time stamps: the exit, and the creation of the container that takes its place."""
    names = _names(DEATHS)
    async with _watching(client) as seen:
        await _create(client, names)
        await seen.until(lambda: seen.running(names))
        with _events(machine) as lines:
            ids = {name: seen.container(name) for name in names}
            for name in names:
                machine.ctr("tasks", "kill", "-s", "KILL", ids[name])
                await seen.until(lambda name=name: seen.container(name) not in ("", ids[name]))
            waits = _waits(lines(), set(ids.values()))
        await _delete(client, names, seen)
    note = f"p90 {sorted(waits)[int(len(waits) * 0.9)] * 1000:.0f} ms of {len(waits)}"
    floor = "promised"
    return Figure("death → restart issued", p50(waits) * 1000, "ms", floor, 150.0, 150.0, absolute=True, note=note)


async def _full(machine: Machine, client: Client, kubelet: Kubelet) -> list[Figure]:
    names = _names(FULL)
    async with _watching(client) as seen:
        await _create(client, names)
        await seen.until(lambda: seen.running(names))
        await asyncio.sleep(10)  # until the last statuses are told, so that what follows is idleness
        before = _cpu(kubelet.pid)
        began = time.perf_counter()
        await asyncio.sleep(IDLE)
        idle = (_cpu(kubelet.pid) - before) / (time.perf_counter() - began)
        memory = _memory(kubelet.pid)
        lags = await _lags(machine, seen, names)
        counts = {name: seen.restarts(name) for name in names}
        kubelet.stop()
        started = time.time()
        await asyncio.to_thread(kubelet.start)
        await _heartbeat(client, started)
        ready = time.time() - started
        await asyncio.sleep(5)  # whoever would restart something does so now
        restarted = sum(seen.restarts(name) != counts[name] for name in names)
        await _delete(client, names, seen)
    lag = sorted(lags)[int(len(lags) * 0.99)]
    return [
        Figure(f"{FULL} pods: agent idle", idle * 100, "% of a core", "promised", 2.0, 2.0, absolute=True),
        Figure(f"{FULL} pods: agent memory", memory / 1e6, "MB", "promised", 100.0, 100.0, absolute=True, note="PSS"),
        Figure(f"{FULL} pods: status lag p99", lag * 1000, "ms", "promised", 1000.0, 1000.0, absolute=True,
               note=f"p50 {p50(lags) * 1000:.0f} ms of {len(lags)} ends"),
        Figure(f"{FULL} pods: agent start → Ready", ready, "s", "promised", 5.0, 5.0, absolute=True,
               note=f"{restarted} restarted"),
    ]  # fmt: skip


async def _lags(machine: Machine, seen: _Seen, names: list[str]) -> list[float]:
    """From a container's end until a watch of the API shows it, one container after the other."""
    lags = []
    for name in names[:DEATHS]:
        pid = _pid(machine, seen.container(name))
        held = seen.container(name)
        died = time.perf_counter()
        os.kill(pid, 9)
        await seen.until(lambda name=name, held=held: seen.container(name) != held or seen.ended(name))
        lags.append(time.perf_counter() - died)
        await seen.until(lambda name=name, held=held: seen.container(name) != held)
    return lags


async def _heartbeat(client: Client, after: float) -> None:
    """Until the node has renewed its lease after this time."""
    async with asyncio.timeout(60):
        while True:
            lease = await client.get(LEASES, "bench", "kube-node-lease")
            renewed = datetime.fromisoformat(lease["spec"]["renewTime"].replace("Z", "+00:00")).timestamp()
            if renewed > after:
                return
            await asyncio.sleep(0.02)


class _Seen:
    """The pods as a watch shows them."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def put(self, item: dict[str, Any]) -> None:
        self._pods[item["metadata"]["name"]] = item
        self._changed.set()

    def drop(self, item: dict[str, Any]) -> None:
        self._pods.pop(item["metadata"]["name"], None)
        self._changed.set()

    async def until(self, look: Callable[[], bool]) -> None:
        async with asyncio.timeout(240):
            while not look():
                self._changed.clear()
                await self._changed.wait()

    def running(self, names: list[str]) -> bool:
        return all((self._status(name).get("phase")) == "Running" for name in names)

    def gone(self, names: list[str]) -> bool:
        return not self._pods.keys() & set(names)

    def container(self, name: str) -> str:
        return str(self._container(name).get("containerID", "")).partition("://")[2]

    def restarts(self, name: str) -> int:
        return int(self._container(name).get("restartCount", 0))

    def ended(self, name: str) -> bool:
        return "terminated" in (self._container(name).get("state") or {})

    def _status(self, name: str) -> dict[str, Any]:
        return self._pods.get(name, {}).get("status") or {}

    def _container(self, name: str) -> dict[str, Any]:
        return next(iter(self._status(name).get("containerStatuses") or ()), {})


@asynccontextmanager
async def _watching(client: Client) -> AsyncIterator[_Seen]:
    seen = _Seen()
    informer = Informer(client, PODS, namespace="default")
    informer.add_handler(on_add=seen.put, on_update=lambda _old, new: seen.put(new), on_delete=seen.drop)
    watching = asyncio.create_task(informer.run())
    await informer.wait_synced()
    try:
        yield seen
    finally:
        await cancel_and_wait(watching)


def _names(count: int) -> list[str]:
    stem = uuid.uuid4().hex[:6]
    return [f"pod-{stem}-{n}" for n in range(count)]


async def _create(client: Client, names: list[str]) -> None:
    container = {"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": one.COMMAND}
    spec = {"nodeName": "bench", "containers": [container], "terminationGracePeriodSeconds": 10}
    made = ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}
            for name in names)  # fmt: skip
    await asyncio.gather(*(client.create(PODS, pod, "default") for pod in made))


async def _delete(client: Client, names: list[str], seen: _Seen) -> None:
    await asyncio.gather(*(client.delete(PODS, name, "default") for name in names))
    await seen.until(lambda: seen.gone(names))


@contextmanager
def _events(machine: Machine) -> Iterator[Callable[[], list[str]]]:
    """containerd's events from now on, as lines; the function ends the listening and returns them."""
    file = machine.dir / "events"
    argv = ["ctr", "--address", str(machine.socket), "--namespace", "k8s.io", "events"]
    with file.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output)
        machine.ctr("namespaces", "label", "k8s.io", f"bench={uuid.uuid4().hex}")
        deadline = time.monotonic() + 10
        while b"/namespaces/update" not in file.read_bytes() and time.monotonic() < deadline:
            machine.ctr("namespaces", "label", "k8s.io", f"bench={uuid.uuid4().hex}")

    def read() -> list[str]:
        process.terminate()
        process.wait()
        return file.read_text().splitlines()

    try:
        yield read
    finally:
        process.kill()
        process.wait()


def _waits(lines: list[str], ended: set[str]) -> list[float]:
    """Seconds from each exit of one of `ended` to the next creation of a container."""
    waits, since = [], None
    for line in lines:
        stamp = _stamp(line)
        body = json.loads(line[line.index("{") :]) if "{" in line else {}
        if " /tasks/exit " in line and body.get("container_id") in ended and body.get("id") == body["container_id"]:
            since = stamp
        elif " /containers/create " in line and since is not None:
            waits.append(stamp - since)
            since = None
    return waits


def _stamp(line: str) -> float:
    """`2024-01-02 03:04:05.123456789 +0000 UTC …` in seconds."""
    day, clock = line.split()[:2]
    whole, _, part = clock.partition(".")
    return datetime.fromisoformat(f"{day}T{whole}+00:00").timestamp() + float(f"0.{part or 0}")


def _pid(machine: Machine, container: str) -> int:
    line = next(line for line in machine.ctr("tasks", "ls").splitlines() if line.startswith(container))
    return int(line.split()[1])


def _cpu(pid: int) -> float:
    """Seconds of processor time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _memory(pid: int) -> int:
    """The proportional set size in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")
