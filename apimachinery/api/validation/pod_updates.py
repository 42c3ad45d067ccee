"""What may change in a Pod: almost nothing of its spec, and only forward in its status."""

from copy import deepcopy
from typing import Any

from apimachinery.api.validation.checks import Object, dns_subdomain, immutable, qualified_name, same, sentences
from apimachinery.api.validation.difference import difference
from apimachinery.api.validation.pod_annotations import pod_annotations, pod_annotations_update
from apimachinery.api.validation.pod_gated import gated_update
from apimachinery.api.validation.pods import addresses
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, required
from apimachinery.meta.pod_resources import qos_class
from apimachinery.meta.pods import MIRROR

_MAX_INT32 = 2**31 - 1
_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_UPDATABLE = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    )
)


def pod_update(new: Object, old: Object) -> list[Problem]:
    """An update of the spec by a user."""
    spec, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    problems = pod_annotations_update(new, old)
    for kind in ("containers", "initContainers"):
        found, stop = _images(spec.get(kind) or [], before.get(kind) or [], path.child(kind))
        problems += found
        if stop:
            return problems
    found, stop = _deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"), path)
    problems += found
    if stop:
        return problems
    problems += _tolerations(spec.get("tolerations") or [], before.get("tolerations") or [], path.child("tolerations"))
    problems += _gates(spec.get("schedulingGates") or [], before.get("schedulingGates") or [], path)
    if same(spec, before):
        return problems
    if (old.get("status") or {}).get("qosClass", qos_class(old)) != qos_class(new):
        shown = (new.get("status") or {}).get("qosClass", "")
        problems.append(invalid(Path("metadata"), shown, "Pod QoS is immutable"))  # upstream's path
    left = _without_updatable(spec, before)
    if before.get("schedulingGates"):
        problems += gated_update(left, before, path)
    if not same(left, before):
        text = f"pod updates may not change fields other than {_UPDATABLE}\n{difference(before, left)}"
        problems.append(forbidden(path, text))
    return problems


def ephemeral_containers_update(new: Object, old: Object) -> list[Problem]:
    """An update through the ephemeralcontainers subresource: existing ones stay as they are."""
    path = Path("spec.ephemeralContainers")
    if MIRROR in ((old.get("metadata") or {}).get("annotations") or {}):
        return [forbidden(Path(""), "static pods do not support ephemeral containers")]
    found = {each.get("name"): each for each in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    problems: list[Problem] = []
    for before in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = before.get("name", "")
        if name not in found:
            problems.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif not same(before, found[name]):
            text = f'existing ephemeral containers "{name}" may not be changed\n{difference(before, found[name])}'
            problems.append(forbidden(path, text))
    return problems


def pod_status_update(new: Object, old: Object) -> list[Problem]:
    """An update through the status subresource."""
    status, before, path = new.get("status") or {}, old.get("status") or {}, Path("status")
    spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    problems = pod_annotations_update(new, old) + pod_annotations(new)
    for position, condition in enumerate(status.get("conditions") or ()):
        if condition.get("type") not in _SYSTEM_CONDITIONS:
            # Upstream's path.
            where = Path("metadata.conditions").index(position).child("Type")
            problems += qualified_name(condition.get("type", ""), where)
    if (spec.get("nodeName") or "") != (old_spec.get("nodeName") or ""):
        problems.append(forbidden(path.child("nodeName"), "may not be changed directly"))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        problems += dns_subdomain(nominated, path.child("nominatedNodeName"))
    problems += immutable(status.get("qosClass"), before.get("qosClass"), path.child("qosClass"))
    restart = old_spec.get("restartPolicy", "")
    stay = {each.get("name") for each in old_spec.get("initContainers") or () if each.get("restartPolicy") == "Always"}
    for kind, policy, exempt in (
        ("containerStatuses", restart, set()),
        ("initContainerStatuses", restart, stay),
        ("ephemeralContainerStatuses", "Never", set()),
    ):
        problems += _transitions(status.get(kind) or [], before.get(kind) or [], policy, exempt, path.child(kind))
    problems += addresses(status.get("podIPs") or [], path.child("podIPs"))
    host_ips = status.get("hostIPs") or []
    if host_ips and status.get("hostIP") != host_ips[0].get("ip"):
        where = path.child("hostIPs").index(0).child("ip")
        problems.append(invalid(where, host_ips[0].get("ip"), "must be equal to `hostIP`"))
    return problems + addresses(host_ips, path.child("hostIPs"))


def _transitions(
    new: list[dict[str, Any]], old: list[dict[str, Any]], restart: str, exempt: set[Any], path: Path
) -> list[Problem]:
    if restart == "Always":
        return []
    current = {each.get("name"): each for each in new}
    problems: list[Problem] = []
    for position, before in enumerate(old):
        ended = (before.get("state") or {}).get("terminated")
        if ended is None or (ended.get("exitCode") and restart == "OnFailure") or before.get("name") in exempt:
            continue
        after = current.get(before.get("name"))
        if after is not None and (after.get("state") or {}).get("terminated") is None:
            text = "may not be transitioned to non-terminated state"
            problems.append(forbidden(path.index(position).child("state"), text))
    return problems


def _images(new: list[dict[str, Any]], old: list[dict[str, Any]], path: Path) -> tuple[list[Problem], bool]:
    if len(new) != len(old):
        return [forbidden(path, "pod updates may not add or remove containers")], True
    problems: list[Problem] = []
    for position, container in enumerate(new):
        image = container.get("image", "")
        where = path.index(position).child("image")
        if not image:
            problems.append(required(where))
        if image != image.strip():
            problems.append(invalid(where, image, "must not have leading or trailing whitespace"))
    return problems, False


def _deadline(new: int | None, old: int | None, path: Path) -> tuple[list[Problem], bool]:
    """What is wrong with a new deadline, and whether upstream looks no further then."""
    where = path.child("activeDeadlineSeconds")
    if new is None:
        text = "must not update from a positive integer to nil value"
        return [] if old is None else [invalid(where, None, text)], False
    if not 0 <= new <= _MAX_INT32:
        return sentences([names.range_error(0, _MAX_INT32)], new, where), True
    if old is not None and old < new:
        return [invalid(where, new, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(new: list[dict[str, Any]], old: list[dict[str, Any]], path: Path) -> list[Problem]:
    def key(toleration: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}

    for before in old:
        if not any(same(key(before), key(after)) for after in new):
            return [forbidden(path, "existing toleration can not be modified except its tolerationSeconds")]
    return []


def _gates(new: list[dict[str, Any]], old: list[dict[str, Any]], path: Path) -> list[Problem]:
    known = {gate.get("name") for gate in old}
    return [
        forbidden(
            path.child("schedulingGates").index(position).child("name"),
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name', '')}'",
        )
        for position, gate in enumerate(new)
        if gate.get("name") not in known
    ]


def _without_updatable(spec: Object, old: Object) -> dict[str, Any]:
    """The new spec with everything that may change set back."""
    left = deepcopy(dict(spec))
    for kind in ("containers", "initContainers"):
        for after, before in zip(left.get(kind) or [], old.get(kind) or [], strict=True):
            after["image"] = before.get("image")
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        left.pop(name, None)
        if old.get(name) is not None:
            left[name] = old[name]
    grace = "terminationGracePeriodSeconds"
    if (old.get(grace) or 0) < 0 and left.get(grace) == 1:
        left[grace] = old[grace]
    return left
