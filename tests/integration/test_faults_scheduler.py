"""The scheduler under faults: requests refused, lost or answered to nobody, events late, and kill -9 at its writes.
Every pod gets a node, none two, and no node more than it holds. By seed; KUBELAB_FAULTS=full takes twenty of each."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import PODS, PRIORITYCLASSES
from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import objects, pods
from controlplane.scheduler import wire
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.queue import Backoffs
from tests.integration.faults import Faults, FaultyClient
from tests.integration.pod_follower import PodFollower
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import template

Object = dict[str, Any]

SEEDS = range(1, 21) if os.environ.get("KUBELAB_FAULTS") == "full" else (1,)
KINDS = [
    pytest.param(Faults(refuse=0.1, lose=0.1), id="requests refused and lost"),
    pytest.param(Faults(late=0.3, twice=0.3, cut=0.05), id="events late, twice, and watches cut"),
    pytest.param(Faults(kill_within=30), id="killed at its writes"),
]
NODES = ("worker-1", "worker-2", "worker-3")


class Places(PodFollower):
    """Every node that each pod was seen on, by uid."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.of: dict[str, set[str]] = {}

    def saw(self, pod: Object, twin: bool) -> None:
        if node := pods.node_name(pod):
            self.of.setdefault(objects.uid(pod), set()).add(node)


class Schedulers:
    """A scheduler with faults; killed, it is started anew at once."""

    def __init__(self, config: SchedulerConfig, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
        self._config, self._faults, self._monkeypatch = config, faults, monkeypatch
        self._dice, self.deaths = random.Random(faults.seed), 0

    async def run(self) -> None:
        while True:
            dead = asyncio.Event()

            def client(config: ClientConfig, _: str, dead: asyncio.Event = dead) -> Client:
                return FaultyClient(config, self._faults, self._dice, dead.set, Counter())

            self._monkeypatch.setattr(wire, "Client", client)
            running = asyncio.create_task(wire.build(self._config).run(asyncio.Event()))
            dying = asyncio.create_task(dead.wait())
            try:
                await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
                    raise AssertionError("the scheduler ended by itself")
                self.deaths += 1
            finally:
                await cancel_and_wait(running, dying)


@asynccontextmanager
async def scheduled(
    directory: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Simulation, Schedulers]]:
    async with simulated_cluster(directory, scheduler=False) as cluster:
        for name in NODES:
            await cluster.fleet.add(name)
        for name, value in (("low", 1), ("high", 1000)):
            await cluster.client.create(PRIORITYCLASSES, {"metadata": {"name": name}, "value": value})
        client = load_kubeconfig(directory / "scheduler.conf")
        made = Schedulers(SchedulerConfig(client, backoffs=Backoffs(0.2, 1.0)), faults, monkeypatch)
        task = asyncio.create_task(made.run())
        try:
            yield cluster, made
            assert not task.done(), task.result()
        finally:
            await cancel_and_wait(task)


async def create(cluster: Simulation, name: str, cpu: str, priority: str) -> None:
    spec = template(priorityClassName=priority)["spec"]
    spec["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    await cluster.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")


async def all_bound(cluster: Simulation, prefix: str) -> None:
    async def look() -> bool:
        found = [
            each for each in (await cluster.client.list(PODS, "default"))["items"] if not objects.is_deleting(each)
        ]
        assert all(sum(_cpu(pod) for pod in found if pods.node_name(pod) == node) <= 4000 for node in NODES)
        return all(pods.node_name(pod) for pod in found if objects.name(pod).startswith(prefix))

    await cluster.eventually(look, f"every {prefix} has a node")


def _cpu(pod: Object) -> int:
    return int(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].removesuffix("m"))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", KINDS)
async def test_every_pod_gets_one_node(
    tmp_path: Path, faults: Faults, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults.seed = seed
    async with (
        scheduled(tmp_path / "data", faults, monkeypatch) as (cluster, schedulers),
        Places(cluster.client) as places,
    ):
        for number in range(24):  # of 24 that there is room for
            await create(cluster, f"low-{number}", "450m", "low")
        await all_bound(cluster, "low")
        for number in range(3):  # none of which there is room for
            await create(cluster, f"high-{number}", "2000m", "high")
        await all_bound(cluster, "high")

        async def all_seen() -> bool:
            return len(places.of) >= 27

        await cluster.eventually(all_seen, "every pod was seen on a node")
        assert all(len(nodes) == 1 for nodes in places.of.values())
        assert not faults.kill_within or schedulers.deaths, "nobody was killed"
