"""The FlowSchemas and PriorityLevelConfigurations that every cluster has (apiserver/pkg/apis/flowcontrol/bootstrap)."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
EXEMPT, CATCH_ALL = "exempt", "catch-all"
MANDATORY = frozenset({EXEMPT, CATCH_ALL})
_DEEP = 50  # requests a queue holds

# name → (shares, lendable percent, (queues, hand size)); no queues: what cannot run at once is refused.
_LEVELS: dict[str, tuple[int, int, tuple[int, int] | None]] = {
    CATCH_ALL: (5, 0, None),
    "system": (30, 33, (64, 6)),
    "node-high": (40, 25, (64, 6)),
    "leader-election": (10, 0, (16, 4)),
    "workload-high": (40, 50, (128, 6)),
    "workload-low": (100, 90, (128, 6)),
    "global-default": (20, 50, (128, 6)),
}
_EVERYONE = ("Group:system:unauthenticated", "Group:system:authenticated")
_MANAGER, _SCHEDULER = "User:system:kube-controller-manager", "User:system:kube-scheduler"
_ACCOUNTS = "ServiceAccount:kube-system:*"
_ALL = ("* * *! and-paths",)
_ELECTION = "get,create,update coordination.k8s.io leases"

# name → (level, precedence, distinguisher, subjects, rules). A rule reads `verbs groups resources`, with "!" at its end
# when it is about the cluster scope too, and a word after that when it is about every path; one with a slash is about
# those paths.
_SCHEMAS: dict[str, tuple[str, int, str, tuple[str, ...], tuple[str, ...]]] = {
    EXEMPT: (EXEMPT, 1, "", ("Group:system:masters",), _ALL),
    "probes": (EXEMPT, 2, "", _EVERYONE, ("get /healthz,/readyz,/livez",)),
    "system-leader-election": ("leader-election", 100, "ByUser", (_MANAGER, _SCHEDULER, _ACCOUNTS), (_ELECTION,)),
    "endpoint-controller": (
        "workload-high",
        150,
        "ByUser",
        (
            _MANAGER,
            "ServiceAccount:kube-system:endpoint-controller",
            "ServiceAccount:kube-system:endpointslicemirroring-controller",
        ),
        ("get,create,update core endpoints",),
    ),
    "workload-leader-election": (
        "leader-election",
        200,
        "ByUser",
        (_ACCOUNTS,),
        ("get,create,update core endpoints,configmaps", _ELECTION),
    ),
    "system-node-high": (
        "node-high",
        400,
        "ByUser",
        ("Group:system:nodes",),
        ("* core nodes,nodes/status!", "* coordination.k8s.io leases"),
    ),
    "system-nodes": ("system", 500, "ByUser", ("Group:system:nodes",), _ALL),
    "kube-controller-manager": ("workload-high", 800, "ByNamespace", (_MANAGER,), _ALL),
    "kube-scheduler": ("workload-high", 800, "ByNamespace", (_SCHEDULER,), _ALL),
    "kube-system-service-accounts": ("workload-high", 900, "ByNamespace", (_ACCOUNTS,), _ALL),
    "service-accounts": ("workload-low", 9000, "ByUser", ("Group:system:serviceaccounts",), _ALL),
    "global-default": ("global-default", 9900, "ByUser", _EVERYONE, _ALL),
    CATCH_ALL: (CATCH_ALL, 10000, "ByUser", _EVERYONE, _ALL),
}


def priority_levels() -> list[Object]:
    """Every default PriorityLevelConfiguration, as it is created."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    made = [_object("PriorityLevelConfiguration", EXEMPT, exempt)]
    for name, (shares, lendable, queues) in _LEVELS.items():
        response: Object = {"type": "Reject"}
        if queues is not None:
            queuing = {"queues": queues[0], "handSize": queues[1], "queueLengthLimit": _DEEP}
            response = {"type": "Queue", "queuing": queuing}
        limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
        made.append(_object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited}))
    return made


def flow_schemas() -> list[Object]:
    """Every default FlowSchema, as it is created."""
    made = []
    for name, (level, precedence, method, subjects, rules) in _SCHEMAS.items():
        about: Object = {"subjects": [_subject(each) for each in subjects]}
        for text in rules:
            for kind, rule in _rules(text):
                about.setdefault(kind, []).append(rule)
        spec: Object = {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "rules": [about],
        }
        if method:
            spec["distinguisherMethod"] = {"type": method}
        made.append(_object("FlowSchema", name, spec))
    return made


def dangling(level: str, exists: bool, now: str) -> Object:
    """The condition that says whether a FlowSchema's level exists. now: RFC 3339."""
    about = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    return {
        "type": "Dangling",
        "status": "False" if exists else "True",
        "lastTransitionTime": now,
        "reason": "Found" if exists else "NotFound",
        "message": f"{about} and it exists" if exists else f"{about} but there is no such object",
    }


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _subject(text: str) -> Object:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "serviceAccount": {"namespace": namespace, "name": name}}
    return {"kind": kind, kind.lower(): {"name": name}}


def _rules(text: str) -> list[tuple[str, Object]]:
    verbs, where, *rest = text.split()
    asked = verbs.split(",")
    if where.startswith("/"):
        return [("nonResourceRules", {"verbs": asked, "nonResourceURLs": where.split(",")})]
    cluster = rest[0].endswith("!")
    rule: Object = {
        "verbs": asked,
        "apiGroups": ["" if group == "core" else group for group in where.split(",")],
        "resources": rest[0].removesuffix("!").split(","),
        "namespaces": ["*"],
    }
    if cluster:
        rule["clusterScope"] = True
    found: list[tuple[str, Object]] = [("resourceRules", rule)]
    if len(rest) > 1:  # and every path
        found.append(("nonResourceRules", {"verbs": asked, "nonResourceURLs": ["*"]}))
    return found
