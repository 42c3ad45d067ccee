"""Deployments, ReplicaSets, DaemonSets, StatefulSets, ReplicationControllers (pkg/apis/apps/validation)."""

from collections.abc import Sequence

from apimachinery.api.validation.checks import (
    Object,
    immutable,
    int_or_percent,
    label_selector,
    labels,
    nonnegative,
    not_above_100_percent,
    same,
    scaled,
    selector_is_empty,
    selector_matches,
)
from apimachinery.api.validation.go_values import go_int_or_string, go_labels, go_selector
from apimachinery.api.validation.metadata import annotations
from apimachinery.api.validation.pods import pod_template
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_REPLICA_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_OTHER_LABELS = "`selector` does not match template `labels`"


def deployment(obj: Object) -> list[Problem]:
    """A Deployment's spec."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    problems += _selector(spec, "deployment")
    problems += _template(spec.get("template"), spec.get("selector"), "ReplicaSet")
    problems += _deployment_strategy(spec.get("strategy") or {}, _SPEC.child("strategy"))
    problems += nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    problems += nonnegative(spec.get("revisionHistoryLimit"), _SPEC.child("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        where = _SPEC.child("progressDeadlineSeconds")
        problems += nonnegative(deadline, where)
        if deadline <= (spec.get("minReadySeconds") or 0):
            problems.append(invalid(where, deadline, "must be greater than minReadySeconds"))
    return problems


def replica_set(obj: Object) -> list[Problem]:
    """A ReplicaSet's spec."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    problems += nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    problems += _selector(spec, "deployment")
    return problems + _template(spec.get("template"), spec.get("selector"), "ReplicaSet")


def daemon_set(obj: Object) -> list[Problem]:
    """A DaemonSet's spec. Upstream misses its selector only where it matches nothing."""
    spec = obj.get("spec") or {}
    selector, path = spec.get("selector"), _SPEC.child("selector")
    problems = label_selector(selector, path)
    problems += _labels_match(spec.get("template"), selector)
    if selector is not None and selector_is_empty(selector):
        problems.append(invalid(path, go_selector(selector), "empty selector is invalid for daemonset"))
    problems += pod_template(spec.get("template"), _SPEC.child("template"))
    problems += _always_running(spec.get("template"), "DaemonSet")
    problems += nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    problems += _daemon_strategy(spec.get("updateStrategy") or {}, _SPEC.child("updateStrategy"))
    return problems + nonnegative(spec.get("revisionHistoryLimit"), _SPEC.child("revisionHistoryLimit"))


def _daemon_strategy(strategy: Object, path: Path) -> list[Problem]:
    rolling, where, kind = strategy.get("rollingUpdate"), path.child("rollingUpdate"), strategy.get("type", "")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        shown = _go_strategy("apps.DaemonSetUpdateStrategy", "apps.RollingUpdateDaemonSet", strategy)
        return [not_supported(path, shown, ("RollingUpdate", "OnDelete"))]
    if rolling is None:
        return [required(where)]
    problems: list[Problem] = []
    down, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for check in (int_or_percent, not_above_100_percent):
        problems += check(down, where.child("maxUnavailable")) + check(surge, where.child("maxSurge"))
    if scaled(down) and scaled(surge):
        text = "may not be set when maxUnavailable is non-zero"
        problems.append(invalid(where.child("maxSurge"), go_int_or_string(surge), text))
    elif not scaled(down) and not scaled(surge):
        problems.append(required(where.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
    return problems


def _go_strategy(kind: str, rolling: str, strategy: Object) -> Verbatim:
    pointer = "nil" if strategy.get("rollingUpdate") is None else "0xc000000000"
    return Verbatim(f'{kind}{{Type:"{strategy.get("type", "")}", RollingUpdate:(*{rolling})({pointer})}}')


def stateful_set(obj: Object) -> list[Problem]:
    """A StatefulSet's spec."""
    spec = obj.get("spec") or {}
    problems: list[Problem] = []
    policy = spec.get("podManagementPolicy", "")
    if not policy:
        problems.append(required(_SPEC.child("podManagementPolicy")))
    elif policy not in ("OrderedReady", "Parallel"):
        text = "must be 'OrderedReady' or 'Parallel'"
        problems.append(invalid(_SPEC.child("podManagementPolicy"), policy, text))
    strategy, path = spec.get("updateStrategy") or {}, _SPEC.child("updateStrategy")
    rolling, kind = strategy.get("rollingUpdate"), strategy.get("type", "")
    if not kind:
        problems.append(required(path))
    elif kind == "OnDelete":
        if rolling is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            problems.append(invalid(path.child("rollingUpdate"), rolling, text))
    elif kind == "RollingUpdate":
        where, down = path.child("rollingUpdate"), (rolling or {}).get("maxUnavailable")
        problems += nonnegative((rolling or {}).get("partition"), where.child("partition"))
        if down is not None:
            problems += int_or_percent(down, where.child("maxUnavailable"))
            if not scaled(down):
                problems.append(invalid(where.child("maxUnavailable"), go_int_or_string(down), "cannot be 0"))
            problems += not_above_100_percent(down, where.child("maxUnavailable"))
    else:
        problems.append(invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name, value in retention.items():
        if value not in ("Delete", "Retain"):
            where = _SPEC.child("persistentVolumeClaimRetentionPolicy").child(name)
            problems.append(not_supported(where, value, ("Retain", "Delete")))
    for name in ("replicas", "minReadySeconds"):
        problems += nonnegative(spec.get(name), _SPEC.child(name))
    problems += nonnegative((spec.get("ordinals") or {}).get("start"), _SPEC.child("ordinals").child("start"))
    problems += _selector(spec, "statefulset")
    problems += _labels_match(spec.get("template"), spec.get("selector"))
    # Upstream leaves the pods themselves to be refused when they are made: claims are not in the template yet.
    template, path = spec.get("template") or {}, _SPEC.child("template")
    meta = template.get("metadata") or {}
    problems += labels(meta.get("labels"), path.child("labels"))
    problems += annotations(meta.get("annotations"), path.child("annotations"))
    return problems + _always_running(template, "StatefulSet")


def replication_controller(obj: Object) -> list[Problem]:
    """A ReplicationController's spec; its selector is a plain map."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    selector, template = spec.get("selector") or {}, spec.get("template")
    if not selector:
        problems.append(required(_SPEC.child("selector")))
    problems += nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    return problems + _template(template, {"matchLabels": selector}, "ReplicationController")


_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def stateful_set_update(new: Object, old: Object) -> list[Problem]:
    """An update of a StatefulSet: only the fields above."""
    after, before = (
        {name: value for name, value in (obj.get("spec") or {}).items() if name not in _STATEFUL_MUTABLE}
        for obj in (new, old)
    )
    if same(after, before):
        return []
    text = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [forbidden(_SPEC, text)]


def selector_update(new: Object, old: Object) -> list[Problem]:
    """The selector of a Deployment, ReplicaSet or DaemonSet is fixed."""
    selector = (new.get("spec") or {}).get("selector") or {}
    before = (old.get("spec") or {}).get("selector") or {}
    return immutable(selector, before, _SPEC.child("selector"), go_selector(selector))


def replicas_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a Deployment's status: not negative, parts not above the whole."""
    return _replicas_status(new, old, ("updated", "ready", "available"), "readyReplicas")


def replica_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a ReplicaSet's or a ReplicationController's status."""
    status = new.get("status") or {}
    ordered = {name: status[name] for name in _REPLICA_COUNTS if name in status}
    return _replicas_status({"status": ordered}, {}, ("fullyLabeled", "ready", "available"), "readyReplicas")


def stateful_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a StatefulSet's status."""
    return _replicas_status(new, old, ("ready", "current", "updated", "available"), "status.readyReplicas")


def _replicas_status(new: Object, old: Object, parts: Sequence[str], ready: str) -> list[Problem]:
    status, path = new.get("status") or {}, Path("status")
    problems = _counts(status, path)
    total = status.get("replicas") or 0
    for name in (f"{part}Replicas" for part in parts):
        value = status.get(name) or 0
        if value > total:
            problems.append(invalid(path.child(name), value, "cannot be greater than status.replicas"))
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        problems.append(invalid(path.child("availableReplicas"), available, f"cannot be greater than {ready}"))
    return problems + _collisions(status, old, path)


def daemon_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a DaemonSet's status."""
    status, path = new.get("status") or {}, Path("status")
    return _counts(status, path) + _collisions(status, old, path)


def _counts(status: Object, path: Path) -> list[Problem]:
    return [
        problem
        for name, value in status.items()
        if isinstance(value, int) and not isinstance(value, bool)
        for problem in nonnegative(value, path.child(name))
    ]


def _collisions(status: Object, old: Object, path: Path) -> list[Problem]:
    before, count = (old.get("status") or {}).get("collisionCount"), status.get("collisionCount") or 0
    if before is None or count >= before:
        return []
    return [invalid(path.child("collisionCount"), count, "cannot be decremented")]


def _selector(spec: Object, word: str) -> list[Problem]:
    selector, path = spec.get("selector"), _SPEC.child("selector")
    if selector is None:
        return [required(path)]
    problems = label_selector(selector, path)
    if selector_is_empty(selector):
        problems.append(invalid(path, go_selector(selector), f"empty selector is invalid for {word}"))
    return problems


def _labels_match(template: Object | None, selector: Object | None) -> list[Problem]:
    own = ((template or {}).get("metadata") or {}).get("labels")
    # A selector that is absent selects nothing, an empty one everything; one that cannot be read was named already.
    if selector_matches(selector, own or {}) is not False:
        return []
    return [invalid(_SPEC.child("template", "metadata", "labels"), go_labels(own), _OTHER_LABELS)]


def _template(template: Object | None, selector: Object | None, kind: str) -> list[Problem]:
    path = _SPEC.child("template")
    if template is None:
        return [required(path)]
    return _labels_match(template, selector) + pod_template(template, path) + _always_running(template, kind)


def _always_running(template: Object | None, kind: str) -> list[Problem]:
    path, pod = _SPEC.child("template", "spec"), (template or {}).get("spec") or {}
    problems: list[Problem] = []
    if pod.get("restartPolicy") != "Always":
        problems.append(not_supported(path.child("restartPolicy"), pod.get("restartPolicy", ""), ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        problems.append(forbidden(path.child("activeDeadlineSeconds"), text))
    return problems


def _deployment_strategy(strategy: Object, path: Path) -> list[Problem]:
    rolling, where, kind = strategy.get("rollingUpdate"), path.child("rollingUpdate"), strategy.get("type", "")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden(where, text)]
    if kind != "RollingUpdate":
        shown = _go_strategy("apps.DeploymentStrategy", "apps.RollingUpdateDeployment", strategy)
        return [not_supported(path, shown, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(where, "this should be defaulted and never be nil")]
    down, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    problems = int_or_percent(down, where.child("maxUnavailable"))
    problems += int_or_percent(surge, where.child("maxSurge"))
    if not scaled(down) and not scaled(surge):
        text = "may not be 0 when `maxSurge` is 0"
        problems.append(invalid(where.child("maxUnavailable"), go_int_or_string(down), text))
    return problems + not_above_100_percent(down, where.child("maxUnavailable"))
