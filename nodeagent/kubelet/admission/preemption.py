"""Making room for a critical pod: which pods of lesser rank to end (pkg/kubelet/preemption/preemption.go). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from apimachinery.meta.pod_resources import pod_requests, qos_class
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

from .predicates import Shortage

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"
CONDITION = "Pod was preempted by Kubelet to accommodate a critical pod."

Needs = Mapping[str, int]
"""Resource → how much of it is still missing."""


def plan_preemption(pod: Pod, active: Iterable[Pod], short: Sequence[Shortage]) -> list[Pod] | None:
    """The pods to end so that the shortages are gone, as few and as small as can be; None when nothing helps.

    Best-effort pods are given up before burstable ones, those before guaranteed ones.
    """
    needs = {shortage.resource: shortage.missing for shortage in short}
    ranks: dict[str, list[Pod]] = {"BestEffort": [], "Burstable": [], "Guaranteed": []}
    for other in active:
        if _may_preempt(pod, other):
            ranks[qos_class(other)].append(other)
    best, burstable, guaranteed = ranks["BestEffort"], ranks["Burstable"], ranks["Guaranteed"]
    if _without(needs, [*best, *burstable, *guaranteed]):
        return None
    last = _nearest(guaranteed, _without(needs, [*best, *burstable]))
    middle = _nearest(burstable, _without(needs, [*best, *last]))
    first = _nearest(best, _without(needs, [*middle, *last]))
    return [*first, *middle, *last]


def beyond_help(pod: Pod, active: Iterable[Pod], short: Sequence[Shortage]) -> Needs:
    """What would be missing still if every pod of lesser rank were ended."""
    needs = {shortage.resource: shortage.missing for shortage in short}
    return _without(needs, [other for other in active if _may_preempt(pod, other)])


def _may_preempt(pod: Pod, other: Pod) -> bool:
    if pods.is_critical(pod) and not pods.is_critical(other):
        return True
    ours, theirs = pod["spec"].get("priority"), other["spec"].get("priority")
    return ours is not None and theirs is not None and int(ours) > int(theirs)


def _nearest(candidates: Sequence[Pod], needs: Needs) -> list[Pod]:
    """Take, again and again, the pod that covers most of what is missing, of equals the smaller."""
    left, chosen = list(candidates), []
    while needs:
        best = min(left, key=lambda pod: (_distance(needs, pod), *_size(pod)))
        left.remove(best)
        chosen.append(best)
        needs = _without(needs, [best])
    return chosen


def _without(needs: Needs, gone: Sequence[Pod]) -> Needs:
    """What is still missing when these pods are gone."""
    freed: dict[str, int] = {"pods": len(gone)}
    for pod in gone:
        for name, amount in pod_requests(pod).items():
            freed[name] = freed.get(name, 0) + amount
    return {name: amount - freed.get(name, 0) for name, amount in needs.items() if amount > freed.get(name, 0)}


def _distance(needs: Needs, pod: Pod) -> float:
    """How far the pod's end leaves us: the squares of the shares of each need that it does not cover."""
    freed = {**pod_requests(pod), "pods": 1}
    return sum((max(0, need - freed.get(name, 0)) / need) ** 2 for name, need in needs.items())


def _size(pod: Pod) -> tuple[int, int]:
    requests = pod_requests(pod)
    return requests.get("memory", 0), requests.get("cpu", 0)
