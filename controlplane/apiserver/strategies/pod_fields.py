"""Fields of a new pod that the server completes from others (pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apimachinery.api.validation.checks import same
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Object

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_DEFAULT, _UNCONFINED, _LOCAL = "runtime/default", "unconfined", "localhost/"
_MAX_PROFILE = 4095


def with_condition(conditions: list[Object], wanted: Object, now: str) -> list[Object]:
    """The conditions of a pod with this one where that of its type is, or last; it turned now unless its status is the
    same (UpdatePodCondition)."""
    kinds = [each.get("type") for each in conditions]
    place = kinds.index(wanted["type"]) if wanted["type"] in kinds else len(kinds)
    before = conditions[place] if place < len(kinds) else {}
    since = before.get("lastTransitionTime") if before.get("status") == wanted["status"] else None
    made = {**wanted, "lastProbeTime": None, "lastTransitionTime": since or now}
    return [*conditions[:place], made, *conditions[place + 1 :]]


def settle_times(state: Object) -> None:
    """The times of a pod's conditions are there when nobody has set them, too: null, as Go writes them."""
    state["conditions"] = [
        {"lastProbeTime": None, "lastTransitionTime": None, **each} for each in state.get("conditions") or ()
    ]
    if not state["conditions"]:
        del state["conditions"]


def settle_affinity(pod: Object) -> None:
    """The pod's own values of `matchLabelKeys` and `mismatchLabelKeys` become part of the selector (KEP-3633)."""
    labels = pod["metadata"].get("labels") or {}
    for term in _terms((pod.get("spec") or {}).get("affinity") or {}):
        selector = term.get("labelSelector")
        if selector is None:
            continue  # it matches nothing, and shall go on doing so
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(field) or ():
                if key in labels:
                    expression = {"key": key, "operator": operator, "values": [labels[key]]}
                    selector["matchExpressions"] = [*(selector.get("matchExpressions") or []), expression]


def _terms(affinity: Object) -> Iterator[Object]:
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind) or {}
        for weighted in found.get(_PREFERRED) or ():
            yield weighted.get("podAffinityTerm") or {}
        yield from found.get(_REQUIRED) or ()


def sync_profiles(call: Call, pod: Object) -> None:
    """AppArmor profiles: the annotation of old clients and node agents says what the field says (KEP-24)."""
    spec, meta = pod.get("spec") or {}, pod["metadata"]
    if (spec.get("os") or {}).get("name") == "windows":
        return
    own = (spec.get("securityContext") or {}).get("appArmorProfile")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            key = _APPARMOR + container.get("name", "")
            text = (meta.get("annotations") or {}).get(key)
            profile = (container.get("securityContext") or {}).get("appArmorProfile")
            if text is None:
                if value := _annotation(profile if profile is not None else own):
                    meta["annotations"] = {**(meta.get("annotations") or {}), key: value}
            elif profile is None:
                _from_annotation(call, container, key, _field(text), own)


def _from_annotation(call: Call, container: Object, key: str, profile: Object | None, own: Object | None) -> None:
    if profile is not None and same(profile, own):
        return
    if profile is not None:
        container["securityContext"] = {**(container.get("securityContext") or {}), "appArmorProfile": profile}
    call.warn(f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')


def _annotation(profile: Any) -> str:
    profile = profile or {}
    match profile.get("type"):
        case "Unconfined":
            return _UNCONFINED
        case "RuntimeDefault":
            return _DEFAULT
        case "Localhost" if profile.get("localhostProfile") is not None:
            return _LOCAL + str(profile["localhostProfile"])
    return ""


def _field(text: str) -> Object | None:
    if text == _UNCONFINED:
        return {"type": "Unconfined"}
    if text == _DEFAULT:
        return {"type": "RuntimeDefault"}
    name = text.removeprefix(_LOCAL)
    if name != text and name.strip() == name != "" and len(name.encode()) <= _MAX_PROFILE:
        return {"type": "Localhost", "localhostProfile": name}
    return None
