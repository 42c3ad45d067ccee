"""pods/resize: other resources for containers that run (KEP-1287; pkg/registry/core/pod, podResizeStrategy)."""

from __future__ import annotations

from apimachinery.api.validation.checks import same
from controlplane.apiserver.strategies.base import Object

_RESIZABLE = ("cpu", "memory")
_ASKED = ("resources", "resizePolicy")


def settle_resize_policies(pod: Object) -> None:
    """What a container says nothing about is resized without a restart (SetDefaults_Pod, behind the gate)."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        resources = container.get("resources") or {}
        named = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        policies = container.get("resizePolicy") or []
        said = {each.get("resourceName") for each in policies}
        added = [
            {"resourceName": name, "restartPolicy": "NotRequired"}
            for name in _RESIZABLE
            if name in named and name not in said
        ]
        if added:
            container["resizePolicy"] = [*policies, *added]


def prepare_resize(new: Object, old: Object) -> None:
    """Everything but the resources of containers is the old pod's; what asks for others is proposed to the node."""
    asked = {each.get("name"): each for each in (new.get("spec") or {}).get("containers") or ()}
    meta = new["metadata"]
    new.clear()
    new.update(old)
    new["metadata"] = {**old["metadata"], "resourceVersion": meta.get("resourceVersion", "")}
    before = (old.get("spec") or {}).get("containers") or []
    containers = [_asking(each, asked[each["name"]]) if each["name"] in asked else each for each in before]
    new["spec"] = {**old["spec"], "containers": containers}
    if any(not same(a.get("resources"), b.get("resources")) for a, b in zip(containers, before, strict=True)):
        new["status"] = {**(old.get("status") or {}), "resize": "Proposed"}


def _asking(old: Object, new: Object) -> Object:
    kept = {key: value for key, value in old.items() if key not in _ASKED}
    return {**kept, **{key: new[key] for key in _ASKED if key in new}}
