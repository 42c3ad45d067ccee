"""Labels of nodes that have newer names (pkg/api/node)."""

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.paths import Path

DEPRECATED_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def selector_term(term: Mapping[str, Any], path: Path) -> Iterator[str]:
    """A term of a node selector, or any list of `matchExpressions`."""
    for position, expression in enumerate(term.get("matchExpressions") or ()):
        key = expression.get("key", "")
        if text := DEPRECATED_LABELS.get(key):
            yield f"{path.child('matchExpressions').index(position).child('key')}: {key} is {text}"


def node_selector(selector: Mapping[str, Any], path: Path) -> Iterator[str]:
    """A label selector of nodes."""
    yield from selector_term(selector, path)
    for key in selector.get("matchLabels") or ():
        if text := DEPRECATED_LABELS.get(key):
            yield f"{path.child('matchLabels', key)}: {text}"
