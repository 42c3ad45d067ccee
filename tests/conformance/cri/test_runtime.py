"""What the agent relies on from a CRI runtime, asked of a real containerd."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest

from nodeagent.cri import messages as cri
from nodeagent.cri.channel import Channel
from nodeagent.cri.client import RuntimeService
from nodeagent.cri.errors import ContainerNotFound, RuntimeCallError, RuntimeTimeout, RuntimeUnreachable
from nodeagent.cri.events import TaskEvent, task_events
from nodeagent.cri.images import ImageService
from tests.netns.kubelet import oci
from tests.netns.kubelet.machine import Machine


@pytest.fixture
def runtime(channel: Channel) -> RuntimeService:
    return RuntimeService(channel)


@pytest.fixture
async def sandbox(machine: Machine, runtime: RuntimeService) -> AsyncIterator[tuple[str, cri.PodSandboxConfig]]:
    uid = str(uuid.uuid4())
    logs = machine.dir / "logs" / uid
    logs.mkdir(parents=True)
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name="p", namespace="default", uid=uid, attempt=0),
        hostname="p",
        log_directory=str(logs),
        labels={"io.kubernetes.pod.uid": uid},
        linux=cri.LinuxPodSandboxConfig(cgroup_parent=f"{machine.cgroup}/pod{uid}"),
    )
    identity = await runtime.run_pod_sandbox(config)
    yield identity, config
    await runtime.stop_pod_sandbox(identity)
    await runtime.remove_pod_sandbox(identity)


async def start(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig], *command: str, name: str = "c"
) -> str:
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name, attempt=0),
        image=cri.ImageSpec(image=oci.BUSYBOX),
        command=list(command),
        log_path=f"{name}.log",
        labels={"io.kubernetes.pod.uid": sandbox[1].metadata.uid},
    )
    identity = await runtime.create_container(sandbox[0], config, sandbox[1])
    await runtime.start_container(identity)
    return identity


async def test_the_runtime_tells_its_version_and_that_it_is_ready(runtime: RuntimeService) -> None:
    assert (await runtime.version()).runtime_name == "containerd"
    conditions = await runtime.status()
    assert conditions["RuntimeReady"].status and conditions["NetworkReady"].status


async def test_a_sandbox_has_an_address_and_is_found_by_its_labels(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    status = await runtime.pod_sandbox_status(sandbox[0])
    assert status.state == cri.SANDBOX_READY and status.network.ip.startswith("10.198.")
    found = await runtime.list_pod_sandboxes({"io.kubernetes.pod.uid": sandbox[1].metadata.uid})
    assert [item.id for item in found] == [sandbox[0]]
    assert await runtime.list_pod_sandboxes({"io.kubernetes.pod.uid": "another"}) == []


async def test_a_container_runs_ends_and_keeps_its_exit_code(
    runtime: RuntimeService, channel: Channel, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    seen: asyncio.Queue[TaskEvent] = asyncio.Queue()

    async def listen() -> None:
        async for event in task_events(channel):
            seen.put_nowait(event)

    async with asyncio.timeout(30):
        listener = asyncio.create_task(listen())
        # The subscription is known to stand once an event of a first container was seen.
        while seen.empty():
            probe = await start(runtime, sandbox, "true", name=f"probe-{uuid.uuid4()}")
            try:
                async with asyncio.timeout(2):
                    await _exit_of(seen, probe)
                break
            except TimeoutError:
                continue
        container = await start(runtime, sandbox, "sh", "-c", "echo hello; exit 7")
        event = await _exit_of(seen, container)
        assert event.of_init
        # containerd publishes the exit before its CRI side has seen it: this is why the agent asks again.
        await runtime.stop_container(container, 0)
        status = await runtime.container_status(container)
        assert status.state == cri.CONTAINER_EXITED
        assert (status.exit_code, status.reason) == (7, "Error")
        listener.cancel()


async def _exit_of(seen: asyncio.Queue[TaskEvent], container: str) -> TaskEvent:
    while True:
        event = await seen.get()
        if event.kind == "exit" and event.container_id == container:
            return event


async def test_exec_gives_output_and_code_and_keeps_its_deadline(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    container = await start(runtime, sandbox, "sleep", "1000")
    answer = await runtime.exec_sync(container, ["sh", "-c", "echo out; echo err >&2; exit 3"], 10)
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 3)
    with pytest.raises(RuntimeTimeout):
        await runtime.exec_sync(container, ["sleep", "30"], 1)
    assert (await runtime.exec_url(container, ["sh"], tty=True, stdin=True, stdout=True, stderr=False)).startswith(
        "http://127.0.0.1:"
    )


async def test_stop_is_idempotent_and_absent_things_are_told_apart(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    container = await start(runtime, sandbox, "sleep", "1000")
    await runtime.stop_container(container, 0)
    await runtime.stop_container(container, 0)
    assert (await runtime.container_status(container)).exit_code == 137
    await runtime.remove_container(container)
    await runtime.remove_container(container)
    with pytest.raises(ContainerNotFound):
        await runtime.container_status(container)


async def test_the_runtimes_refusal_keeps_its_text(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    with pytest.raises(RuntimeCallError) as refused:
        await start(runtime, sandbox, "/no/such/command")
    assert "no such file or directory" in refused.value.message
    assert str(refused.value).startswith("rpc error: code = ")


async def test_nothing_on_the_socket_is_unreachable(machine: Machine) -> None:
    channel = Channel(f"unix://{machine.dir}/nobody.sock")
    with pytest.raises(RuntimeUnreachable):
        await RuntimeService(channel).version()
    await channel.close()


async def test_images_are_listed_found_and_missed(channel: Channel) -> None:
    images = ImageService(channel)
    assert oci.BUSYBOX in [tag for image in await images.list_images() for tag in image.repo_tags]
    found = await images.status(oci.BUSYBOX)
    assert found is not None and found.size > 0
    assert await images.status("docker.io/library/nobody:1") is None
    with pytest.raises(RuntimeCallError):
        await images.pull("127.0.0.1:1/nobody:1")


async def test_containers_whose_starts_were_broken_off_at_any_moment_can_be_removed(
    machine: Machine, sandbox: tuple[str, cri.PodSandboxConfig]
) -> None:
    lost: list[bool] = []

    def observe(method: str, seconds: float, *, failed: bool) -> None:
        if method == "Delete":  # of the tasks service: the CRI has none of this name
            lost.append(failed)

    channel = Channel(f"unix://{machine.socket}", observe)
    try:
        runtime = RuntimeService(channel)
        names = [f"broken-off-{number}" for number in range(6)]
        whole = max(await asyncio.gather(*(_broken_off(runtime, sandbox, name, 60.0) for name in names)))
        # Of six at once containerd loses the task of one or two. More exits at once than that make a shim lose its way.
        for _ in range(10):
            moments = [(name, whole * number / len(names)) for number, name in enumerate(names)]
            await asyncio.gather(*(_broken_off(runtime, sandbox, *moment) for moment in moments))
            if lost:
                break
    finally:
        await channel.close()
    assert not any(lost)
    assert [line.split()[0] for line in machine.ctr("tasks", "ls").splitlines()[1:]] == [sandbox[0]]


async def _broken_off(
    runtime: RuntimeService, sandbox: tuple[str, cri.PodSandboxConfig], name: str, after: float
) -> float:
    """Start a container, break the call off after so many seconds, remove it; returns the seconds of the start."""
    loop = asyncio.get_running_loop()
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name, attempt=0),
        image=cri.ImageSpec(image=oci.BUSYBOX),
        command=["sleep", "600"],
        log_path=f"{name}.log",
    )
    identity = await runtime.create_container(sandbox[0], config, sandbox[1])
    began = loop.time()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(after):
            await runtime.start_container(identity)
    took = loop.time() - began
    deadline = loop.time() + 60
    while True:
        try:
            await runtime.stop_container(identity, 0)
            await runtime.remove_container(identity)
            return took
        except RuntimeCallError as error:
            # Only while the runtime undoes what it had begun.
            assert "in starting state" in error.message and loop.time() < deadline, error
            await asyncio.sleep(0.05)
