"""Autoscalers: what metrics ask for, and how fast they get it (upstream's replica_calculator and horizontal tests)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from controlplane.controllers.discovery import ServedKinds
from controlplane.controllers.hpa_behavior import History, limit, stabilize
from controlplane.controllers.hpa_metrics import MetricsApis
from controlplane.controllers.hpa_replicas import (
    Caution,
    Proposal,
    Sample,
    propose,
    propose_by_total,
    propose_per_replica,
    read_custom_samples,
    read_samples,
)
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, ago, pod

Object = dict[str, Any]


def target(name: str, *, request: str | None = "1", ready: bool = True, age: float = 1000, **of: Any) -> Object:
    found = pod(name, ready=ready, ready_for=of.pop("ready_for", 900), **of)
    found["status"]["startTime"] = ago(age)
    if request is not None:
        found["spec"]["containers"][0]["resources"] = {"requests": {"cpu": request}}
    return found


def samples(*values: int) -> dict[str, Sample]:
    return {f"p{number}": Sample(value, NOW) for number, value in enumerate(values)}


def targets(count: int, **of: Any) -> list[Object]:
    return [target(f"p{number}", **of) for number in range(count)]


def asked(
    of: list[Object], values: dict[str, Sample], utilization: int = 30, *, current: int | None = None
) -> Proposal:
    return propose(of, values, "cpu", len(of) if current is None else current, NOW, utilization=utilization)


@pytest.mark.parametrize(
    ("values", "utilization", "replicas", "percent"),
    [
        ((300, 500, 700), 30, 5, 50),
        ((100, 300, 500, 250, 250), 50, 3, 28),
        ((1010, 1030, 1020), 100, 3, 102),
        ((1090, 1090), 100, 2, 109),
        ((1110, 1110), 100, 3, 111),
        ((0, 0), 50, 0, 0),
    ],
)
def test_utilization(values: tuple[int, ...], utilization: int, replicas: int, percent: int) -> None:
    found = asked(targets(len(values)), samples(*values), utilization)
    assert (found.replicas, found.utilization) == (replicas, percent)


def test_average_values() -> None:
    found = propose(targets(2, request=None), samples(400, 800), "cpu", 2, NOW, average=200)
    assert found == Proposal(6, 600)


def test_missing_samples_slow_the_change() -> None:
    """Upwards they count as idle, downwards as busy; never do they turn the direction."""
    assert asked(targets(4), samples(600, 600, 600), 30).replicas == 6
    assert asked(targets(3), samples(100, 100), 50).replicas == 3
    assert asked(targets(4), samples(400), 30).replicas == 4
    assert asked(targets(2), samples(100), 200).replicas == 2


def test_pods_that_start_or_end() -> None:
    starting = [target("p0"), target("p1", ready=False, age=10, ready_for=10)]
    assert asked(starting, samples(700, 5000), 50).replicas == 2  # 70 % of one, idle the other
    gone = [target("p0"), target("p1", deleting=True), target("p2", phase="Failed")]
    assert asked(gone, samples(900, 0, 0), 30, current=3).replicas == 3
    fresh = [target("p0", age=20, ready_for=10)]
    with pytest.raises(ValueError, match=r"did not receive metrics for targeted pods \(pods might be unready\)"):
        asked(fresh, samples(900))


@pytest.mark.parametrize(
    ("of", "values", "told"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        (targets(1, request=None), samples(1), "missing request for cpu in container main of Pod p0"),
        (targets(1), {}, "did not receive metrics for targeted pods (pods might be unready)"),
        (targets(1, request="0"), samples(5), "no metrics returned matched known pods"),
    ],
)
def test_what_cannot_be_told(of: list[Object], values: dict[str, Sample], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        asked(of, values)


def test_reading_metrics() -> None:
    def item(name: str, **usage: str) -> Object:
        containers = [{"name": part, "usage": {"cpu": cpu}} for part, cpu in usage.items()]
        meta = {"name": name, "namespace": "default"}
        return {"metadata": meta, "timestamp": ago(5), "window": "15s", "containers": containers}

    listed = {"items": [item("a", main="250m", side="1"), item("b", main="100n"), item("c")]}
    listed["items"].append({**item("d", main="1"), "containers": [{"name": "main", "usage": {"memory": "1Mi"}}]})
    found = read_samples(listed, "cpu", "")
    assert {name: each.value for name, each in found.items()} == {"a": 1250, "b": 1}
    assert found["a"].window == 15
    with pytest.raises(ValueError, match=r"^container side not present in metrics for pod default/b$"):
        read_samples(listed, "cpu", "side")
    assert {name: each.value for name, each in read_samples({"items": listed["items"][:1]}, "cpu", "side").items()} == {
        "a": 1000
    }
    assert read_samples({"items": listed["items"][3:]}, "cpu", "main") == {}


class Answer:
    """In the place of the API server."""

    def __init__(self, listed: Object) -> None:
        self._listed = listed

    async def raw(self, method: str, path: str, query: Object) -> bytes:
        assert (method, path) == ("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods")
        return orjson.dumps(self._listed)


async def test_what_the_resource_metrics_api_lacks() -> None:
    parts = [{"name": "main", "usage": {"memory": "1Mi"}}]
    item = {"metadata": {"name": "p", "namespace": "a"}, "timestamp": ago(5), "window": "15s", "containers": parts}

    async def asked(container: str, *items: Object) -> Mapping[str, Sample]:
        client: Any = Answer({"items": items})
        return await MetricsApis(client, ServedKinds(client)).resource("a", "app=web", "cpu", container)

    begun = "^unable to get metrics for resource cpu: "
    with pytest.raises(ValueError, match=rf"{begun}no metrics returned from resource metrics API$"):
        await asked("")
    with pytest.raises(
        ValueError, match=rf"{begun}failed to get container metrics: container side not present in metrics for pod a/p$"
    ):
        await asked("side", item)
    assert await asked("", item) == {} == await asked("main", item)


def rules(*policies: tuple[str, int, int], select: str = "Max", window: int | None = None) -> Object:
    found: Object = {"selectPolicy": select}
    found["policies"] = [{"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies]
    return found if window is None else {**found, "stabilizationWindowSeconds": window}


UP = rules(("Pods", 4, 15), ("Percent", 100, 15), window=0)


@pytest.mark.parametrize(
    ("behavior", "changes", "current", "desired", "replicas", "reason"),
    [
        (None, [], 1, 9, 4, "ScaleUpLimit"),
        (None, [], 5, 50, 10, "ScaleUpLimit"),
        (None, [], 5, 9, 9, "DesiredWithinRange"),
        (None, [], 60, 101, 100, "TooManyReplicas"),
        (None, [], 5, 1, 2, "TooFewReplicas"),
        ({"scaleUp": UP}, [], 1, 20, 5, "ScaleUpLimit"),
        ({"scaleUp": UP}, [], 10, 90, 20, "ScaleUpLimit"),
        ({"scaleUp": rules(("Pods", 4, 15), ("Percent", 100, 15), select="Min")}, [], 10, 90, 14, "ScaleUpLimit"),
        ({"scaleUp": rules(("Pods", 4, 15), select="Disabled")}, [], 10, 90, 10, "ScaleUpLimit"),
        # What was added in the period is not added again; what was long ago does not count.
        ({"scaleUp": rules(("Pods", 4, 60))}, [(990.0, 3)], 10, 20, 11, "ScaleUpLimit"),
        ({"scaleUp": rules(("Pods", 4, 60))}, [(900.0, 3)], 10, 20, 14, "ScaleUpLimit"),
        ({"scaleDown": rules(("Pods", 2, 60))}, [], 10, 3, 8, "ScaleDownLimit"),
        ({"scaleDown": rules(("Pods", 2, 60))}, [(990.0, -2)], 10, 3, 10, "ScaleDownLimit"),
        ({"scaleDown": rules(("Percent", 10, 60))}, [], 10, 3, 9, "ScaleDownLimit"),
        ({"scaleDown": rules(("Percent", 100, 15))}, [], 10, 1, 2, "TooFewReplicas"),
        # Binary fractions, as upstream has them.
        ({"scaleUp": rules(("Percent", 10, 60))}, [], 50, 90, 56, "ScaleUpLimit"),
        ({"scaleDown": rules(("Percent", 90, 60))}, [], 100, 3, 9, "ScaleDownLimit"),
        ({"scaleDown": rules(("Pods", 1, 15), select="Disabled")}, [], 10, 3, 10, "ScaleDownLimit"),
    ],
)
def test_limits(
    behavior: Object | None, changes: list[tuple[float, int]], current: int, desired: int, replicas: int, reason: str
) -> None:
    found = limit(behavior, History([], changes), current, desired, (2, 100), 1000.0)
    assert found[:2] == (replicas, reason)


@pytest.mark.parametrize(
    ("behavior", "recommended", "current", "desired", "replicas", "reason"),
    [
        (None, [(800.0, 8)], 8, 3, 8, "ScaleDownStabilized"),
        (None, [(900.0, 5), (650.0, 9)], 8, 3, 5, "ScaleDownStabilized"),
        (None, [(600.0, 8)], 8, 3, 3, "ReadyForNewScale"),
        (None, [(990.0, 2)], 4, 9, 9, "ReadyForNewScale"),
        # Without a behavior a burst is remembered on the way up too; with one, it only keeps what is there.
        (None, [(900.0, 10)], 6, 4, 10, "ScaleDownStabilized"),
        ({"scaleUp": UP}, [(900.0, 10)], 6, 4, 6, "ScaleDownStabilized"),
        ({"scaleUp": {"stabilizationWindowSeconds": 60}}, [(990.0, 5)], 4, 9, 5, "ScaleUpStabilized"),
        ({"scaleUp": {"stabilizationWindowSeconds": 60}}, [(900.0, 5)], 4, 9, 9, "ReadyForNewScale"),
        ({"scaleDown": {"stabilizationWindowSeconds": 0}}, [(999.0, 8)], 8, 3, 3, "ReadyForNewScale"),
    ],
)
def test_stabilization(
    behavior: Object | None,
    recommended: list[tuple[float, int]],
    current: int,
    desired: int,
    replicas: int,
    reason: str,
) -> None:
    assert stabilize(behavior, History(recommended), current, desired, 1000.0)[:2] == (replicas, reason)


def test_a_history_forgets() -> None:
    history = History()
    for at in range(0, 10000, 15):
        history.recommend(float(at), 1)
        history.scaled(float(at), 1)
    assert len(history.recommended) == len(history.changes) == 240


@pytest.mark.parametrize(
    ("usage", "goal", "current", "ready", "replicas"),
    [
        pytest.param(200, 100, 3, 3, 6, id="twice as much"),
        pytest.param(109, 100, 3, 3, 3, id="within the tolerance"),
        pytest.param(200, 100, 3, 1, 2, id="counted from the ready pods"),
        pytest.param(250, 100, 0, 0, 3, id="from nothing"),
        pytest.param(10**30, 1, 3, 3, 2**31 - 1, id="no more than an int32"),
    ],
)
def test_a_total_with_a_goal(usage: int, goal: int, current: int, ready: int, replicas: int) -> None:
    found = [target(f"p{number}", ready=number < ready) for number in range(3)]
    assert propose_by_total(usage, goal, current, found) == Proposal(replicas, usage)


@pytest.mark.parametrize(
    ("usage", "goal", "running", "found"),
    [(300, 100, 2, (3, 150)), (210, 100, 2, (2, 105)), (50, 100, 4, (1, 13)), (300, 100, 0, (3, 0))],
)
def test_a_total_with_a_goal_for_each_replica(usage: int, goal: int, running: int, found: tuple[int, int]) -> None:
    assert propose_per_replica(usage, goal, running) == Proposal(*found)


def test_a_total_without_pods_cannot_be_weighed() -> None:
    with pytest.raises(ValueError, match="no pods returned by selector while calculating replica count"):
        propose_by_total(200, 100, 3, [])


def test_custom_metrics_are_read_in_both_versions() -> None:
    item = {"timestamp": ago(0), "value": "1500m"}
    new = {**item, "describedObject": {"kind": "Pod", "name": "a"}, "metric": {"name": "rate"}}
    old = {**item, "describedObject": {"name": "b"}, "metricName": "rate", "windowSeconds": 30}
    listed = {"items": [new, old]}
    assert read_custom_samples(listed) == {"a": Sample(1500, NOW, 60.0), "b": Sample(1500, NOW, 30.0)}


def test_another_tolerance() -> None:
    of, values = targets(2), samples(1150, 1150)
    assert asked(of, values, 100).replicas == 3
    calm = Caution(tolerance=0.2)
    assert propose(of, values, "cpu", 2, NOW, utilization=100, caution=calm).replicas == 2
    assert propose_by_total(1150, 1000, 2, of, calm).replicas == propose_per_replica(2300, 1000, 2, calm).replicas == 2


def test_another_start_of_pods_and_another_window() -> None:
    young = [target("p0", age=20, ready=False, ready_for=10), target("p1")]
    values = samples(900, 900)
    assert asked(young, values, 50).replicas == 2  # the one that starts does not count
    hasty = Caution(cpu_initialization=1.0, readiness_delay=1.0)
    assert propose(young, values, "cpu", 2, NOW, utilization=50, caution=hasty).replicas == 4
    history = History([(0.0, 9)])
    assert stabilize(None, history, 9, 3, 100.0)[0] == 9
    assert stabilize(None, history, 9, 3, 100.0, 60.0)[0] == 3
