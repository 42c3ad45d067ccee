"""How each resource is measured: one evaluator for pods, services and claims, one that counts for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from apimachinery.api.quota import scopes
from apimachinery.api.quota.amounts import ONE, ZERO, Amounts, parse, pod_amounts, whole
from apimachinery.meta import times
from apimachinery.meta.pod_resources import pod_level
from apimachinery.meta.quantity import NANO, Quantity

Object = Mapping[str, Any]

_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_RESOURCES = frozenset(
    {"pods", *_COMPUTE, *(f"requests.{each}" for each in _COMPUTE), *(f"limits.{each}" for each in _COMPUTE)}
)
# What every container must say once a quota limits it: upstream regrets having begun with it.
_MUST_SPECIFY = frozenset(
    {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
)  # fmt: skip
_ALIASES = {
    ("", "configmaps"): "configmaps",
    ("", "resourcequotas"): "resourcequotas",
    ("", "replicationcontrollers"): "replicationcontrollers",
    ("", "secrets"): "secrets",
}
# Never stored, or (events) never limited.
IGNORED = frozenset(
    {("", "bindings"), ("", "componentstatuses"), ("", "events"), ("events.k8s.io", "events")}
    | {("authentication.k8s.io", each) for each in ("tokenreviews", "selfsubjectreviews")}
    | {
        ("authorization.k8s.io", f"{each}reviews")
        for each in ("subjectaccess", "localsubjectaccess", "selfsubjectaccess", "selfsubjectrules")
    }
)


def count_name(group: str, plural: str) -> str:
    """`count/pods`, `count/deployments.apps`."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


class Evaluator:
    """Counts the objects of a resource. operations: the ones that may change what is used."""

    operations: frozenset[str] = frozenset({"CREATE"})

    def __init__(self, group: str, plural: str) -> None:
        self.group, self.plural = group, plural
        self.count = count_name(group, plural)
        self._names = {self.count, _ALIASES.get((group, plural), self.count)}

    def usage(self, obj: Object, now: datetime) -> Amounts:
        """What the object uses. Raises ValueError for an unparsable quantity."""
        return dict.fromkeys(sorted(self._names), ONE)

    def resources(self, names: Iterable[str]) -> list[str]:
        """Which of a quota's resource names are about this resource."""
        return [name for name in names if name in self._names]

    def in_scope(self, selector: Object, obj: Object) -> bool:
        """Whether an object is in a scope of a quota."""
        return False

    def missing(self, required: Iterable[str], obj: Object) -> str:
        """What an object must say for the quota to apply, as upstream's sentence; "" when nothing is missing."""
        return ""

    def matches(self, quota: Object, obj: Object, hard: Iterable[str]) -> bool:
        """Whether a quota with those names in `hard` is about the object."""
        if not self.resources(hard):
            return False
        return all(self.in_scope(selector, obj) for selector in scopes.selectors(quota))


class Pods(Evaluator):
    """pkg/quota/v1/evaluator/core/pods.go"""

    def __init__(self) -> None:
        super().__init__("", "pods")

    def usage(self, obj: Object, now: datetime) -> Amounts:
        found = {self.count: ONE}
        if is_counted(obj, now):
            requests, limits = (pod_amounts(obj, section, overhead=True) for section in ("requests", "limits"))
            found |= _compute_usage(requests, limits)
        return found

    def resources(self, names: Iterable[str]) -> list[str]:
        return [
            name
            for name in names
            if name in _POD_RESOURCES
            or name == self.count
            or name.startswith(("hugepages-", "requests.hugepages-"))
            or (name.startswith("requests.") and _is_extended(name.removeprefix("requests.")))
        ]

    def in_scope(self, selector: Object, obj: Object) -> bool:
        return scopes.matches_pod(selector, obj)

    def missing(self, required: Iterable[str], obj: Object) -> str:
        wanted = _MUST_SPECIFY.intersection(required)
        found: dict[str, set[str]] = {}
        spec = obj.get("spec") or {}
        if any(pod_level(obj, section) for section in ("requests", "limits")):
            return ""  # its containers need not say anything then
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            said = _compute_usage(parse(resources.get("requests")), parse(resources.get("limits")))
            for name in wanted - said.keys():
                found.setdefault(name, set()).add(container["name"])
        if not found:
            return ""
        return "must specify " + "; ".join(f"{name} for: {','.join(sorted(found[name]))}" for name in sorted(found))


class Services(Evaluator):
    """pkg/quota/v1/evaluator/core/services.go"""

    operations = frozenset({"CREATE", "UPDATE"})

    def __init__(self) -> None:
        super().__init__("", "services")
        self._names = {self.count, "services", "services.nodeports", "services.loadbalancers"}

    def usage(self, obj: Object, now: datetime) -> Amounts:
        spec = obj.get("spec") or {}
        ports = spec.get("ports") or []
        found = {self.count: ONE, "services": ONE, "services.nodeports": ZERO, "services.loadbalancers": ZERO}
        if spec.get("type") == "NodePort":
            found["services.nodeports"] = whole(len(ports))
        elif spec.get("type") == "LoadBalancer":
            found["services.loadbalancers"] = ONE
            if spec.get("allocateLoadBalancerNodePorts") is False:
                ports = [port for port in ports if port.get("nodePort")]
            found["services.nodeports"] = whole(len(ports))
        return found


class Claims(Evaluator):
    """pkg/quota/v1/evaluator/core/persistent_volume_claims.go"""

    operations = frozenset({"CREATE", "UPDATE"})

    def __init__(self) -> None:
        super().__init__("", "persistentvolumeclaims")

    def usage(self, obj: Object, now: datetime) -> Amounts:
        found = {self.count: ONE, "persistentvolumeclaims": ONE}
        spec = obj.get("spec") or {}
        annotations = (obj.get("metadata") or {}).get("annotations") or {}
        storage_class = annotations.get(_CLASS_ANNOTATION, spec.get("storageClassName") or "")
        prefix = f"{storage_class}{_CLASS_SUFFIX}" if storage_class else ""
        if prefix:
            found[f"{prefix}persistentvolumeclaims"] = ONE
        asked = parse((spec.get("resources") or {}).get("requests")).get("storage")
        if asked is not None:
            # A claim that was grown, and shrunk again, still uses what was allocated.
            allocated = parse((obj.get("status") or {}).get("allocatedResources")).get("storage", ZERO)
            # Whole bytes: what a quota has used must be an integer.
            most = max(asked, allocated)
            found["requests.storage"] = Quantity(most.value * NANO, most.format)
            if prefix:
                found[f"{prefix}requests.storage"] = found["requests.storage"]
        return found

    def resources(self, names: Iterable[str]) -> list[str]:
        plain = ("persistentvolumeclaims", "requests.storage")
        return [
            name
            for name in names
            if name in (*plain, self.count) or name.endswith(tuple(_CLASS_SUFFIX + each for each in plain))
        ]


PODS, SERVICES, CLAIMS = Pods(), Services(), Claims()
_SPECIAL: dict[tuple[str, str], Evaluator] = {(each.group, each.plural): each for each in (PODS, SERVICES, CLAIMS)}


def evaluator(group: str, plural: str) -> Evaluator:
    """The evaluator of a resource."""
    return _SPECIAL.get((group, plural)) or Evaluator(group, plural)


def counted_resources(hard: Iterable[str]) -> set[tuple[str, str]]:
    """The groups and plurals of the resources that a quota with these names limits."""
    found = set()
    for name in hard:
        if name.startswith("count/"):
            plural, _, group = name.removeprefix("count/").partition(".")
            found.add((group, plural))
        elif ("", name) in _ALIASES:
            found.add(("", name))
        else:
            found |= {key for key, each in _SPECIAL.items() if each.resources([name])}
    return found


def is_counted(pod: Object, now: datetime) -> bool:
    """Whether a pod still uses anything: not ended, nor stuck beyond its grace period (QuotaV1Pod)."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    meta = pod.get("metadata") or {}
    grace = meta.get("deletionGracePeriodSeconds")
    if meta.get("deletionTimestamp") and grace is not None:
        return now <= times.parse(meta["deletionTimestamp"]) + timedelta(seconds=grace)
    return True


def _compute_usage(requests: Amounts, limits: Amounts) -> Amounts:
    found = {"pods": ONE}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            found[name] = found[f"requests.{name}"] = amount
        elif _is_extended(name):
            found[f"requests.{name}"] = amount
    for name in _COMPUTE:
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    return found


def _is_extended(name: str) -> bool:
    """Whether it is a resource of a domain that is not Kubernetes' own (IsExtendedResourceName)."""
    domain, slash, _ = name.partition("/")
    return bool(slash) and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io")
