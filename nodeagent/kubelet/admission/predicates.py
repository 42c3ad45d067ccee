"""Whether a pod fits this node (pkg/kubelet/lifecycle/predicate.go, scheduler.AdmissionCheck). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import taints
from apimachinery.meta.node_selector import RequiredNodes
from apimachinery.meta.pod_resources import pod_requests
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

_NATIVE = ("cpu", "memory", "ephemeral-storage")
_OS_LABEL = "kubernetes.io/os"
_EVERYWHERE = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Refusal:
    """reason: the pod's status.reason. message: what follows "Pod was rejected: "."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Shortage:
    """A resource of which there is not enough. cpu in millicores, the rest in units."""

    resource: str
    requested: int
    used: int
    capacity: int

    @property
    def missing(self) -> int:
        return self.requested - (self.capacity - self.used)

    def refusal(self) -> Refusal:
        return Refusal(
            f"OutOf{self.resource}",
            f"Node didn't have enough resource: {self.resource}, requested: {self.requested}, used: {self.used}, "
            f"capacity: {self.capacity}",
        )


def wrong_system(pod: Pod) -> Refusal | None:
    """A pod for another operating system: no preemption helps."""
    if (pod["metadata"].get("labels") or {}).get(_OS_LABEL, "linux") != "linux":
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def shortages(pod: Pod, others: Sequence[Pod], allocatable: Mapping[str, int]) -> list[Shortage]:
    """What the node lacks for the pod beside the others. allocatable: of the node; cpu in millicores.

    An extended resource that the node does not have at all is not the node's to give (upstream's
    removeMissingExtendedResources), so it is passed over.
    """
    found = []
    capacity = allocatable.get("pods", 0)
    if len(others) + 1 > capacity:
        found.append(Shortage("pods", 1, len(others), capacity))
    wanted = {name: amount for name, amount in pod_requests(pod).items() if amount}
    used: dict[str, int] = {}
    for other in others if wanted else ():
        for name, amount in pod_requests(other).items():
            used[name] = used.get(name, 0) + amount
    for name in (*_NATIVE, *sorted(wanted.keys() - set(_NATIVE))):
        amount = wanted.get(name, 0)
        if name not in allocatable and name not in _NATIVE:
            continue
        if amount and amount > allocatable.get(name, 0) - used.get(name, 0):
            found.append(Shortage(name, amount, used.get(name, 0), allocatable.get(name, 0)))
    return found


def misplaced(pod: Pod, name: str, node: Mapping[str, Any], others: Sequence[Pod]) -> Refusal | None:
    """What but resources speaks against the pod on this node. node: its object; name: its name."""
    if not RequiredNodes(pod["spec"]).matches(name, (node.get("metadata") or {}).get("labels") or {}):
        return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if pod["spec"].get("nodeName") not in (None, "", name):
        return _predicate("NodeName", "node(s) didn't match the requested node name")
    taken = {port for other in others for port in host_ports(other)}
    if any(_conflicts(port, taken) for port in host_ports(pod)):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    if not pods.is_static(pod):
        repelled = taints.first_untolerated(
            (node.get("spec") or {}).get("taints") or (), pod["spec"].get("tolerations") or (), (taints.NO_EXECUTE,)
        )
        if repelled is not None:
            return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def host_ports(pod: Pod) -> Iterator[tuple[str, str, int]]:
    """(address, protocol, port) of each port of the node that the pod takes."""
    sidecars = [container for container in pods.init_containers(pod) if pods.is_sidecar(container)]
    for container in [*pods.regular_containers(pod), *sidecars]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or _EVERYWHERE, port.get("protocol") or "TCP", int(port["hostPort"])


def _conflicts(wanted: tuple[str, str, int], taken: set[tuple[str, str, int]]) -> bool:
    address, protocol, port = wanted
    return any(
        (protocol, port) == (other_protocol, other_port) and (address == other or _EVERYWHERE in (address, other))
        for other, other_protocol, other_port in taken
    )


def _predicate(name: str, why: str) -> Refusal:
    return Refusal(name, f"Predicate {name} failed: {why}")
