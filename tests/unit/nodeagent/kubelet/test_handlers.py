"""What the runtime's handlers can, for whom, and what the Node says of it."""

from __future__ import annotations

from typing import Any

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet.runtime.classes import RuntimeClasses
from nodeagent.kubelet.runtime.handlers import Handlers


class Runtime:
    """A runtime and the API's one RuntimeClass."""

    def __init__(self, status: cri.StatusResponse) -> None:
        self.answer = status

    async def whole_status(self) -> cri.StatusResponse:
        return self.answer

    async def get(self, _resource: Any, _name: str) -> dict[str, Any]:
        return {"handler": "plain"}


def handlers(**recursive: bool) -> Handlers:
    """Of a runtime with these; "_" is the default one."""
    entries = [
        cri.RuntimeHandler(
            name=name.strip("_"),
            features=cri.RuntimeHandlerFeatures(recursive_read_only_mounts=can, user_namespaces=True),
        )
        for name, can in recursive.items()
    ]
    runtime: Any = Runtime(cri.StatusResponse(runtime_handlers=entries))
    return Handlers(runtime, RuntimeClasses(runtime, ManualClock()))


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}


async def test_each_pod_has_what_its_own_handler_can() -> None:
    found = handlers(_=True, plain=False)
    classy = pod(runtimeClassName="c")
    assert not found.mounts_recursively(pod()), "nothing is known yet"
    assert await found.can_mount_recursively(pod()) and not await found.can_mount_recursively(classy)
    assert found.mounts_recursively(pod()) and not found.mounts_recursively(classy)
    assert not await handlers().can_mount_recursively(pod()), "containerd before 2.0 says nothing"


async def test_a_node_shows_its_handlers_by_name() -> None:
    found = handlers(runc=True, _=True)
    assert found.render() == [] and found.features is None
    await found.can_mount_recursively(pod())
    can = {"recursiveReadOnlyMounts": True, "userNamespaces": True}
    assert found.render() == [{"name": "", "features": can}, {"name": "runc", "features": can}]
    found.learn(cri.StatusResponse(features=cri.RuntimeFeatures(supplemental_groups_policy=True)))
    assert found.render() == [] and found.features is not None and found.features.supplemental_groups_policy
