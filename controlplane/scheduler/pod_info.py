"""A pod as the scheduler sees it: decoded once, then read by every plugin for every node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from apimachinery.meta import labels as label_selectors
from apimachinery.meta import pods, volumes
from apimachinery.meta.node_selector import NodeSelectorTerm, RequiredNodes
from apimachinery.meta.pod_resources import Amounts, pod_requests

# What a container without requests is assumed to use when nodes are scored, so that many such pods still spread
# (upstream pkg/scheduler/util/pod_resources.go).
ASSUMED_REQUESTS: Mapping[str, int] = {"cpu": 100, "memory": 200 * 1024 * 1024}

#: The reason of the DisruptionTarget condition of those who make room.
PREEMPTED = "PreemptionByScheduler"

Labels = Mapping[str, str]

# What of a pod on a node is read whenever it comes, counts or goes.
_COUNTED = ("requests", "scoring_requests", "host_ports", "has_pod_affinity")


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port a pod occupies on its node; `ip` is 0.0.0.0 for every address."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: HostPort) -> bool:
        """Tell whether both cannot be open on one node."""
        return (
            self.port == other.port
            and self.protocol == other.protocol
            and (self.ip == other.ip or "0.0.0.0" in (self.ip, other.ip))
        )


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """One pod (anti-)affinity term: pods that `selector` matches in `namespaces`, within one topology domain."""

    topology_key: str
    selector: label_selectors.Selector
    namespaces: frozenset[str]
    all_namespaces: bool = False
    namespace_selector: label_selectors.Selector | None = None
    weight: int = 0

    def matches(self, pod: PodInfo, namespace_labels: Mapping[str, Labels]) -> bool:
        """Tell whether the term speaks of this pod.

        namespace_labels: labels by namespace name, asked only when the term has a namespace selector.
        """
        inside = (
            self.all_namespaces
            or pod.namespace in self.namespaces
            or (
                self.namespace_selector is not None
                and self.namespace_selector.matches(namespace_labels.get(pod.namespace, {}))
            )
        )
        return inside and self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One topology spread constraint (KEP-895), its selector compiled and its match label keys folded in."""

    max_skew: int
    topology_key: str
    hard: bool
    selector: label_selectors.Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def preferred_terms(spec: Mapping[str, Any]) -> tuple[tuple[int, NodeSelectorTerm], ...]:
    """Preferred node affinity terms of a pod's spec with their weights."""
    preferred = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "preferredDuringSchedulingIgnoredDuringExecution"
    )
    return tuple((int(t.get("weight") or 0), NodeSelectorTerm(t.get("preference") or {})) for t in preferred or ())


class PodInfo:
    """One version of a pod. Immutable; everything costly is decoded on first use and kept."""

    def __init__(self, pod: dict[str, Any]) -> None:
        self.pod = pod
        metadata = pod["metadata"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata.get("namespace") or ""
        self.key = f"{self.namespace}/{self.name}"
        self.uid: str = metadata.get("uid") or self.key
        self.labels: Labels = metadata.get("labels") or {}
        self.deleting = bool(metadata.get("deletionTimestamp"))
        spec = pod.get("spec") or {}
        self.spec: Mapping[str, Any] = spec
        self.node_name: str = spec.get("nodeName") or ""
        self.priority = int(spec.get("priority") or 0)
        self.scheduler_name: str = spec.get("schedulerName") or "default-scheduler"
        self.gates: tuple[str, ...] = tuple(g.get("name", "") for g in spec.get("schedulingGates") or ())

    @property
    def nominated_node(self) -> str:
        """The node on which preemption made room for this pod, or an empty string."""
        return str((self.pod.get("status") or {}).get("nominatedNodeName") or "")

    @property
    def preempted(self) -> bool:
        """True while the pod goes because preemption chose it."""
        going = pods.condition(self.pod, "DisruptionTarget") if self.deleting else None
        return going is not None and (going.get("status"), going.get("reason")) == ("True", PREEMPTED)

    def counts_like(self, other: PodInfo) -> bool:
        """Tell whether it means to every rule about nodes and other pods what `other` does, which has no node yet."""
        spec, before = self.spec, other.spec
        return (
            self.labels == other.labels
            and self.deleting == other.deleting
            and len(spec) == len(before) + 1
            and "nodeName" not in before
            and before.items() <= spec.items()
        )

    def learn(self, other: PodInfo) -> None:
        """Take over what was decoded of a pod that counts alike."""
        known = other.__dict__
        self.__dict__.update((name, known[name]) for name in _COUNTED if name in known)

    @property
    def terminal(self) -> bool:
        """True when the pod has ended and holds no resources."""
        return pods.is_terminal(self.pod)

    @cached_property
    def requests(self) -> Amounts:
        """What the pod asks for; cpu in millicores, the rest in whole units, zero amounts left out."""
        return {name: amount for name, amount in pod_requests(self.pod).items() if amount}

    @cached_property
    def scoring_requests(self) -> Amounts:
        """The same, with assumed amounts for containers that ask for nothing."""
        return pod_requests(self.pod, default=ASSUMED_REQUESTS)

    @cached_property
    def shape(self) -> tuple[object, ...]:
        """Equal for pods that no rule about a node alone tells apart: what such rules read of a pod, and no more."""
        affinity = (self.spec.get("affinity") or {}).get("nodeAffinity")
        nodes = (self.node_name, self.spec.get("nodeSelector"), affinity, self.spec.get("tolerations"))
        amounts = (tuple(self.requests.items()), tuple(self.scoring_requests.items()))
        return (*amounts, self.host_ports, orjson.dumps(nodes))

    @cached_property
    def tolerations(self) -> tuple[Mapping[str, Any], ...]:
        """spec.tolerations."""
        return tuple(self.spec.get("tolerations") or ())

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The images of all containers, as written."""
        return tuple(c.get("image") or "" for c in pods.containers(self.pod))

    @cached_property
    def host_ports(self) -> tuple[HostPort, ...]:
        """Ports the pod occupies on its node, as long as it runs: those of its start are not among them."""
        found = []
        starting = self.spec.get("initContainers") or ()
        sidecars = [container for container in starting if container.get("restartPolicy") == "Always"]
        for container in (*sidecars, *(self.spec.get("containers") or ())):
            for port in container.get("ports") or ():
                number = int(port.get("hostPort") or 0)
                if number > 0:
                    found.append(HostPort(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", number))
        return tuple(found)

    @cached_property
    def claims(self) -> frozenset[str]:
        """The keys of the claims that the pod's volumes stand on."""
        return frozenset(f"{self.namespace}/{name}" for _, name, _ in volumes.pod_claims(self.pod))

    @cached_property
    def required_nodes(self) -> RequiredNodes:
        """nodeSelector and required node affinity."""
        return RequiredNodes(self.spec)

    @cached_property
    def preferred_nodes(self) -> tuple[tuple[int, NodeSelectorTerm], ...]:
        """Preferred node affinity terms with their weights (1 to 100)."""
        return preferred_terms(self.spec)

    @cached_property
    def affinity(self) -> tuple[AffinityTerm, ...]:
        """Required pod affinity terms."""
        return self._terms("podAffinity", required=True)

    @cached_property
    def anti_affinity(self) -> tuple[AffinityTerm, ...]:
        """Required pod anti-affinity terms."""
        return self._terms("podAntiAffinity", required=True)

    @cached_property
    def preferred_affinity(self) -> tuple[AffinityTerm, ...]:
        """Preferred pod affinity terms, weights 1 to 100."""
        return self._terms("podAffinity", required=False)

    @cached_property
    def preferred_anti_affinity(self) -> tuple[AffinityTerm, ...]:
        """Preferred pod anti-affinity terms, weights 1 to 100."""
        return self._terms("podAntiAffinity", required=False)

    @cached_property
    def has_pod_affinity(self) -> bool:
        """True when the pod has any affinity or anti-affinity term towards other pods."""
        affinity = self.spec.get("affinity") or {}
        return bool(affinity.get("podAffinity") or affinity.get("podAntiAffinity"))

    @cached_property
    def spread_constraints(self) -> tuple[SpreadConstraint, ...]:
        """The pod's own topology spread constraints."""
        return tuple(self._spread(c) for c in self.spec.get("topologySpreadConstraints") or ())

    def _terms(self, kind: str, *, required: bool) -> tuple[AffinityTerm, ...]:
        affinity = (self.spec.get("affinity") or {}).get(kind) or {}
        if required:
            raw = [(0, term) for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()]
        else:
            raw = [
                (int(w.get("weight") or 0), w.get("podAffinityTerm") or {})
                for w in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
            ]
        return tuple(self._term(term, weight) for weight, term in raw)

    def _term(self, raw: Mapping[str, Any], weight: int) -> AffinityTerm:
        namespaces = frozenset(raw.get("namespaces") or ())
        by_label = raw.get("namespaceSelector")
        if not namespaces and by_label is None:
            namespaces = frozenset((self.namespace,))
        # matchLabelKeys and mismatchLabelKeys (KEP-3633) are folded into the selector by the API server at creation.
        return AffinityTerm(
            topology_key=raw.get("topologyKey") or "",
            selector=label_selectors.from_label_selector(raw.get("labelSelector")),
            namespaces=namespaces,
            all_namespaces=by_label == {},
            namespace_selector=label_selectors.from_label_selector(by_label) if by_label else None,
            weight=weight,
        )

    def _spread(self, raw: Mapping[str, Any]) -> SpreadConstraint:
        selector: dict[str, Any] | None = raw.get("labelSelector")
        keys = [k for k in raw.get("matchLabelKeys") or () if k in self.labels]
        if keys and selector is not None:
            extra = [{"key": k, "operator": "In", "values": [self.labels[k]]} for k in keys]
            selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
        return SpreadConstraint(
            max_skew=int(raw.get("maxSkew") or 1),
            topology_key=raw.get("topologyKey") or "",
            hard=raw.get("whenUnsatisfiable") != "ScheduleAnyway",
            selector=label_selectors.from_label_selector(selector),
            min_domains=int(raw.get("minDomains") or 1),
            honor_affinity=(raw.get("nodeAffinityPolicy") or "Honor") == "Honor",
            honor_taints=raw.get("nodeTaintsPolicy") == "Honor",
        )
