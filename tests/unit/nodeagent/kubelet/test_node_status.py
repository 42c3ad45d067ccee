"""What the Node says of the runtime, and which events tell of the node."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from apimachinery.api.catalogue import LEASES, NODES, Resource
from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import already_exists, conflict, not_found
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.config import Config, load
from nodeagent.kubelet.node import own_addresses
from nodeagent.kubelet.node.lease import NodeLease
from nodeagent.kubelet.node.loop import NodeLoop
from nodeagent.kubelet.node.machine import Machine
from nodeagent.kubelet.node.status import NodeObserver
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.handlers import Handlers

MACHINE = Machine(2, 1 << 30, 0, "m", "u", "boot-2", "6.1", "Debian", "amd64")
AT_FIRST = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]


class Runtime:
    """A runtime with some images; away while `problem` says so, not ready while `unready` does."""

    def __init__(self) -> None:
        self.problem, self.unready = "", ("", "")
        self.images = [cri.Image(id=str(n), repo_tags=[f"i:{n}"], size=n) for n in range(60)]

    async def whole_status(self) -> cri.StatusResponse:
        if self.problem:
            raise RuntimeCallError("Status", "UNAVAILABLE", self.problem)
        reason, text = self.unready
        ready = cri.RuntimeCondition(type="RuntimeReady", status=not reason, reason=reason, message=text)
        network = cri.RuntimeCondition(type="NetworkReady", status=True)
        return cri.StatusResponse(status=cri.RuntimeStatus(conditions=[ready, network]))

    async def version(self) -> cri.VersionResponse:
        return cri.VersionResponse(runtime_name="containerd", runtime_version="v1.6.0")

    async def list_images(self) -> list[cri.Image]:
        return self.images


class Sink:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.said.append((type, reason, message))

    def reasons(self) -> list[str]:
        said, self.said = self.said, []
        return [reason for _, reason, _ in said]


class Watched:
    """An observer of `MACHINE`, with what it needs."""

    def __init__(self, tmp_path: Path, *flags: str, machine: Machine = MACHINE) -> None:
        self.clock, self.sink, self.runtime = ManualClock(), Sink(), Runtime()
        self.stale: str | None = None
        runtime: Any = self.runtime
        classes: Any = None
        self.config: Config = load(["--hostname-override=n", f"--root-dir={tmp_path}", *flags])
        recorder = Recorder(self.sink, "n")
        self.observer = NodeObserver(
            self.config, machine, ("10.0.0.1",), runtime, runtime, Handlers(runtime, classes), lambda: self.stale,
            recorder, self.clock,
        )  # fmt: skip

    async def ready(self) -> tuple[str, str]:
        status = await self.observer.observe({})
        found = next(each for each in status["conditions"] if each["type"] == "Ready")
        return found["status"], found["message"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("10.0.0.9", 'nodeIP: node IP: \\"10.0.0.9\\" not found in the host\'s network interfaces'),
        ("10.0.0.1,fd00::9", 'secondaryNodeIP: node IP: \\"fd00::9\\" not found in the host\'s network interfaces'),
        ("127.0.0.1", "nodeIP: nodeIP can't be loopback address"),
        ("239.0.0.1", "nodeIP: nodeIP can't be a multicast address"),
        ("169.254.0.1", "nodeIP: nodeIP can't be a link-local unicast address"),
    ],
)
async def test_an_address_that_the_machine_has_not_leaves_those_that_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: str, problem: str
) -> None:
    watched = Watched(tmp_path, f"--node-ip={given}")
    watched.observer.held = lambda: {"10.0.0.1"}
    before = [{"type": "InternalIP", "address": "10.0.0.1"}]
    status = await watched.observer.observe({"status": {"addresses": before}})
    assert status["addresses"] == before
    assert caplog.messages == [
        f'"Failed to set some node status fields" err="failed to validate {problem}" node="n"',
    ]


@pytest.mark.parametrize("given", ["10.0.0.1", "0.0.0.0"])
async def test_an_address_of_the_machine_is_shown(tmp_path: Path, given: str) -> None:
    watched = Watched(tmp_path, f"--node-ip={given}")
    watched.observer.held = lambda: {"10.0.0.1"}
    status = await watched.observer.observe({})
    assert status["addresses"][0] == {"type": "InternalIP", "address": "10.0.0.1"}


def test_the_addresses_that_a_machine_has() -> None:
    assert "127.0.0.1" in own_addresses.held()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


async def test_a_runtime_may_be_away_for_half_a_minute(watched: Watched) -> None:
    assert await watched.ready() == ("True", "kubelet is posting ready status")
    watched.runtime.problem = "connection refused"
    await watched.clock.advance(29)
    assert (await watched.ready())[0] == "True"
    await watched.clock.advance(1)
    assert await watched.ready() == ("False", "container runtime is down")
    watched.stale = "pleg was last seen active 3m1s ago; threshold is 3m0s"
    assert await watched.ready() == ("False", f"[container runtime is down, PLEG is not healthy: {watched.stale}]")
    watched.stale, watched.runtime.problem = None, ""
    assert (await watched.ready())[0] == "True"


async def test_a_runtime_that_is_not_ready_says_why(watched: Watched) -> None:
    watched.runtime.unready = ("Busy", "wait a moment")
    assert await watched.ready() == (
        "False",
        "container runtime not ready: RuntimeReady=false reason:Busy message:wait a moment",
    )


async def test_before_the_runtime_has_answered_one_reason_is_told_once(watched: Watched) -> None:
    watched.runtime.problem = "no such file"
    assert await watched.ready() == ("False", "container runtime status check may not have completed yet")


async def test_a_new_node_tells_no_readiness_and_a_node_that_was_given_up_tells_all(watched: Watched) -> None:
    node = {"status": await watched.observer.observe({})}
    assert watched.sink.reasons() == AT_FIRST
    await watched.observer.observe(node)
    assert watched.sink.reasons() == []
    for condition in node["status"]["conditions"]:
        condition["status"] = "Unknown"
    await watched.observer.observe(node)
    assert watched.sink.reasons() == [*AT_FIRST, "NodeReady"]


async def test_a_machine_that_was_started_anew_is_told_of(tmp_path: Path) -> None:
    before = {"status": await Watched(tmp_path).observer.observe({})}
    watched = Watched(tmp_path, machine=dataclasses.replace(MACHINE, boot_id="boot-3"))
    await watched.observer.observe(before)
    assert watched.sink.said == [("Warning", "Rebooted", "Node n has been rebooted, boot id: boot-3")]


async def test_what_is_configured_bounds_pods_and_images(tmp_path: Path) -> None:
    async def seen(*flags: str) -> tuple[str, str, int]:
        status = await Watched(tmp_path, *flags).observer.observe({})
        return status["capacity"]["pods"], status["allocatable"]["pods"], len(status["images"])

    assert await seen() == ("110", "110", 50)
    assert await seen("--pods-per-core=3", "--node-status-max-images=7") == ("6", "6", 7)
    assert await seen("--pods-per-core=99", "--node-status-max-images=-1") == ("110", "110", 60)
    assert await seen("--node-status-max-images=0") == ("110", "110", 0)


async def test_a_cordon_is_told_of(watched: Watched) -> None:
    node: dict[str, Any] = {"spec": {}, "status": await watched.observer.observe({})}
    watched.sink.reasons()
    for unschedulable in (True, True, False):
        node["spec"]["unschedulable"] = unschedulable
        await watched.observer.observe(node)
    assert watched.sink.said == [
        ("Normal", "NodeNotSchedulable", "Node n status is now: NodeNotSchedulable"),
        ("Normal", "NodeSchedulable", "Node n status is now: NodeSchedulable"),
    ]


SETTINGS: Any = {
    "taints": (), "annotations": {}, "provider_id": "", "update": 10, "report": 300, "lease": 40, "register": True,
    "registered": lambda: None,
}  # fmt: skip


class Api:
    """An API server with one Node, or none; keeps what it is patched with."""

    def __init__(self, node: dict[str, Any] | None) -> None:
        self.node, self.patches, self.created = node, list[dict[str, Any]](), list[str]()

    async def get(self, resource: Resource, name: str, *_: str) -> dict[str, Any]:
        if self.node is None or (resource is LEASES and "Lease" not in self.created):
            raise not_found(resource, name)
        return self.node

    async def create(self, resource: Resource, body: dict[str, Any], *_: str) -> dict[str, Any]:
        if resource is LEASES or self.node is None:
            self.created.append(body["kind"])
            self.node = self.node or {**body, "metadata": {**body["metadata"], "uid": "u"}}
            return body if resource is LEASES else self.node
        raise already_exists(resource, body["metadata"]["name"])

    async def patch(self, resource: Resource, name: str, body: dict[str, Any], *_: str, **how: str) -> dict[str, Any]:
        if self.node is None or (resource is LEASES and "Lease" not in self.created):
            raise not_found(resource, name)
        self.patches.append(body)
        return self.node

    async def update(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        assert resource is LEASES
        if self.node is None:
            raise conflict(resource, body["metadata"]["name"], "Precondition failed")
        self.patches.append(body)
        return body


async def test_a_node_that_was_there_gets_its_standard_labels_again_and_no_others() -> None:
    labels = {"kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "z", "team": "mine"}
    api: Any = Api({"metadata": {"name": "n", "uid": "u", "labels": {"kubernetes.io/os": "linux"}}})

    async def observe(_: Any) -> dict[str, Any]:
        return {"phase": "x"}

    loop = NodeLoop(api, "n", observe, ManualClock(), labels=labels, **SETTINGS)
    running = asyncio.create_task(loop.run())
    await loop.wait_registered()
    await cancel_and_wait(running)
    assert api.patches[0] == {"metadata": {"labels": {"topology.kubernetes.io/zone": "z"}}}


async def test_the_lease_lasts_and_is_renewed_as_configured() -> None:
    api: Any = Api({"metadata": {"name": "n", "uid": "u"}})
    clock = ManualClock()

    async def observe(_: Any) -> dict[str, Any]:
        return {}

    loop = NodeLoop(api, "n", observe, clock, labels={}, **{**SETTINGS, "lease": 8})
    running = asyncio.create_task(loop.run())
    await loop.wait_registered()
    for _ in range(3):
        await clock.advance(2)
    await cancel_and_wait(running)
    renewals = [patch["spec"] for patch in api.patches if "spec" in patch]
    assert api.created == ["Lease"]
    assert len(renewals) == 3 and {each["leaseDurationSeconds"] for each in renewals} == {8}


class Outage:
    """A Lease on a server that refuses what it is told to. asked: the requests, in order."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.refusals: list[Exception] = []
        self.asked: list[str] = []

    def _answer(self, verb: str) -> None:
        self.asked.append(verb)
        if self.refusals:
            raise self.refusals.pop(0)

    async def get(self, resource: Resource, name: str, *_: str) -> dict[str, Any]:
        if resource is NODES:
            return {"metadata": {"uid": "u"}}
        self._answer("get")
        if self.lease is None:
            raise not_found(resource, name)
        return self.lease

    async def create(self, resource: Resource, body: dict[str, Any], *_: str) -> dict[str, Any]:
        self._answer("create")
        self.lease = body
        return body

    async def update(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        self._answer("update")
        self.lease = body
        return body


async def test_a_lease_that_cannot_be_renewed_is_tried_five_times_and_looked_for_ever_more_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    api, clock = Outage(), ManualClock()
    lease = NodeLease(cast(Any, api), "n", clock, 40)
    assert await lease.renew() and await lease.renew()
    assert api.asked == ["get", "create", "update"]
    api.asked.clear()
    api.refusals = [ApiUnreachable(f"down {at}") for at in range(12)]
    renewing = asyncio.create_task(lease.renew())
    for wait in (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 7):
        await clock.advance(wait)
    assert await renewing
    assert api.asked == ["update"] * 5 + ["get"] * 8 + ["update"]
    told = caplog.messages
    assert told[:5] == [f'"Failed to update lease" err="down {at}"' for at in range(5)]
    assert told[5] == (
        '"failed to update lease using latest lease, fallback to ensure lease" err="failed 5 attempts to update lease"'
    )
    assert told[6:] == [
        f'"Failed to ensure lease exists, will retry" err="down {5 + at}" interval="{wait}"'
        for at, wait in enumerate(("200ms", "400ms", "800ms", "1.6s", "3.2s", "6.4s", "7s"))
    ]


async def test_a_lease_that_somebody_else_wrote_is_read_again(caplog: pytest.LogCaptureFixture) -> None:
    api = Outage()
    lease = NodeLease(cast(Any, api), "n", ManualClock(), 40)
    await lease.renew()
    assert api.lease is not None
    api.lease["spec"]["strategy"] = "theirs"
    api.refusals = [conflict(LEASES, "n", "the object has been modified")]
    assert await lease.renew()
    assert api.asked[2:] == ["update", "get", "update"] and api.lease["spec"]["strategy"] == "theirs"


async def test_a_node_that_is_deleted_stays_so_until_the_kubelet_starts_anew(caplog: pytest.LogCaptureFixture) -> None:
    api: Any = Api(None)
    clock = ManualClock()
    said = asyncio.Event()

    async def observe(_: Any) -> dict[str, Any]:
        return {}

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "will retry" in record.getMessage():
                said.set()

    logging.getLogger("nodeagent").addHandler(told := Told())
    try:
        for _ in range(2):
            api.created.clear()
            loop = NodeLoop(api, "n", observe, clock, labels={}, **SETTINGS)
            running = asyncio.create_task(loop.run())
            await loop.wait_registered()
            assert api.created[0] == "Node"
            api.node, created = None, list(api.created)
            loop.kick()
            async with asyncio.timeout(10):
                await said.wait()
            said.clear()
            await clock.advance(10)
            assert api.node is None and api.created == created
            await cancel_and_wait(running)
    finally:
        logging.getLogger("nodeagent").removeHandler(told)
    why = 'err="error getting node \\"n\\": nodes \\"n\\" not found"'
    failures = [text for text in caplog.messages if "node status" in text]
    once = [f'"Error updating node status, will retry" {why}'] * 5
    assert failures[:6] == [*once, '"Unable to update node status" err="update node status exceeds retry count"']
    owner = '"Failed to get node when trying to set owner ref to the node lease" err="nodes \\"n\\" not found" node="n"'
    assert owner in caplog.messages and '"Failed to prepare lease" err="nodes \\"n\\" not found"' in caplog.messages
