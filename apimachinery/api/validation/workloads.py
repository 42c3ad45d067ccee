"""Deployments, ReplicaSets, DaemonSets, StatefulSets, ReplicationControllers (pkg/apis/apps/validation)."""

from apimachinery.api.validation.checks import (
    Object,
    immutable,
    int_or_percent,
    label_selector,
    nonnegative,
    not_above_100_percent,
    same,
    scaled,
    selector_is_empty,
    selector_matches,
)
from apimachinery.api.validation.go_values import go_labels, go_selector
from apimachinery.api.validation.pods import pod_template
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_OTHER_LABELS = "`selector` does not match template `labels`"


def deployment(obj: Object) -> list[Problem]:
    """A Deployment's spec."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    problems += _selector_and_template(spec, "deployment", "ReplicaSet")
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
    return problems + _selector_and_template(spec, "deployment", "ReplicaSet")


def daemon_set(obj: Object) -> list[Problem]:
    """A DaemonSet's spec."""
    spec = obj.get("spec") or {}
    problems = _selector_and_template(spec, "daemonset", "DaemonSet")
    problems += nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    problems += nonnegative(spec.get("revisionHistoryLimit"), _SPEC.child("revisionHistoryLimit"))
    strategy, path = spec.get("updateStrategy") or {}, _SPEC.child("updateStrategy")
    kind = strategy.get("type", "")
    if kind == "RollingUpdate":
        rolling, where = strategy.get("rollingUpdate"), path.child("rollingUpdate")
        if rolling is None:
            return [*problems, required(where)]
        down, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        for name, value in (("maxUnavailable", down), ("maxSurge", surge)):
            problems += int_or_percent(value, where.child(name))
            problems += not_above_100_percent(value, where.child(name))
        if scaled(down) and scaled(surge):
            problems.append(invalid(where.child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero"))
        elif not scaled(down) and not scaled(surge):
            problems.append(required(where.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
    elif kind != "OnDelete":
        problems.append(not_supported(path.child("type"), kind, ("RollingUpdate", "OnDelete")))
    return problems


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
        partition = (rolling or {}).get("partition")
        problems += nonnegative(partition, path.child("rollingUpdate").child("partition"))
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
    return problems + _selector_and_template(_with_claims(spec), "statefulset", "StatefulSet")


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
    """The counts of a workload's status: not negative, parts not above the whole."""
    status, path = new.get("status") or {}, Path("status")
    problems: list[Problem] = []
    for name, value in status.items():
        if isinstance(value, int) and not isinstance(value, bool):
            problems += nonnegative(value, path.child(name))
    total = status.get("replicas") or 0
    for name in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas"):
        value = status.get(name) or 0
        if value > total:
            problems.append(invalid(path.child(name), value, "cannot be greater than status.replicas"))
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        problems.append(invalid(path.child("availableReplicas"), available, "cannot be greater than readyReplicas"))
    before = (old.get("status") or {}).get("collisionCount")
    if before is not None and (status.get("collisionCount") or 0) < before:
        count = status.get("collisionCount") or 0
        problems.append(invalid(path.child("collisionCount"), count, "cannot be decremented"))
    return problems


def daemon_set_status(new: Object, old: Object) -> list[Problem]:
    """The counts of a DaemonSet's status."""
    path = Path("status")
    return [
        problem
        for name, value in (new.get("status") or {}).items()
        if isinstance(value, int) and not isinstance(value, bool)
        for problem in nonnegative(value, path.child(name))
    ]


def _selector_and_template(spec: Object, word: str, kind: str) -> list[Problem]:
    selector, path = spec.get("selector"), _SPEC.child("selector")
    if selector is None:
        problems = [required(path)]
    else:
        problems = label_selector(selector, path)
        if selector_is_empty(selector):
            problems.append(invalid(path, go_selector(selector), f"empty selector is invalid for {word}"))
    return problems + _template(spec.get("template"), selector, kind)


def _template(template: Object | None, selector: Object | None, kind: str) -> list[Problem]:
    path = _SPEC.child("template")
    if template is None:
        return [required(path)]
    problems: list[Problem] = []
    own = (template.get("metadata") or {}).get("labels")
    # A selector that is absent selects nothing, an empty one everything; one that cannot be read was named already.
    if selector_matches(selector, own or {}) is False:
        problems.append(invalid(path.child("metadata", "labels"), go_labels(own), _OTHER_LABELS))
    problems += pod_template(template, path)
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        where = path.child("spec", "restartPolicy")
        problems.append(not_supported(where, pod.get("restartPolicy", ""), ("Always",)))
    if pod.get("activeDeadlineSeconds") is not None:
        where = path.child("spec", "activeDeadlineSeconds")
        if kind in ("ReplicaSet", "ReplicationController"):
            problems.append(forbidden(where, f"activeDeadlineSeconds in {kind} is not Supported"))
        else:
            problems.append(invalid(where, pod["activeDeadlineSeconds"], "must not be specified"))
    return problems


def _deployment_strategy(strategy: Object, path: Path) -> list[Problem]:
    rolling, where, kind = strategy.get("rollingUpdate"), path.child("rollingUpdate"), strategy.get("type", "")
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden(where, text)]
    if kind != "RollingUpdate":
        return [not_supported(path.child("type"), kind, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(where, "this should be defaulted and never be nil")]
    down, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    problems = int_or_percent(down, where.child("maxUnavailable"))
    problems += int_or_percent(surge, where.child("maxSurge"))
    if not scaled(down) and not scaled(surge):
        problems.append(invalid(where.child("maxUnavailable"), down, "may not be 0 when `maxSurge` is 0"))
    return problems + not_above_100_percent(down, where.child("maxUnavailable"))


def _with_claims(spec: Object) -> Object:
    """The spec with a volume for each claim template, since the template's mounts may name them."""
    template = spec.get("template")
    claims = [(claim.get("metadata") or {}).get("name", "") for claim in spec.get("volumeClaimTemplates") or ()]
    if not template or not claims:
        return spec
    pod = template.get("spec") or {}
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
    made = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": [*own, *made]}}}
