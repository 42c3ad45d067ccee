"""LimitRanger: defaults, bounds and ratios of what containers, pods and claims ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.quota.amounts import Amounts, parse, pod_amounts
from apimachinery.meta.paths import aggregate
from apimachinery.meta.quantity import Quantity
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    """plugin/pkg/admission/limitranger."""

    name = "LimitRanger"
    about = frozenset({("", "pods"), ("", "persistentvolumeclaims")})

    def __init__(self, limits: Lookup) -> None:
        self._limits = limits

    async def mutate(self, review: Review) -> None:
        if not review.is_for("", "pods"):
            return
        for limit_range in await self._found(review):
            assert review.new is not None
            review.tell(*set_defaults(limit_range, review.new))

    async def validate(self, review: Review) -> None:
        for limit_range in await self._found(review):
            assert review.new is not None
            check = check_pod if review.resource.plural == "pods" else check_claim
            if problems := list(check(limit_range, review.new)):
                raise review.forbidden(aggregate(problems))

    async def _found(self, review: Review) -> list[Object]:
        # The containers of a pod do not change, so that an update needs no look.
        operations = ("CREATE",) if review.resource.plural == "pods" else ("CREATE", "UPDATE")
        if review.operation not in operations or review.call.subresource:
            return []
        if review.old is not None and review.old["metadata"].get("deletionTimestamp"):
            return []
        await self._limits.ready(review)
        return self._limits.all(review.namespace)


def set_defaults(limit_range: Mapping[str, Any], pod: Object) -> list[str]:
    """Fill in what containers leave unsaid, and note in an annotation what was filled in; returns what to tell."""
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for item in _items(limit_range, "Container"):
        requests |= item.get("defaultRequest") or {}
        limits |= item.get("default") or {}
    notes = []
    told: list[str] = []
    for section, word in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(section) or ():
            for kind, defaults, named in (("limits", limits, "limit"), ("requests", requests, "request")):
                said = (container.get("resources") or {}).get(kind) or {}
                missing = {name: defaults[name] for name in defaults if name not in said}
                if missing:
                    container["resources"] = {**(container.get("resources") or {}), kind: {**said, **missing}}
                    called = container.get("name", "")
                    notes.append((called, named, f"{', '.join(sorted(missing))} {named} for {word} "))
                    where = f"spec.{section}[{called}].resources.{kind}"
                    told += [f"{where}.{name}: {value}" for name, value in missing.items()]
    if notes:
        # Upstream names each container's requests before its limits.
        order = list(dict.fromkeys(name for name, _, _ in notes))
        notes.sort(key=lambda note: (order.index(note[0]), note[1] != "request"))
        text = "LimitRanger plugin set: " + "; ".join(f"{text}{name}" for name, _, text in notes)
        pod["metadata"]["annotations"] = {**(pod["metadata"].get("annotations") or {}), ANNOTATION: text}
        told.append(f"metadata.annotations[{ANNOTATION}]: {text}")
    return told


def check_pod(limit_range: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    """What a pod or one of its containers violates, in upstream's sentences."""
    spec = pod["spec"]
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                yield from _check(item, parse(resources.get("requests")), parse(resources.get("limits")))
        elif item.get("type") == "Pod":
            yield from _check(
                item,
                pod_amounts(pod, "requests", overhead=False),
                pod_amounts(pod, "limits", overhead=False),
            )


def check_claim(limit_range: Mapping[str, Any], claim: Mapping[str, Any]) -> Iterator[str]:
    """The same of a claim: what counts is what it requests."""
    requests = parse(((claim.get("spec") or {}).get("resources") or {}).get("requests"))
    for item in _items(limit_range, "PersistentVolumeClaim"):
        for name, bound in sorted(parse(item.get("min")).items()):
            yield from _least(item["type"], name, bound, requests, {})
        for name, bound in sorted(parse(item.get("max")).items()):
            head = f"maximum {name} usage per {item['type']} is {bound}"
            if name not in requests:
                yield f"{head}.  No request is specified"
            elif bound < requests[name]:
                yield f"{head}, but request is {requests[name]}"


def _items(limit_range: Mapping[str, Any], kind: str) -> Iterator[Object]:
    for item in (limit_range.get("spec") or {}).get("limits") or ():
        if item.get("type") == kind:
            yield item


def _check(item: Mapping[str, Any], requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = item["type"]
    for name, bound in sorted(parse(item.get("min")).items()):
        yield from _least(kind, name, bound, requests, limits)
    for name, bound in sorted(parse(item.get("max")).items()):
        yield from _most(kind, name, bound, requests, limits)
    for name, bound in sorted(parse(item.get("maxLimitRequestRatio")).items()):
        yield from _ratio(kind, name, bound, requests, limits)


def _least(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"minimum {name} usage per {kind} is {bound}"
    if name not in requests:
        yield f"{head}.  No request is specified"
    elif requests[name] < bound:
        yield f"{head}, but request is {requests[name]}"
    elif name in limits and limits[name] < bound:
        yield f"{head}, but limit is {limits[name]}"


def _most(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"maximum {name} usage per {kind} is {bound}"
    if name not in limits:
        yield f"{head}.  No limit is specified"
    elif bound < limits[name]:
        yield f"{head}, but limit is {limits[name]}"
    elif name in requests and bound < requests[name]:
        yield f"{head}, but request is {requests[name]}"


def _ratio(kind: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {bound}"
    if name not in requests or not requests[name].milli:
        yield f"{head}, but no request is specified or request is 0"
    elif name not in limits or not limits[name].milli:
        yield f"{head}, but no limit is specified or limit is 0"
    else:
        ratio = limits[name].milli / requests[name].milli
        if ratio * 1000 > bound.milli:
            yield f"{head}, but provided ratio is {ratio:f}"
