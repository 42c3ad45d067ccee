"""Defaults of the small kinds: Namespace, Node, Secret, quotas and limits, RBAC bindings, classes of pods."""

from apimachinery.api.defaults.fill import Object, agree, items, part, round_up, when_absent, when_empty

_RBAC = "rbac.authorization.k8s.io"


def namespace(obj: Object) -> None:
    """A Namespace: its name as a label, active."""
    metadata = part(obj, "metadata")
    if name := metadata.get("name"):
        part(metadata, "labels")["kubernetes.io/metadata.name"] = name
    when_empty(part(obj, "status"), phase="Active")


def node(obj: Object) -> None:
    """A Node: all of its capacity can be allocated unless it says otherwise; its subnets in both fields."""
    status = part(obj, "status")
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    round_up(status, "capacity", "allocatable")
    agree(obj.get("spec"), "podCIDR", "podCIDRs")


def secret(obj: Object) -> None:
    """A Secret: opaque."""
    when_empty(obj, type="Opaque")


def limit_range(obj: Object) -> None:
    """A LimitRange: for containers, the default limit is the maximum, the default request the limit or the minimum."""
    for item in items(part(obj, "spec"), "limits"):
        round_up(item, "max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
        if item.get("type") != "Container":
            continue
        limits, requests = dict(item.get("default") or {}), dict(item.get("defaultRequest") or {})
        for name, amount in (item.get("max") or {}).items():
            limits.setdefault(name, amount)
        for amounts in (limits, item.get("min") or {}):
            for name, amount in amounts.items():
                requests.setdefault(name, amount)
        for field, amounts in (("default", limits), ("defaultRequest", requests)):
            if amounts:
                item[field] = amounts


def resource_quota(obj: Object) -> None:
    """A ResourceQuota: amounts."""
    round_up(obj.get("spec"), "hard")
    round_up(obj.get("status"), "hard", "used")


def role_binding(obj: Object) -> None:
    """A RoleBinding or ClusterRoleBinding: users and groups are of RBAC's group."""
    when_empty(obj.setdefault("roleRef", {}), apiGroup=_RBAC)
    for subject in items(obj, "subjects"):
        if subject.get("kind") in ("User", "Group"):
            when_empty(subject, apiGroup=_RBAC)


def priority_class(obj: Object) -> None:
    """A PriorityClass: may preempt."""
    when_absent(obj, preemptionPolicy="PreemptLowerPriority")


def runtime_class(obj: Object) -> None:
    """A RuntimeClass: amounts."""
    round_up(obj.get("overhead"), "podFixed")


def token_request(obj: Object) -> None:
    """A TokenRequest: an hour."""
    when_absent(part(obj, "spec"), expirationSeconds=3600)
