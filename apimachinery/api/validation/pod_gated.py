"""What may change about where a pod runs as long as gates hold it back (KEP-3838): its choice of nodes narrows."""

from typing import Any

from apimachinery.api.validation.checks import Object, restore, same
from apimachinery.api.validation.go_values import go_labels, go_terms
from apimachinery.meta.paths import Path, Problem, invalid

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def gated_update(left: dict[str, Any], old: Object, path: Path) -> list[Problem]:
    """The problems of a gated pod's new node selector and node affinity, which are set back in `left`, the new spec."""
    problems: list[Problem] = []
    selector, before = left.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        problems.append(invalid(path.child("nodeSelector"), go_labels(left.get("nodeSelector")), text))
    restore(left, old, "nodeSelector")
    now, then = left.get("affinity") or {}, old.get("affinity") or {}
    if same(now.get("nodeAffinity"), then.get("nodeAffinity")):
        return problems
    where = path.child("affinity").child("nodeAffinity")
    problems += _narrowed(now.get("nodeAffinity") or {}, then.get("nodeAffinity") or {}, where)
    rest = dict(now)
    restore(rest, then, "nodeAffinity")
    if rest or old.get("affinity") is not None:
        left["affinity"] = rest
    else:
        left.pop("affinity", None)
    return problems


def _narrowed(new: Object, old: Object, path: Path) -> list[Problem]:
    before = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    after = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []
    where = path.child(_REQUIRED).child("nodeSelectorTerms")
    if before and len(before) != len(after):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [invalid(where, go_terms(after), text)]
    text = "only additions are allowed (no mutations or deletions)"
    return [
        invalid(where.index(position), go_terms([after[position]], alone=True), text)
        for position, term in enumerate(before)
        if not _only_adds(after[position], term)
    ]


def _only_adds(new: Object, old: Object) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(old.get(field) for field in fields) and any(new.get(field) for field in fields):
        return False  # an empty term matches nothing, and would begin to match something
    return all(same((new.get(field) or [])[: len(held)], held) for field in fields if (held := old.get(field)))
