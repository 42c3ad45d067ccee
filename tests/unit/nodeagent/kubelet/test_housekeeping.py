"""What the slow rounds throw away."""

from __future__ import annotations

from typing import Any

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet.housekeeping import Housekeeper
from nodeagent.kubelet.runtime import labels


class Runtime:
    """A sandbox of a pod, and one that somebody made by hand, `since` seconds of the epoch."""

    def __init__(self, since: float) -> None:
        self.asked: list[str] = []
        self.since = int(since * 1e9)

    async def list_pod_sandboxes(self) -> list[cri.PodSandbox]:
        ours, theirs = (cri.PodSandboxMetadata(name=name, uid=name, namespace="n") for name in ("ours", "theirs"))
        return [
            cri.PodSandbox(id="ours", metadata=ours, created_at=self.since, labels={labels.POD_UID: "ours"}),
            cri.PodSandbox(id="theirs", metadata=theirs, created_at=self.since),
        ]

    async def stop_pod_sandbox(self, identity: str) -> None:
        self.asked.append(f"stop {identity}")

    async def remove_pod_sandbox(self, identity: str) -> None:
        self.asked.append(f"remove {identity}")


async def test_sandboxes_that_no_kubelet_made_are_removed() -> None:
    clock = ManualClock()
    runtime: Any = Runtime(clock.now().timestamp())
    nothing: Any = None
    keeper = Housekeeper(
        registry=nothing,
        workers=nothing,
        observer=nothing,
        runtime=runtime,
        volumes=nothing,
        cgroups=None,
        collector=nothing,
        images=nothing,
        store=nothing,
        recorder=nothing,
        ready=lambda: True,
        clock=clock,
    )
    await keeper.strangers()
    assert runtime.asked == [], "somebody is making it"
    await clock.advance(60)
    await keeper.strangers()
    assert runtime.asked == ["stop theirs", "remove theirs"]
