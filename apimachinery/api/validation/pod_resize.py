"""What a write to pods/resize may ask for (KEP-1287; pkg/apis/core/validation, ValidatePodResize of 1.32)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from apimachinery.api.validation.checks import Object, restore, same
from apimachinery.meta.paths import Path, Problem, forbidden, invalid
from apimachinery.meta.pod_resources import qos_class
from apimachinery.meta.pods import MIRROR

_RESIZABLE = ("cpu", "memory")


def pod_resize(new: Object, old: Object) -> list[Problem]:
    """All that speaks against it; upstream's sentences."""
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        return [forbidden(Path(""), "static pods cannot be resized")]
    spec, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    if (before.get("os") or {}).get("name") == "windows":
        return [forbidden(Path(""), "windows pods cannot be resized")]
    problems: list[Problem] = []
    quality = (old.get("status") or {}).get("qosClass") or qos_class(old)
    if quality != qos_class(new):
        text = "Pod QOS Class may not change as a result of resizing"
        problems.append(invalid(path, (new.get("status") or {}).get("qosClass"), text))
    if not _supported(old):
        problems.append(forbidden(path, "Pod running on node without support for resize"))
    for position, (after, held) in enumerate(zip(spec["containers"], before["containers"], strict=True)):
        problems += _removed(after, held, path.child("containers").index(position).child("resources"))
    if not same(_without_resizable(spec, before), before):
        problems.append(forbidden(path, "only cpu and memory resources are mutable"))
    return problems


def _supported(pod: Object) -> bool:
    """A node agent that resizes tells of the resources of every container that runs."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if "running" in (status.get("state") or {}):
            return "resources" in status
    return True


def _removed(new: Object, old: Object, path: Path) -> list[Problem]:
    problems = []
    for kind in ("requests", "limits"):
        held = ((old.get("resources") or {}).get(kind) or {}).keys()
        if held - ((new.get("resources") or {}).get(kind) or {}).keys():
            problems.append(forbidden(path.child(kind), f"resource {kind} cannot be removed"))
    return problems


def _without_resizable(spec: Object, old: Object) -> dict[str, Any]:
    """The new spec with everything that may change set back."""
    left = deepcopy(dict(spec))
    for after, before in zip(left["containers"], old["containers"], strict=True):
        held, asked = before.get("resources") or {}, after.get("resources") or {}
        for kind in ("requests", "limits"):
            amounts = {name: amount for name, amount in (asked.get(kind) or {}).items() if name not in _RESIZABLE}
            amounts |= {name: amount for name, amount in (held.get(kind) or {}).items() if name in _RESIZABLE}
            if amounts or kind in held:
                asked[kind] = amounts
            else:
                asked.pop(kind, None)
        if asked or "resources" in before:
            after["resources"] = asked
        else:
            after.pop("resources", None)
        restore(after, before, "resizePolicy")
    return left
