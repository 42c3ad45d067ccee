"""How many replicas a metric asks for. Pure (pkg/controller/podautoscaler/replica_calculator.go).

Amounts are thousandths. Pods without a sample count against the direction of the change, so that a gap in the metrics
never makes it larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from apimachinery.meta import objects, pods, quantity, times

Object = dict[str, Any]

_MOST = 2**31 - 1  # replicas are an int32


@dataclass(frozen=True, slots=True)
class Caution:
    """What samples must be for a change (--horizontal-pod-autoscaler-tolerance, -cpu-initialization-period,
    -initial-readiness-delay). tolerance: a ratio of usage to target this near to one changes nothing. Seconds."""

    tolerance: float = 0.1
    cpu_initialization: float = 300.0
    readiness_delay: float = 30.0

    def allows(self, ratio: float) -> bool:
        """Whether usage is so far from its target that something has to change."""
        return abs(1.0 - ratio) > self.tolerance


USUAL = Caution()


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod used (thousandths), when, and over how many seconds that was measured."""

    value: int
    at: datetime
    window: float = 60.0


@dataclass(slots=True)
class Groups:
    """Pods by what their samples are worth; names."""

    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Proposal:
    """replicas asked for; value: mean usage in thousandths; utilization: percent of the requests, or None."""

    replicas: int
    value: int
    utilization: int | None = None


def group_pods(
    targets: Sequence[Object], samples: Mapping[str, Sample], resource: str, now: datetime, caution: Caution = USUAL
) -> Groups:
    """Sort the pods: being deleted or failed, not started or just starting (CPU only), without a sample, ready."""
    found = Groups()
    for pod in targets:
        name = objects.name(pod)
        if objects.is_deleting(pod) or pods.phase(pod) == "Failed":
            found.ignored.add(name)
        elif pods.phase(pod) == "Pending":
            found.unready.add(name)
        elif name not in samples:
            found.missing.add(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], now, caution):
            found.unready.add(name)
        else:
            found.ready += 1
    return found


def _is_starting(pod: Object, sample: Sample, now: datetime, caution: Caution) -> bool:
    condition, started = pods.condition(pod, "Ready"), (pod.get("status") or {}).get("startTime")
    if condition is None or not started or not condition.get("lastTransitionTime"):
        return True
    start, changed = times.parse(started), times.parse(condition["lastTransitionTime"])
    if start + timedelta(seconds=caution.cpu_initialization) > now:
        return condition["status"] == "False" or sample.at < changed + timedelta(seconds=sample.window)
    # Not ready, and never was.
    return condition["status"] == "False" and start + timedelta(seconds=caution.readiness_delay) > changed


def compute_requests(targets: Sequence[Object], resource: str, container: str) -> dict[str, int]:
    """What each pod (or its one container) requests, in thousandths. Raises ValueError for a pod that does not say."""
    found = {}
    for pod in targets:
        spec, total, seen = pod.get("spec") or {}, 0, False
        sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
        for each in (*(spec.get("containers") or ()), *sidecars):
            if container and each["name"] != container:
                continue
            seen = True
            asked = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if asked is None:
                message = f"missing request for {resource} in container {each['name']} of Pod {objects.name(pod)}"
                raise ValueError(message)
            total += quantity.milli(asked)
        if container and not seen:
            raise ValueError(f"container {container} not found in Pod {objects.name(pod)}")
        found[objects.name(pod)] = total
    return found


def propose(
    targets: Sequence[Object],
    samples: Mapping[str, Sample],
    resource: str,
    current: int,
    now: datetime,
    *,
    container: str = "",
    utilization: int | None = None,
    average: int | None = None,
    caution: Caution = USUAL,
) -> Proposal:
    """Return what one metric asks for. utilization: target in percent of the requests; average: in thousandths a pod.

    Raises ValueError when that cannot be told.
    """
    if not targets:
        raise ValueError("no pods returned by selector while calculating replica count")
    groups = group_pods(targets, samples, resource, now, caution)
    values = {name: each.value for name, each in samples.items() if name not in groups.unready | groups.ignored}
    requests = compute_requests(targets, resource, container) if utilization is not None else {}
    if not values:
        raise ValueError("did not receive metrics for targeted pods (pods might be unready)")

    def measure() -> tuple[float, Proposal]:
        if utilization is None:
            assert average is not None
            mean = sum(values.values()) // len(values)
            return mean / average, Proposal(current, mean)
        known = [name for name in values if name in requests]
        total = sum(requests[name] for name in known)
        if not total:
            raise ValueError("no metrics returned matched known pods")
        used = sum(values[name] for name in known)
        percent = used * 100 // total
        return percent / utilization, Proposal(current, used // len(known), percent)

    ratio, found = measure()
    unready = groups.unready if ratio > 1.0 else set()
    if not unready and not groups.missing:
        if not caution.allows(ratio):
            return found
        return Proposal(_bounded(ratio * groups.ready), found.value, found.utilization)
    for name in groups.missing:
        if ratio < 1.0:
            values[name] = requests[name] * max(100, utilization) // 100 if utilization is not None else average or 0
        elif ratio > 1.0 or utilization is None:
            values[name] = 0
    values |= dict.fromkeys(unready, 0)
    again, _ = measure()
    if not caution.allows(again) or (ratio < 1.0 < again) or (ratio > 1.0 > again):
        return found
    replicas = ceil(again * len(values))
    if (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current):
        return found
    return Proposal(replicas, found.value, found.utilization)


def propose_by_total(
    usage: int, goal: int, current: int, targets: Sequence[Object], caution: Caution = USUAL
) -> Proposal:
    """Return what a total asks for that is to be `goal`: as many times the ready pods. Raises ValueError."""
    ratio = usage / goal
    if current == 0:
        return Proposal(_bounded(ratio), usage)
    if not caution.allows(ratio):
        return Proposal(current, usage)
    if not targets:
        raise ValueError("unable to calculate ready pods: no pods returned by selector while calculating replica count")
    ready = sum(pods.phase(pod) == "Running" and pods.is_ready(pod) for pod in targets)
    return Proposal(_bounded(ratio * ready), usage)


def propose_per_replica(usage: int, goal: int, running: int, caution: Caution = USUAL) -> Proposal:
    """Return what a total asks for that is to be `goal` for each replica."""
    replicas = running
    if not running or caution.allows(usage / (goal * running)):
        replicas = _bounded(usage / goal)
    return Proposal(replicas, ceil(usage / running) if running else 0)


def _bounded(replicas: float) -> int:
    return ceil(min(replicas, _MOST))


def read_custom_samples(listed: Object) -> dict[str, Sample]:
    """Read a MetricValueList about pods (custom.metrics.k8s.io v1beta1 and v1beta2). Raises ValueError."""
    found = {}
    for each in listed.get("items") or ():
        seconds = each.get("windowSeconds")
        window = float(seconds) if seconds is not None else 60.0
        at = times.parse(each["timestamp"])
        found[each["describedObject"]["name"]] = Sample(quantity.milli(each["value"]), at, window)
    return found


def read_samples(listed: Object, resource: str, container: str) -> dict[str, Sample]:
    """Read a PodMetricsList: each pod's sum, or its one container's; pods that lack a part are left out. Raises
    ValueError for a pod without that container."""
    found = {}
    for each in listed.get("items") or ():
        parts = [part for part in each.get("containers") or () if not container or part["name"] == container]
        if container and not parts:
            raise ValueError(f"container {container} not present in metrics for pod {objects.key(each)}")
        usages = [part["usage"][resource] for part in parts if resource in (part.get("usage") or {})]
        if not usages or len(usages) < len(parts):
            continue
        total = sum(quantity.milli(usage) for usage in usages)
        window = times.parse_duration(each.get("window") or "60s")
        found[objects.name(each)] = Sample(total, times.parse(each["timestamp"]), window)
    return found
