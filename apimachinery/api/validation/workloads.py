"""What the specs of Deployments, ReplicaSets, DaemonSets, StatefulSets and ReplicationControllers are refused for
(pkg/apis/apps/validation)."""

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
from apimachinery.api.validation.go_values import go_int_or_string, go_labels, go_pointer, go_selector
from apimachinery.api.validation.metadata import annotations
from apimachinery.api.validation.pod_annotations import pod_annotations
from apimachinery.api.validation.pods import pod_template
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required

_SPEC = Path("spec")


def deployment(obj: Object) -> list[Problem]:
    """A Deployment's spec."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    problems += _selector_and_template(spec)
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
    return problems + _selector_and_template(spec)


def daemon_set(obj: Object) -> list[Problem]:
    """A DaemonSet's spec. Upstream misses its selector only where it matches nothing."""
    spec = obj.get("spec") or {}
    selector, path = spec.get("selector"), _SPEC.child("selector")
    problems = label_selector(selector, path)
    # A selector that is absent selects nothing, an empty one everything; one that cannot be read was named already.
    if selector_matches(selector, _labels_of(spec.get("template"))) is False:
        problems.append(_other_labels(spec.get("template")))
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
    shown = go_pointer(rolling, strategy.get("rollingUpdate"))
    return Verbatim(f'{kind}{{Type:"{strategy.get("type", "")}", RollingUpdate:{shown}}}')


def _go_partition(rolling: Object) -> Verbatim:
    return Verbatim(
        f"apps.RollingUpdateStatefulSetStrategy{{Partition:{rolling.get('partition') or 0}, "
        f"MaxUnavailable:{go_pointer('intstr.IntOrString', rolling.get('maxUnavailable'))}}}"
    )


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
            problems.append(invalid(path.child("rollingUpdate"), _go_partition(rolling), text))
    elif kind == "RollingUpdate":
        where, down = path.child("rollingUpdate"), (rolling or {}).get("maxUnavailable")
        problems += nonnegative((rolling or {}).get("partition"), where.child("partition"))
        if down is not None:
            problems += int_or_percent(down, where.child("maxUnavailable"))
            if not scaled(down):
                problems.append(invalid(where.child("maxUnavailable"), go_int_or_string(down), "cannot be 0"))
            problems += not_above_100_percent(down, where.child("maxUnavailable"))
    else:
        shown = _go_strategy("apps.StatefulSetUpdateStrategy", "apps.RollingUpdateStatefulSetStrategy", strategy)
        problems.append(invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy")
    for name in ("whenDeleted", "whenScaled") if retention is not None else ():
        value = (retention or {}).get(name, "")
        if value not in ("Delete", "Retain"):
            where = _SPEC.child("persistentVolumeClaimRetentionPolicy").child(name)
            problems.append(not_supported(where, value, ("Retain", "Delete")))
    for name in ("replicas", "minReadySeconds"):
        problems += nonnegative(spec.get(name), _SPEC.child(name))
    problems += nonnegative((spec.get("ordinals") or {}).get("start"), _SPEC.child("ordinals").child("start"))
    problems += _selector(spec, "statefulset")
    template, selector = spec.get("template") or {}, spec.get("selector")
    if (matches := selector_matches(selector, _labels_of(template))) is None:
        problems.append(invalid(_SPEC.child("selector"), go_selector(selector or {}), ""))
    else:
        # Upstream leaves the pods themselves to be refused when they are made: claims are not in the template yet.
        if not matches:
            problems.append(_other_labels(template))
        meta, path = template.get("metadata") or {}, _SPEC.child("template")
        problems += labels(meta.get("labels"), path.child("labels"))
        problems += annotations(meta.get("annotations"), path.child("annotations"))
        problems += pod_annotations(template, path.child("annotations"))
    return problems + _always_running(template, "StatefulSet")


def replication_controller(obj: Object) -> list[Problem]:
    """A ReplicationController's spec; its selector is a plain map."""
    spec = obj.get("spec") or {}
    problems = nonnegative(spec.get("minReadySeconds"), _SPEC.child("minReadySeconds"))
    selector, template = spec.get("selector") or {}, spec.get("template")
    if not selector:
        problems.append(required(_SPEC.child("selector")))
    problems += nonnegative(spec.get("replicas"), _SPEC.child("replicas"))
    if template is None:
        return [*problems, required(_SPEC.child("template"))]
    # What is wrong with the selector's own labels is not asked: upstream says that the template's are others.
    own = _labels_of(template)
    if any(own.get(key) != value for key, value in selector.items()):
        problems.append(_other_labels(template))
    return (
        problems + pod_template(template, _SPEC.child("template")) + _always_running(template, "ReplicationController")
    )


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
    selector, before = ((each.get("spec") or {}).get("selector") for each in (new, old))
    shown = None if selector is None else go_selector(selector)
    return immutable(selector, before, _SPEC.child("selector"), shown)


def _selector(spec: Object, word: str) -> list[Problem]:
    selector, path = spec.get("selector"), _SPEC.child("selector")
    if selector is None:
        return [required(path)]
    problems = label_selector(selector, path)
    if selector_is_empty(selector):
        problems.append(invalid(path, go_selector(selector), f"empty selector is invalid for {word}"))
    return problems


def _selector_and_template(spec: Object) -> list[Problem]:
    """Of a Deployment or a ReplicaSet: a template is looked at only beside a selector that can be read."""
    problems, selector, template = _selector(spec, "deployment"), spec.get("selector"), spec.get("template")
    if (matches := selector_matches(selector, _labels_of(template))) is None:
        shown = go_selector(selector or {})
        return [*problems, invalid(_SPEC.child("selector"), shown, "invalid label selector")]
    if not matches:
        problems.append(_other_labels(template))
    problems += pod_template(template, _SPEC.child("template"))
    return problems + _always_running(template, "ReplicaSet")


def _labels_of(template: Object | None) -> Object:
    return ((template or {}).get("metadata") or {}).get("labels") or {}


def _other_labels(template: Object | None) -> Problem:
    # None as it is: Go shows labels that are absent otherwise than none.
    own = ((template or {}).get("metadata") or {}).get("labels")
    text = "`selector` does not match template `labels`"
    return invalid(_SPEC.child("template", "metadata", "labels"), go_labels(own), text)


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
