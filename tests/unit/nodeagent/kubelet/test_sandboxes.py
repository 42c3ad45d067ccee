"""What is said of a sandbox that cannot be made, before the runtime is asked."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.kubelet import dns
from nodeagent.kubelet.actions import Actions
from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.state import PodState
from nodeagent.kubelet.sandboxes import NodeView, Sandboxes
from tests.unit.nodeagent.kubelet.sink import Sink

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"containers": [{"name": "c", "image": "busybox"}]},
}


class NoVolumes:
    async def ensure(self, *_: Any) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("policy", ["ClusterFirst", "None"])
@pytest.mark.parametrize("create", [True, False])
async def test_a_resolv_conf_that_is_gone(
    tmp_path: Path, policy: str, create: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Every pod needs it, whatever its policy; what has a sandbox is only told of in the log."""
    sink, nothing, volumes = Sink(), None, NoVolumes()
    unused: Any = nothing
    given: Any = volumes
    gone = tmp_path / "resolv.conf"
    sandboxes = Sandboxes(
        runtime=unused,
        observer=unused,
        addresses=unused,
        starter=unused,
        classes=unused,
        namespaces=unused,
        volumes=given,
        cgroups=None,
        store=unused,
        recorder=Recorder(sink, "node"),
        paths=Paths(tmp_path / "root", tmp_path / "logs", tmp_path / "links"),
        node=NodeView(NodeFacts("node"), functools.partial(dns.host_resolver, gone), (), "c"),
        clock=ManualClock(),
    )
    pod = {**POD, "spec": {**POD["spec"], "dnsPolicy": policy}}
    plan = Actions(create_sandbox=create)
    assert await sandboxes.ensure(pod, PodState(uid="u"), plan, lambda _: None) is None
    told = f"Warning FailedCreatePodSandBox Failed to create pod sandbox: open {gone}: no such file or directory"
    assert sink.said == ([told] if create else [])
    assert ("CreatePodSandboxError" in caplog.text) == create
