"""Node selectors: `spec.nodeSelector` and node affinity terms, compiled once and matched against many nodes.

Terms are ORed, the requirements within a term ANDed; a term without requirements matches nothing (as upstream's
component-helpers/scheduling/corev1/nodeaffinity). An invalid term matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Match = Callable[[Mapping[str, str]], bool]


def _requirement(raw: Mapping[str, Any]) -> Match:
    """Compile one NodeSelectorRequirement over labels (or over the field set)."""
    key = str(raw.get("key") or "")
    operator = raw.get("operator")
    values = [str(v) for v in raw.get("values") or ()]
    if operator == "In":
        wanted = frozenset(values)
        return lambda labels: labels.get(key) in wanted
    if operator == "NotIn":
        unwanted = frozenset(values)
        return lambda labels: labels.get(key) not in unwanted
    if operator == "Exists":
        return lambda labels: key in labels
    if operator == "DoesNotExist":
        return lambda labels: key not in labels
    if operator in ("Gt", "Lt") and len(values) == 1 and _is_integer(values[0]):
        bound = int(values[0])
        sign = 1 if operator == "Gt" else -1
        return lambda labels: key in labels and _is_integer(labels[key]) and sign * (int(labels[key]) - bound) > 0
    return lambda labels: False


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdigit() and len(text) < 20


class NodeSelectorTerm:
    """One term: label requirements and field requirements (only metadata.name), all of which must hold."""

    __slots__ = ("_fields", "_labels", "names")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._labels = tuple(_requirement(r) for r in raw.get("matchExpressions") or ())
        fields = list(raw.get("matchFields") or ())
        self._fields = tuple(_requirement(r) for r in fields)
        # A term that names its nodes lets the scheduler look at those nodes only (DaemonSet pods).
        self.names: frozenset[str] | None = None
        for field in fields:
            if field.get("key") == "metadata.name" and field.get("operator") == "In":
                named = frozenset(str(v) for v in field.get("values") or ())
                self.names = named if self.names is None else self.names & named

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether the node of this name and these labels satisfies the term."""
        if not self._labels and not self._fields:
            return False
        fields = {"metadata.name": name}
        return all(r(fields) for r in self._fields) and all(r(labels) for r in self._labels)


class RequiredNodes:
    """What a pod demands of its node: nodeSelector and the required node affinity, both of which must match."""

    __slots__ = ("_selector", "_terms")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._selector: dict[str, str] = dict(spec.get("nodeSelector") or {})
        affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        )
        self._terms: Sequence[NodeSelectorTerm] | None = (
            None if affinity is None else tuple(NodeSelectorTerm(t) for t in affinity.get("nodeSelectorTerms") or ())
        )

    @property
    def unrestricted(self) -> bool:
        """True when every node matches."""
        return not self._selector and self._terms is None

    @property
    def names(self) -> frozenset[str] | None:
        """The only node names that can match, or None when the terms do not name nodes."""
        if not self._terms:
            return None
        found: frozenset[str] = frozenset()
        for term in self._terms:
            if term.names is None:
                return None
            found |= term.names
        return found

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether the node of this name and these labels may run the pod."""
        for key, value in self._selector.items():
            if labels.get(key) != value:
                return False
        return self._terms is None or any(term.matches(name, labels) for term in self._terms)
