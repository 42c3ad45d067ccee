"""What a pod as a whole may ask for (KEP-2837; pkg/apis/core/validation, validatePodResources of 1.32)."""

from __future__ import annotations

from collections.abc import Set

from apimachinery.api.quota.amounts import pod_amounts
from apimachinery.api.validation.checks import Object
from apimachinery.api.validation.resources import pod_resource_name, requirements
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, forbidden, invalid


def pod_resources(spec: Object, claims: Set[str], path: Path) -> list[Problem]:
    """`spec.resources`: as those of a container, but for fewer resources, and room for what the containers say."""
    resources = spec.get("resources")
    if resources is None:
        return []
    problems: list[Problem] = []
    if resources.get("claims") is not None:
        problems.append(forbidden(path.child("claims"), "claims cannot be set for Resources at pod-level"))
    problems += requirements(resources, set(claims), path, pod_resource_name)
    try:
        return problems + _consistency(spec, resources, path)
    except ValueError:
        return problems  # an amount that cannot be read is told of where it stands


def _consistency(spec: Object, resources: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, asked in pod_amounts({"spec": spec}, "requests", overhead=False, own=False).items():
        # Also of what a pod cannot ask for as a whole, which counts as 0 then: upstream's slip in 1.32.
        most = quantity.parse(requests.get(name) or "0")
        if most < asked:
            text = f"must be greater than or equal to aggregate container requests of {asked}"
            problems.append(invalid(path.child("requests").key(name), str(most), text))
    for position, container in enumerate(spec.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.parse(limits[name]) < (held := quantity.parse(limit)):
                # Upstream's path.
                where = path.child("containers").index(position).key(name).child("limits")
                text = f"must be less than or equal to pod limits of {quantity.parse(limits[name])}"
                problems.append(invalid(where, str(held), text))
    return problems
