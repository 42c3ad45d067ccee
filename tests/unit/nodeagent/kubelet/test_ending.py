"""How containers are ended: hooks, turns, grace; and what a hook that fails comes to."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeCallError, RuntimeUnreachable
from nodeagent.kubelet import dns, pods
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.lifecycle import HookFailed, run_hook
from nodeagent.kubelet.probes.manager import ProbeManager
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.classes import RuntimeClasses
from nodeagent.kubelet.runtime.handlers import Handlers
from nodeagent.kubelet.runtime.kill import Ending, Killer, KillFailed
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State
from nodeagent.kubelet.sandboxes import NodeView
from nodeagent.kubelet.status.manager import StatusManager
from nodeagent.kubelet.sync import Outcome, PodSyncer
from nodeagent.kubelet.volumes.manager import VolumeProblem
from nodeagent.kubelet.workers import PodWorkers
from tests.unit.nodeagent.kubelet.sink import Sink


class Runtime:
    """Notes what it is asked for, and when. A container ends `lasts` seconds after its signal, a command at once."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.noted: list[str] = []
        self.lasts: dict[str, float] = {}
        self.answer = cri.ExecSyncResponse()

    def note(self, what: str) -> None:
        self.noted.append(f"{self.clock.monotonic():g} {what}")

    async def exec_sync(self, container: str, command: Sequence[str], _timeout: float) -> cri.ExecSyncResponse:
        self.note(f"{container} runs {' '.join(command)}")
        await self.clock.sleep(self.lasts.get(" ".join(command), 0))
        return self.answer

    async def stop_container(self, container: str, grace: int) -> None:
        self.note(f"{container} has {grace}")
        await self.clock.sleep(min(grace, self.lasts.get(container, 0)))

    async def stop_pod_sandbox(self, _sandbox: str) -> None:
        self.note("sandbox")


class Node:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.runtime = Runtime(self.clock)
        runtime: Any = self.runtime
        self.killer = Killer(runtime, self.clock, Recorder(None, "node"))

    async def end(self, pod: dict[str, Any], *names: str, grace: int | None = None) -> list[str]:
        """What the runtime is asked for when these containers of the pod are ended."""
        containers = tuple(ContainerState(name, name, State.RUNNING) for name in names)
        state = PodState("u", "p", "n", (SandboxState("box", 0, True, ips=("10.0.0.1",)),), containers)
        ending = asyncio.create_task(self.killer.kill_pod(pod, state, grace))
        await self.clock.advance(100)
        await ending
        return self.runtime.noted


@pytest.fixture
def node() -> Node:
    return Node()


def container(name: str, *, hook: str = "", **more: Any) -> dict[str, Any]:
    lifecycle = {"lifecycle": {"preStop": {"exec": {"command": [hook]}}}} if hook else {}
    return {"name": name, "image": "busybox", **lifecycle, **more}


def pod(*containers: dict[str, Any], init: Sequence[dict[str, Any]] = (), grace: int = 30) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": list(containers),
            "initContainers": list(init),
            "terminationGracePeriodSeconds": grace,
        },
    }


async def test_nobody_is_killed_without_a_warning(node: Node) -> None:
    assert await node.end(pod(container("main"), grace=0), "main") == ["0 main has 2", "0 sandbox"]


async def test_a_hook_takes_its_time_from_the_grace(node: Node) -> None:
    node.runtime.lasts["drain"] = 7.9
    wanted = ["0 main runs drain", "7.9 main has 23", "7.9 sandbox"]
    assert await node.end(pod(container("main", hook="drain")), "main") == wanted


async def test_sidecars_run_their_hooks_at_once_and_get_their_signal_last(node: Node) -> None:
    sidecars = [container(name, hook="bye", restartPolicy="Always") for name in ("first", "second")]
    node.runtime.lasts = {"main": 5, "second": 3}
    assert await node.end(pod(container("main"), init=sidecars), "main", "second", "first") == [
        "0 main has 30",
        "0 second runs bye",
        "0 first runs bye",
        "5 second has 25",
        "8 first has 22",
        "8 sandbox",
    ]


async def test_sidecars_wait_no_longer_than_the_grace_and_for_nobody_who_does_not_run(node: Node) -> None:
    init = [container("side", restartPolicy="Always")]
    node.runtime.lasts["main"] = 60
    stubborn = pod(container("main"), container("gone"), init=init, grace=10)
    assert await node.end(stubborn, "main", "side") == ["0 main has 10", "10 side has 2", "10 sandbox"]


async def test_a_failed_probes_own_grace(node: Node) -> None:
    wanted = pod(container("main", livenessProbe={"terminationGracePeriodSeconds": 5}))
    state = ContainerState("main", "main", State.RUNNING)
    await node.killer.kill_container(wanted, state, Ending("failed", "LivenessProbe"), ())
    assert node.runtime.noted == ["0 main has 5"]


async def hook(node: Node, handler: dict[str, Any]) -> None:
    runtime: Any = node.runtime
    await run_hook(runtime, node.clock, handler, "c", {"name": "main"}, "127.0.0.1", whose="p_n(u)")


async def test_what_is_said_of_a_command_that_failed(node: Node) -> None:
    node.runtime.answer = cri.ExecSyncResponse(stdout=b"out\n", stderr=b"no\n", exit_code=3)
    with pytest.raises(HookFailed) as failed:
        await hook(node, {"exec": {"command": ["sh", "-c", "exit 3"]}})
    assert str(failed.value) == (
        'Exec lifecycle hook ([sh -c exit 3]) for Container "main" in Pod "p_n(u)" failed - error: '
        "command 'sh -c exit 3' exited with 3: no\n, message: \"out\\nno\\n\""
    )


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers 500; its port, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as listening:
        yield listening.sockets[0].getsockname()[1], asked


async def test_a_server_has_only_to_answer_a_hook(node: Node, server: tuple[int, list[bytes]]) -> None:
    port, asked = server
    await hook(node, {"httpGet": {"path": "/x", "port": port}})
    assert asked[0].startswith(b"GET /x ") and b"User-Agent: kube-lifecycle/1.32\r\n" in asked[0]


async def test_nobody_answers_a_hook(node: Node, server: tuple[int, list[bytes]]) -> None:
    with pytest.raises(HookFailed, match=r'^HTTP lifecycle hook \(/x\) for Container "main" in Pod "p_n\(u\)" failed'):
        await hook(node, {"httpGet": {"path": "/x", "port": 1}})


async def test_a_hook_by_https_asks_a_server_without_it_by_http(node: Node, server: tuple[int, list[bytes]]) -> None:
    """The server's first question is the client's greeting by TLS."""
    port, asked = server
    told: list[tuple[str, str, str]] = []
    headers = [{"name": "authorization", "value": "secret"}, {"name": "X-Other", "value": "kept"}]
    action = {"path": "/x", "port": port, "scheme": "HTTPS", "httpHeaders": headers}
    runtime: Any = node.runtime

    def say(*event: str) -> None:
        told.append((event[0], event[1], event[2]))

    handler, name = {"httpGet": action}, {"name": "main"}
    await run_hook(runtime, node.clock, handler, "c", name, "127.0.0.1", whose="p", say=say)
    message = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    assert told == [("Warning", "LifecycleHTTPFallback", message)]
    assert asked[-1].startswith(b"GET /x ") and b"X-Other: kept" in asked[-1] and b"secret" not in asked[-1]


@pytest.mark.parametrize(("port", "shown"), [(80, "{0 80 }"), ("web", "{1 0 web}")])
async def test_a_hook_that_nobody_can_run_fails(node: Node, port: int | str, shown: str) -> None:
    with pytest.raises(HookFailed) as failed:
        await hook(node, {"tcpSocket": {"port": port}})
    action = f"&TCPSocketAction{{Port:{shown},Host:,}}"
    handler = f"&LifecycleHandler{{Exec:nil,HTTPGet:nil,TCPSocket:{action},Sleep:nil,}}"
    assert str(failed.value) == f"Cannot run handler: invalid handler: {handler}"


async def test_a_hook_before_the_end_outlives_nobodys_grace(node: Node) -> None:
    """A command that is under way when the grace is over ends with its container, and badly; a pause only ends."""
    said = Sink()
    runtime: Any = node.runtime
    node.runtime.lasts["drain"] = 100
    node.killer = Killer(runtime, node.clock, Recorder(said, "node"))
    state = ContainerState("main", "main", State.RUNNING)
    pause = container("main", lifecycle={"preStop": {"sleep": {"seconds": 100}}})
    for ended, told in ((container("main", hook="drain"), ["FailedPreStopHook PreStopHook failed"]), (pause, [])):
        said.said.clear()
        await node.killer.kill_container(pod(ended, grace=1), state, Ending(), ())
        assert said.said == ["Normal Killing Stopping container main", *(f"Warning {each}" for each in told)]


class Broken(Runtime):
    """Has a sandbox and a container, and can end neither."""

    box = cri.PodSandboxStatus(
        id="box", metadata=cri.PodSandboxMetadata(name="p", namespace="n", uid="u"), state=cri.SANDBOX_READY
    )
    main = cri.ContainerStatus(id="c", metadata=cri.ContainerMetadata(name="main"), state=cri.CONTAINER_RUNNING)

    async def list_pod_sandboxes(self, _selector: Any) -> list[cri.PodSandbox]:
        return [cri.PodSandbox(id="box", state=cri.SANDBOX_READY)]

    async def list_containers(self, _selector: Any) -> list[cri.Container]:
        return [cri.Container(id="c", pod_sandbox_id="box", state=cri.CONTAINER_RUNNING)]

    async def pod_sandbox_status(self, _sandbox: str) -> cri.PodSandboxStatus:
        return self.box

    async def container_status(self, _container: str) -> cri.ContainerStatus:
        return self.main

    async def stop_container(self, container: str, grace: int) -> None:
        raise RuntimeCallError("StopContainer", "UNKNOWN", f"cannot stop {container}")

    async def stop_pod_sandbox(self, sandbox: str) -> None:
        raise RuntimeCallError("StopPodSandbox", "UNKNOWN", 'failed to destroy network for sandbox "box"')


class Volumes:
    def look_ahead(self, _pod: Any) -> None:
        pass


class Idle:
    """Has a sandbox for every pod, and starts nothing. problem: with the volumes of all."""

    def __init__(self, problem: VolumeProblem | None = None) -> None:
        self._problem = problem

    def note_ends(self, _state: PodState) -> None:
        pass

    async def ensure(self, *_: Any) -> object:
        if self._problem is not None:
            raise self._problem
        return object()

    async def start_all(self, *_: Any) -> float:
        return math.inf


def make_syncer(
    runtime: Any,
    clock: ManualClock,
    sink: Sink,
    api: dict[str, Any] | None,
    *,
    network: str = "none",
    problem: VolumeProblem | None = None,
    node: NodeView | None = None,
    **more: Any,
) -> PodSyncer:
    """Of a node without a network. api: the pod as the API has it. problem: with its volumes."""
    nothing: Any = None
    idle: Any = Idle(problem)
    volumes: Any = Volumes()
    recorder, observer, classes = Recorder(sink, "node"), Observer(runtime), RuntimeClasses(None, clock)
    return PodSyncer(
        observer=observer,
        sandboxes=idle,
        starting=idle,
        killer=Killer(runtime, clock, recorder),
        handlers=Handlers(runtime, classes),
        namespaces=nothing,
        volumes=volumes,
        cgroups=None,
        status=StatusManager(None, lambda _: api, clock),
        probes=ProbeManager(runtime, recorder, clock, lambda _: None, lambda: "", lambda _uid, _container: {}),
        recorder=recorder,
        node=node or NodeView(NodeFacts("node"), dns.Resolver, (), "c", network_problem=network),
        clock=clock,
        **more,
    )


async def test_what_could_not_be_ended_is_told() -> None:
    clock, sink = ManualClock(), Sink()
    syncer = make_syncer(Broken(clock), clock, sink, None)
    with pytest.raises(KillFailed):
        await syncer.sync_terminating(pod(container("main")), "u", 1)
    unknown = "rpc error: code = Unknown desc ="
    assert sink.said[-1] == (
        'Warning FailedKillPod error killing pod: [failed to "KillContainer" for "main" with KillContainerError: '
        f'"{unknown} cannot stop c", failed to "KillPodSandbox" for "u" with KillPodSandboxError: '
        f'"{unknown} failed to destroy network for sandbox \\"box\\""]'
    )


async def test_a_deadline_counts_from_the_pods_start_and_may_be_moved() -> None:
    clock, sink, wanted = ManualClock(), Sink(), pod(container("main"))
    began = {**wanted, "status": {"phase": "Running", "startTime": "2024-12-31T23:58:20Z"}}  # 100 seconds ago
    syncer = make_syncer(Broken(clock), clock, sink, began)
    wanted["spec"]["activeDeadlineSeconds"] = 101
    assert not (await syncer.sync_pod(wanted)).terminal
    wanted["spec"]["activeDeadlineSeconds"] = 100
    assert (await syncer.sync_pod(wanted)).terminal and (await syncer.sync_pod(wanted)).terminal
    late = "Normal DeadlineExceeded Pod was active on the node longer than the specified deadline"
    assert sink.said.count(late) == 1


async def test_a_volume_that_cannot_be_mounted_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    runtime = Broken(clock := ManualClock())
    runtime.box = cri.PodSandboxStatus(
        id="box",
        metadata=Broken.box.metadata,
        state=cri.SANDBOX_READY,
        network=cri.PodSandboxNetworkStatus(ip="10.0.0.1"),
    )
    why = 'MountVolume.SetUp failed for volume "v" : no such thing'
    sink, problem = Sink(), VolumeProblem([("FailedMount", why)], 0.5)
    syncer = make_syncer(runtime, clock, sink, None, network="", problem=problem)
    wanted = pod(container("main"))
    assert (await syncer.sync_pod(wanted)).again_in == 0.5
    assert sink.said == [f"Warning FailedMount {why}"]
    assert caplog.messages == [f'"Error syncing pod, skipping" err={json.dumps(why)} {pods.logged(wanted)}']


class Gone:
    """Nothing answers."""

    async def list_pod_sandboxes(self, *_: Any, **__: Any) -> Any:
        raise RuntimeUnreachable("ListPodSandbox", "UNAVAILABLE", "connection error")

    list_containers = list_pod_sandboxes


async def test_a_new_pod_is_tried_once_while_the_runtime_is_away() -> None:
    """So that something tells why it does not start, until the node says so."""
    clock, sink = ManualClock(), Sink()
    problem = VolumeProblem([("FailedMount", "as far as this")], 0.5)
    syncer = make_syncer(Gone(), clock, sink, None, network="", problem=problem)
    for _ in range(3):
        with pytest.raises(RuntimeUnreachable):
            await syncer.sync_pod(pod(container("main")))
    assert sink.said == ["Warning FailedMount as far as this"]


@pytest.mark.parametrize(
    ("api", "down"),
    [
        ({**pod(container("main")), "status": {"containerStatuses": [{"name": "main"}]}}, None),
        (None, "container runtime is down"),
    ],
    ids=["a pod that has run", "a runtime that is down"],
)
async def test_what_is_not_tried_while_the_runtime_is_away(api: dict[str, Any] | None, down: str | None) -> None:
    clock, sink = ManualClock(), Sink()
    problem = VolumeProblem([("FailedMount", "as far as this")], 0.5)
    node = NodeView(NodeFacts("node"), dns.Resolver, (), "c", runtime_problem=down)
    syncer = make_syncer(Gone(), clock, sink, api, problem=problem, node=node)
    with pytest.raises(RuntimeUnreachable):
        await syncer.sync_pod(pod(container("main")))
    assert sink.said == []


async def test_a_pod_that_gives_no_sign_is_looked_at_again() -> None:
    """As often as syncFrequency says: volumes follow their ConfigMaps by it."""
    runtime = Broken(clock := ManualClock())
    runtime.box = cri.PodSandboxStatus(
        id="box",
        metadata=Broken.box.metadata,
        state=cri.SANDBOX_READY,
        network=cri.PodSandboxNetworkStatus(ip="10.0.0.1"),
    )
    for frequency in (60.0, 7.0):
        syncer = make_syncer(runtime, clock, Sink(), None, network="", resync=frequency)
        wanted = pod(container("main"))
        assert (await syncer.sync_pod(wanted)).again_in == frequency
        wanted["spec"]["activeDeadlineSeconds"] = 5
        assert (await syncer.sync_pod(wanted)).again_in == 5


class Syncer:
    """Ends pods when told; notes the grace that each attempt was given."""

    def __init__(self) -> None:
        self.graces: list[int | None] = []
        self.running: list[str] = []
        self.ended = asyncio.Event()

    async def sync_pod(self, wanted: Any) -> Outcome:
        self.running.append(wanted["metadata"]["uid"])
        return Outcome()

    async def sync_terminating(self, _pod: Any, uid: str, grace: int | None) -> None:
        self.graces.append(grace)
        if not self.running or uid in self.running:
            await self.ended.wait()

    async def sync_terminated(self, *_: Any, **__: Any) -> None:
        pass

    def refuse(self, *_: Any) -> None:
        pass

    def forget(self, _uid: str) -> None:
        pass


def deleted(grace: int, **spec: Any) -> dict[str, Any]:
    gone = pod(container("main"), **spec)
    gone["metadata"] |= {"deletionTimestamp": "2025-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
    return gone


async def test_only_a_shorter_grace_begins_an_end_anew() -> None:
    clock, syncer = ManualClock(), Syncer()
    stand_in: Any = syncer
    workers = PodWorkers(stand_in, Recorder(None, "node"), clock, lambda _: None)
    workers.update(deleted(20))
    await clock.advance(0)
    workers.update(deleted(20))
    await clock.advance(0)
    assert syncer.graces == [20]
    workers.update(deleted(0))
    await clock.advance(0)
    assert syncer.graces == [20, 1], "a second at the least: hooks are to run"
    workers.remove("u")
    await clock.advance(0)
    assert syncer.graces == [20, 1], "gone from the API, it ends as it was ending"
    syncer.ended.set()
    await clock.advance(0)
    assert "u" not in workers


async def test_who_is_deleted_by_force_takes_no_place_while_it_ends() -> None:
    """Its place in the scheduler's eyes is free: whoever is sent there would be refused, and its successors too."""
    clock, syncer = ManualClock(), Syncer()
    stand_in: Any = syncer
    workers = PodWorkers(stand_in, Recorder(None, "node"), clock, lambda _: None)
    workers.update(pod(container("main")))
    await clock.advance(0)
    assert [pods.uid(each) for each in workers.active()] == ["u"]
    workers.update(deleted(30))
    await clock.advance(0)
    assert [pods.uid(each) for each in workers.active()] == ["u"], "the API still has it"
    workers.remove("u")
    await clock.advance(0)
    assert syncer.graces == [30] and "u" in workers and workers.active() == []
    await workers.stop()


async def test_of_several_manifests_of_one_name_only_one_runs_at_a_time() -> None:
    """A file that is changed twice while the first pod ends: the second never has its turn, and gives none away."""
    clock, syncer = ManualClock(), Syncer()
    stand_in: Any = syncer
    workers = PodWorkers(stand_in, Recorder(None, "node"), clock, lambda _: None)
    for uid in ("first", "second", "third"):
        manifest = pod(container("main"))
        manifest["metadata"] |= {"uid": uid, "annotations": {"kubernetes.io/config.source": "file"}}
        workers.update(manifest)
        await clock.advance(0)
        if uid != "third":
            workers.remove(uid)
            await clock.advance(0)
    assert syncer.running == ["first"] and workers.is_ending("p_n")
    syncer.ended.set()
    await clock.advance(0)
    assert syncer.running == ["first", "third"] and "first" not in workers
    assert not workers.is_ending("p_n")
    await workers.stop()
