"""The scheduler with an extender: a real HTTP server that filters, ranks, chooses victims and binds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from apimachinery.api.catalogue import EVENTS, NODES, PODS, PRIORITYCLASSES
from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import pods
from controlplane.scheduler.config import SchedulerConfig
from controlplane.scheduler.config_extenders import ExtenderConfig
from controlplane.scheduler.wire import build as build_scheduler
from tests.integration.ports import free_port
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.simulation import a_pod as pod

Object = dict[str, Any]


class Opinions:
    """What the extender thinks; each question is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Object]] = []
        self.allowed: set[str] | None = None
        self.liked = ""
        self.broken = False
        self.spared: set[str] = set()  # nodes that are kept as candidates, but without victims
        self.silent = False  # about why nodes are refused
        self.patience: dict[str, asyncio.Event] = {}  # until then the binding of a pod waits
        self.cluster: Simulation | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """The protocol of k8s.io/kube-scheduler/extender/v1; of an answer's names the case does not matter."""
        verb, body = request.match_info["verb"], await request.json()
        self.asked.append((verb, body))
        if self.broken:
            return web.Response(status=500)
        if verb == "filter":
            nodes = body["Nodes"]["items"]
            names = [node["metadata"]["name"] for node in nodes]
            kept = [node for node in nodes if self.allowed is None or node["metadata"]["name"] in self.allowed]
            failed = {
                name: "not wanted here" for name in names if self.allowed is not None and name not in self.allowed
            }
            return web.json_response({"Nodes": {"items": kept}, "FailedNodes": {} if self.silent else failed})
        if verb == "prioritize":
            names = [node["metadata"]["name"] for node in body["Nodes"]["items"]]
            return web.json_response([{"Host": name, "Score": 10 if name == self.liked else 0} for name in names])
        if verb == "preempt":
            told = body["NodeNameToVictims"]
            kept_victims = {
                node: {"pods": [{"uid": pod["metadata"]["uid"]} for pod in victims["Pods"] if node not in self.spared]}
                for node, victims in told.items()
                if self.allowed is None or node in self.allowed
            }
            return web.json_response({"nodeNameToMetaVictims": kept_victims})
        assert verb == "bind" and self.cluster is not None
        if body["PodName"] in self.patience:
            await self.patience[body["PodName"]].wait()
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": body["PodName"], "uid": body["PodUID"], "annotations": {"example.com/by": "extender"}},
            "target": {"apiVersion": "v1", "kind": "Node", "name": body["Node"]},
        }
        await self.cluster.client.create_subresource(PODS, body["PodName"], "binding", binding, body["PodNamespace"])
        return web.json_response({})


@pytest.fixture
async def opinions() -> AsyncIterator[tuple[Opinions, str]]:
    """The extender and its URL."""
    opinions, port = Opinions(), free_port()
    app = web.Application()
    app.router.add_post("/{verb}", opinions.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield opinions, f"http://127.0.0.1:{port}"
    await runner.cleanup()


@asynccontextmanager
async def cluster_with(directory: Path, *extenders: ExtenderConfig) -> AsyncIterator[Simulation]:
    async with simulated_cluster(directory, scheduler=False) as simulation:
        for name in ("worker-1", "worker-2", "worker-3"):
            await simulation.fleet.add(name)
        stop = asyncio.Event()
        config = SchedulerConfig(load_kubeconfig(directory / "scheduler.conf"), extenders=extenders)
        task = asyncio.create_task(build_scheduler(config).run(stop))
        try:
            yield simulation
        finally:
            await cancel_and_wait(task)


async def bound(cluster: Simulation, name: str) -> str:
    async def look() -> str | None:
        return pods.node_name(await cluster.client.get(PODS, name, "default")) or None

    node: str = await cluster.eventually(look, f"{name} bound")
    return node


async def failed(cluster: Simulation, name: str, words: str) -> None:
    async def look() -> bool:
        selector = f"involvedObject.name={name},reason=FailedScheduling"
        items = (await cluster.client.list(EVENTS, "default", field_selector=selector))["items"]
        return any(words in each["message"] for each in items)

    await cluster.eventually(look, f"an event that says {words}")


async def test_an_extender_filters_ranks_and_binds(tmp_path: Path, opinions: tuple[Opinions, str]) -> None:
    told, url = opinions
    config = ExtenderConfig(url, "filter", "prioritize", bind_verb="bind", weight=5)
    async with cluster_with(tmp_path / "data", config) as cluster:
        told.cluster = cluster
        told.allowed, told.liked = {"worker-1", "worker-3"}, "worker-3"
        await asyncio.gather(*(cluster.client.create(PODS, pod(f"p{n}")) for n in range(10)))
        assert {await bound(cluster, f"p{n}") for n in range(10)} == {"worker-3"}
        assert [verb for verb, _ in told.asked].count("bind") == 10
        question = next(body for verb, body in told.asked if verb == "filter")
        assert question["Pod"]["spec"]["terminationGracePeriodSeconds"] == 0  # whole, not what our rules read of it
        assert question["Nodes"]["items"][0]["status"]["conditions"]
        assert list(question) == ["Pod", "Nodes", "NodeNames"]
        told.allowed = set()
        await cluster.client.create(PODS, pod("nowhere"))
        await failed(cluster, "nowhere", "0/3 nodes are available: 3 not wanted here.")


async def test_what_an_extender_leaves_out_without_a_word_may_be_let_in_after_any_change(
    tmp_path: Path, opinions: tuple[Opinions, str]
) -> None:
    told, url = opinions
    async with cluster_with(tmp_path / "data", ExtenderConfig(url, "filter")) as cluster:
        on_first = {"kubernetes.io/hostname": "worker-1"}
        await cluster.client.create(PODS, pod("full", cpu="4", nodeSelector=on_first))
        await bound(cluster, "full")
        told.silent, told.allowed = True, set()
        await cluster.client.create(PODS, pod("waits", cpu="1"))
        useless = "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod"
        await failed(
            cluster,
            "waits",
            f"0/3 nodes are available: 1 Insufficient cpu. {useless}, 2 Preemption is not helpful for scheduling.",
        )
        told.allowed = None
        await cluster.client.create(PODS, pod("other", cpu="10m"))
        await bound(cluster, "waits")


async def test_an_extender_that_fails_holds_up_its_pods_only(tmp_path: Path, opinions: tuple[Opinions, str]) -> None:
    """And one that may be left out holds up nobody, not even those that it should bind."""
    told, url = opinions
    managed = ExtenderConfig(url, "filter", managed=frozenset({"example.com/foo"}), ignored=frozenset())
    away = ExtenderConfig("http://127.0.0.1:1", "filter", bind_verb="bind", ignorable=True)
    async with cluster_with(tmp_path / "data", away, managed) as cluster:
        told.broken = True
        theirs = pod("theirs")
        theirs["spec"]["containers"][0]["resources"] = {
            "requests": {"example.com/foo": "1"},
            "limits": {"example.com/foo": "1"},
        }
        for node in ("worker-1", "worker-2", "worker-3"):
            amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", "example.com/foo": "1"}
            await cluster.client.patch(NODES, node, {"status": {"allocatable": amounts}}, subresource="status")
        await cluster.client.create(PODS, theirs)
        await cluster.client.create(PODS, pod("ours"))
        await bound(cluster, "ours")
        why = f"failed filter with extender at URL {url}/filter, code 500"
        await failed(cluster, "theirs", why)

        async def conditioned() -> bool:
            found = pods.condition(await cluster.client.get(PODS, "theirs", "default"), "PodScheduled") or {}
            return (found.get("status"), found.get("reason"), found.get("message")) == ("False", "SchedulerError", why)

        await cluster.eventually(conditioned, "the same in the PodScheduled condition")
        told.broken, told.allowed = False, {"worker-2"}
        assert await bound(cluster, "theirs") == "worker-2"


async def test_a_binding_that_takes_its_time_holds_up_nobody(tmp_path: Path, opinions: tuple[Opinions, str]) -> None:
    told, url = opinions
    told.patience["slow"] = asyncio.Event()
    async with cluster_with(tmp_path / "data", ExtenderConfig(url, bind_verb="bind")) as cluster:
        told.cluster = cluster
        await cluster.client.create(PODS, pod("slow"))

        async def begun() -> bool:
            return ("bind", "slow") in [(verb, body.get("PodName")) for verb, body in told.asked]

        await cluster.eventually(begun, "the binding of slow under way")
        for number in range(5):
            await cluster.client.create(PODS, pod(f"quick-{number}", cpu="2"))
        for number in range(5):
            assert await bound(cluster, f"quick-{number}")
        assert not pods.node_name(await cluster.client.get(PODS, "slow", "default"))
        # Its room is kept all the while: three nodes of 4 hold it and five of 2, and no sixth.
        await cluster.client.create(PODS, pod("late", cpu="2"))
        await failed(cluster, "late", "3 Insufficient cpu")
        told.patience["slow"].set()
        assert await bound(cluster, "slow")


async def test_an_extender_chooses_where_room_is_made(tmp_path: Path, opinions: tuple[Opinions, str]) -> None:
    told, url = opinions
    async with cluster_with(tmp_path / "data", ExtenderConfig(url, preempt_verb="preempt")) as cluster:
        for name, value in (("low", 1), ("high", 1000)):
            priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            await cluster.client.create(PRIORITYCLASSES, {**priority, "value": value})
        for number in range(3):
            await cluster.client.create(PODS, pod(f"low-{number}", cpu="3", priorityClassName="low"))
        places = {await bound(cluster, f"low-{number}") for number in range(3)}
        assert places == {"worker-1", "worker-2", "worker-3"}
        told.allowed, told.broken = {"worker-2"}, True
        await cluster.client.create(PODS, pod("high", cpu="2", priorityClassName="high"))
        await failed(cluster, "high", f"preemption: failed preempt with extender at URL {url}/preempt, code 500")
        told.broken = False
        assert await bound(cluster, "high") == "worker-2"


async def test_a_node_without_victims_is_left_out_where_the_extender_may_be(
    tmp_path: Path, opinions: tuple[Opinions, str]
) -> None:
    """The node that is left is the one where eviction does the most harm."""
    told, url = opinions
    config = ExtenderConfig(url, preempt_verb="preempt", ignorable=True)
    async with cluster_with(tmp_path / "data", config) as cluster:
        for name, value in (("low", 1), ("middle", 10), ("high", 1000)):
            priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            await cluster.client.create(PRIORITYCLASSES, {**priority, "value": value})
        await cluster.client.create(PODS, pod("middle", cpu="3", priorityClassName="middle"))
        chosen = await bound(cluster, "middle")
        for number in range(2):
            await cluster.client.create(PODS, pod(f"low-{number}", cpu="3", priorityClassName="low"))
        told.spared = {await bound(cluster, f"low-{number}") for number in range(2)}
        await cluster.client.create(PODS, pod("high", cpu="2", priorityClassName="high"))
        assert await bound(cluster, "high") == chosen
