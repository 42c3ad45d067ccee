"""Resource requests and limits of containers."""

from collections.abc import Callable
from typing import Any

from apimachinery.api.validation.checks import (
    Object,
    is_extended_resource,
    is_native_resource,
    one_of,
    qualified_name,
    quantity_value,
)
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_found, not_supported, required
from apimachinery.meta.pod_resources import POD_LEVEL_RESOURCES

_RESIZABLE = ("cpu", "memory")
_RESIZE_RESTARTS = ("NotRequired", "RestartContainer")

NameCheck = Callable[[str, Path], list[Problem]]

STANDARD_CONTAINER_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
STANDARD_RESOURCES = STANDARD_CONTAINER_RESOURCES | frozenset(
    (
        "storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)


def resource_name(name: str, path: Path) -> list[Problem]:
    """A resource of Kubernetes, or one with a domain."""
    problems = qualified_name(name, path)
    if not problems and "/" not in name and name not in STANDARD_RESOURCES and not is_quota_huge_page(name):
        problems.append(invalid(path, name, "must be a standard resource type or fully qualified"))
    return problems


def container_resource_name(name: str, path: Path) -> list[Problem]:
    """A resource that a container may ask for."""
    problems = resource_name(name, path)
    if "/" not in name:
        if name not in STANDARD_CONTAINER_RESOURCES and not is_huge_page(name):
            problems.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native_resource(name) and not is_extended_resource(name):
        problems.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return problems


def pod_resource_name(name: str, path: Path) -> list[Problem]:
    """A resource that a pod as a whole may ask for (KEP-2837)."""
    problems = resource_name(name, path)
    if problems or name in POD_LEVEL_RESOURCES:
        return problems
    return [not_supported(path, name, POD_LEVEL_RESOURCES)]


def requirements(
    resources: Object, claim_names: set[str], path: Path, named: NameCheck = container_resource_name
) -> list[Problem]:
    """`resources` of a container: names, amounts, requests within limits, and equal to them where none can be lent.

    named: which resources there may be.
    """
    problems: list[Problem] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            where = path.child(kind).key(name)
            problems += named(name, where)
            wrong = quantity_value(name, amount, where)
            problems += wrong
            if is_huge_page(name) and not wrong and not _divisible(name, amount):
                problems.append(invalid(where, amount, f"{amount} is not positive integer multiple of {name}"))
            if kind == "requests" and not wrong:
                problems += _against_limit(name, amount, limits.get(name), path)
    both = {*limits, *requests}
    if any(map(is_huge_page, both)) and not both & {"cpu", "memory"}:
        problems.append(forbidden(path, "HugePages require cpu or memory"))
    for position, claim in enumerate(resources.get("claims") or ()):
        where = path.child("claims").index(position)
        if not claim.get("name"):
            problems.append(required(where))
        elif claim["name"] not in claim_names:
            problems.append(not_found(where, claim["name"]))
    return problems


def resize_policies(found: list[dict[str, Any]], restart: str, path: Path) -> list[Problem]:
    """`resizePolicy` of a container: what a resize of cpu and memory restarts (KEP-1287). restart: the pod's policy.

    Upstream names the list, not the element.
    """
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, policy in enumerate(found):
        name, choice = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            problems.append(duplicate(path.index(position), name))
        seen.add(name)
        problems += one_of(name, _RESIZABLE, path)
        problems += one_of(choice, _RESIZE_RESTARTS, path)
        if restart == "Never" and choice != "NotRequired":
            problems.append(invalid(path, choice, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return problems


def _against_limit(name: str, amount: Any, limit: Any, path: Path) -> list[Problem]:
    lendable = is_overcommit_allowed(name)
    if limit is None:
        text = "Limit must be set for non overcommitable resources"
        return [] if lendable else [required(path.child("limits"), text)]
    try:
        asked, most = quantity.parse(amount), quantity.parse(limit)
    except ValueError:
        return []  # the limit's own check says so
    if not lendable and asked.nano != most.nano:
        return [invalid(path.child("requests"), str(asked), f"must be equal to {name} limit of {most}")]
    if asked.nano > most.nano:
        return [invalid(path.child("requests"), str(asked), f"must be less than or equal to {name} limit of {most}")]
    return []


def is_overcommit_allowed(name: str) -> bool:
    """Whether more of it may be promised than there is: requests below limits."""
    return is_native_resource(name) and not is_huge_page(name)


def is_quota_huge_page(name: str) -> bool:
    """True for hugepages-2Mi and requests.hugepages-2Mi."""
    return is_huge_page(name.removeprefix("requests."))


def is_huge_page(name: str) -> bool:
    """True for hugepages-2Mi and the like."""
    return name.startswith("hugepages-")


def _divisible(name: str, amount: Any) -> bool:
    try:
        page = quantity.parse(name.removeprefix("hugepages-")).nano
    except ValueError:
        return False
    return page > 0 and quantity.parse(amount).nano % page == 0
