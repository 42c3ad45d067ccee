"""For each filter, the change of the pod or of the node that takes its refusal away. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import quantity, taints
from apimachinery.meta.pod_resources import pod_requests
from controlplane.scheduler.framework import Verdict
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """words: completes "it would fit NODE if …". command: what an operator types for it, where there is one such thing.

    cost: 0 to 1, the share of a request that is cut; to choose among equals. edit_pod, edit_node: change a copy.
    """

    words: str
    command: str = ""
    cost: float = 0.0
    edit_pod: Callable[[Object], None] | None = None
    edit_node: Callable[[Object], None] | None = None

    def applied(self, pod: PodInfo, node: NodeInfo) -> tuple[PodInfo, NodeInfo]:
        """Both as they would be afterwards."""
        if self.edit_pod is not None:
            changed = copy.deepcopy(pod.pod)
            self.edit_pod(changed)
            pod = PodInfo(changed)
        if self.edit_node is not None and node.node is not None:
            edited = copy.deepcopy(dict(node.node))
            self.edit_node(edited)
            node = node.clone()
            node.set_node(edited)
        return pod, node


def changes_for(refusal: Verdict, pod: PodInfo, node: NodeInfo) -> list[Change]:
    """What takes one refusal of this node away; empty when nothing that we know of does."""
    if refusal.whole_pod:
        return []
    answer = _ANSWERS.get(refusal.plugin)
    return answer(pod, node) if answer is not None else []


def _uncordon(pod: PodInfo, node: NodeInfo) -> list[Change]:
    def edit(obj: Object) -> None:
        obj["spec"]["unschedulable"] = False
        obj["spec"]["taints"] = [
            one for one in obj["spec"].get("taints") or () if one.get("key") != taints.UNSCHEDULABLE
        ]

    return [Change(f"{node.name} were schedulable", f"kubectl uncordon {node.name}", edit_node=edit)]


def _tolerate(pod: PodInfo, node: NodeInfo) -> list[Change]:
    return [
        _tolerated(taint)
        for taint in node.taints
        if taint.get("effect") in (taints.NO_SCHEDULE, taints.NO_EXECUTE)
        and not any(taints.tolerates(one, taint) for one in pod.tolerations)
    ]


def _tolerated(taint: Any) -> Change:
    key, value, effect = str(taint.get("key") or ""), str(taint.get("value") or ""), str(taint["effect"])
    toleration = {"key": key, "operator": "Equal", "value": value, "effect": effect}

    def edit(obj: Object) -> None:
        obj["spec"]["tolerations"] = [*(obj["spec"].get("tolerations") or ()), toleration]

    return Change(f"it tolerated {key}{f'={value}' if value else ''}:{effect}", edit_pod=edit)


def _match_node(pod: PodInfo, node: NodeInfo) -> list[Change]:
    """Labels that the nodeSelector misses are put on the node; affinity terms are too free to be guessed from."""
    missing = {
        key: value for key, value in (pod.spec.get("nodeSelector") or {}).items() if node.labels.get(key) != value
    }
    changes = [_labelled(node.name, key, value) for key, value in missing.items()]
    required = ((pod.spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    labelled = node
    for change in changes:
        _, labelled = change.applied(pod, labelled)
    if required and not pod.required_nodes.matches(labelled.name, labelled.labels):
        changes.append(
            Change("its required node affinity were left out", edit_pod=lambda obj: _drop(obj, "nodeAffinity"))
        )
    return changes


def _labelled(node: str, key: str, value: str) -> Change:
    def edit(obj: Object) -> None:
        obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), key: value}

    return Change(f"{node} had the label {key}={value}", f"kubectl label node {node} {key}={value}", edit_node=edit)


def _free_ports(pod: PodInfo, node: NodeInfo) -> list[Change]:
    taken = {mine for mine in pod.host_ports if any(mine.conflicts(theirs) for theirs in node.host_ports)}

    def edit(obj: Object) -> None:
        for container in (*(obj["spec"].get("initContainers") or ()), *obj["spec"]["containers"]):
            for port in container.get("ports") or ():
                if any(port.get("hostPort") == one.port for one in taken):
                    del port["hostPort"]

    ports = ", ".join(sorted(f"{one.port}/{one.protocol}" for one in taken))
    network = pod.spec.get("hostNetwork")  # its ports are the node's whatever hostPort says
    return [] if network or not taken else [Change(f"it did without host port {ports}", edit_pod=edit)]


def _ask_for_less(pod: PodInfo, node: NodeInfo) -> list[Change]:
    changes = [_more_pods(node)] if len(node.pods) + 1 > node.max_pods else []
    for name, amount in pod.requests.items():
        free = node.allocatable.get(name, 0) - node.requested.get(name, 0)
        if amount > free:
            change = _less(pod, name, amount, free)
            if change is None:
                return []
            changes.append(change)
    return changes


def _more_pods(node: NodeInfo) -> Change:
    wanted = len(node.pods) + 1

    def edit(obj: Object) -> None:
        obj["status"]["allocatable"]["pods"] = str(wanted)

    return Change(f"{node.name} allowed {wanted} pods (it allows {node.max_pods})", edit_node=edit)


def _less(pod: PodInfo, name: str, amount: int, free: int) -> Change | None:
    """Cut every container's request alike, and the pod's own, until it fits into what is free. None when nothing would
    do."""
    fixed = pod_requests({"spec": {"overhead": pod.spec.get("overhead")}}).get(name, 0)
    if free < fixed:
        return None

    def edit(obj: Object) -> None:
        spec = obj["spec"]
        own = (spec.get("resources") or {}).get("requests") or {}
        if name in own:
            own[name] = f"{free - fixed}m" if name == "cpu" else str(free - fixed)
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            requests = (container.get("resources") or {}).get("requests") or {}
            if name in requests:
                asked = pod_requests({"spec": {"containers": [container]}})[name]
                cut = asked * (free - fixed) // (amount - fixed)
                requests[name] = f"{cut}m" if name == "cpu" else str(cut)
        if not free - fixed:
            for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
                ((container.get("resources") or {}).get("requests") or {}).pop(name, None)

    words = f"{name} request ≤ {spelled(name, free)}" if free else f"it asked for no {name}"
    return Change(f"{words} (it asks {spelled(name, amount)})", "", 1 - free / amount, edit)


def spelled(resource: str, amount: int) -> str:
    """An amount as people write it: 350m, 1Gi, 3."""
    if resource == "cpu":
        return quantity.format_milli(amount)
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return quantity.format_bytes(amount)
    return str(amount)


def _spread_softly(pod: PodInfo, node: NodeInfo) -> list[Change]:
    def edit(obj: Object) -> None:
        for constraint in obj["spec"].get("topologySpreadConstraints") or ():
            constraint["whenUnsatisfiable"] = "ScheduleAnyway"

    hard = [
        one for one in pod.spec.get("topologySpreadConstraints") or () if one["whenUnsatisfiable"] == "DoNotSchedule"
    ]
    keys = ", ".join(one["topologyKey"] for one in hard)
    return [Change(f"its spread over {keys} were whenUnsatisfiable: ScheduleAnyway", edit_pod=edit)] if hard else []


def _prefer(pod: PodInfo, node: NodeInfo) -> list[Change]:
    """The pod's own terms; that others on the node do not want it beside them is no matter of this pod."""
    own = [
        kind
        for kind in ("podAffinity", "podAntiAffinity")
        if ((pod.spec.get("affinity") or {}).get(kind) or {}).get(_REQUIRED)
    ]
    names = {"podAffinity": "pod affinity", "podAntiAffinity": "pod anti-affinity"}

    def edit(obj: Object) -> None:
        for kind in own:
            _drop(obj, kind)

    words = " and ".join(names[kind] for kind in own)
    return [Change(f"its {words} were preferred, not required", edit_pod=edit)] if own else []


def _drop(obj: Object, kind: str) -> None:
    obj["spec"]["affinity"][kind].pop(_REQUIRED, None)


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_ANSWERS: dict[str, Callable[[PodInfo, NodeInfo], list[Change]]] = {
    "NodeUnschedulable": _uncordon,
    "TaintToleration": _tolerate,
    "NodeAffinity": _match_node,
    "NodePorts": _free_ports,
    "NodeResourcesFit": _ask_for_less,
    "PodTopologySpread": _spread_softly,
    "InterPodAffinity": _prefer,
}
