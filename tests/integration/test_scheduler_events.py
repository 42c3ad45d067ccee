"""What people see of the scheduler's events: they come by events.k8s.io, and repeats are a series."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    NEW_EVENTS,
    PODS,
    PRIORITYCLASSES,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
)
from apimachinery.client.rehearsal import rehearsing
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.simulation import a_pod as pod

Object = dict[str, Any]

ME = f"default-scheduler-{socket.gethostname()}"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data") as simulation:
        await simulation.fleet.add("worker-1")
        yield simulation


async def said(cluster: Simulation, name: str, reason: str) -> Object:
    """The event as events.k8s.io shows it."""
    selector = f"regarding.name={name},reason={reason},reportingController=default-scheduler"

    async def look() -> Object | None:
        items: list[Object] = (await cluster.client.list(NEW_EVENTS, "default", field_selector=selector))["items"]
        return items[0] if items else None

    found: Object = await cluster.eventually(look, f"event {reason} on {name}")
    return found


def about(obj: Object) -> Object:
    fields = ("name", "namespace", "uid")
    return {"apiVersion": "v1", "kind": "Pod", **{field: obj["metadata"][field] for field in fields}}


async def test_a_scheduled_pod(cluster: Simulation) -> None:
    made = await cluster.client.create(PODS, pod("web", "1"))
    event = await said(cluster, "web", "Scheduled")
    assert times.parse(event.pop("eventTime")) <= times.parse(event["metadata"]["creationTimestamp"]).replace(
        microsecond=999999
    )
    name = event.pop("metadata")["name"]
    assert re.fullmatch("web\\.[0-9a-f]{16}", name)
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "action": "Binding",
        "reason": "Scheduled",
        "type": "Normal",
        "note": "Successfully assigned default/web to worker-1",
        "regarding": {**about(made), "resourceVersion": made["metadata"]["resourceVersion"]},
        "reportingController": "default-scheduler",
        "reportingInstance": ME,
        "deprecatedSource": {},
        "deprecatedFirstTimestamp": None,
        "deprecatedLastTimestamp": None,
    }
    for selector in ("source=default-scheduler", "reportingComponent=default-scheduler", "involvedObject.name=web"):
        listed = await cluster.kubectl(
            "get", "events", "--field-selector", f"{selector},reason=Scheduled", "-o", "name"
        )
        assert listed == f"event/{name}\n"
    scheduled = ("--field-selector", "reason=Scheduled")
    (line,) = (await cluster.kubectl("get", "events", *scheduled, "-o", "wide", "--no-headers")).splitlines()
    ago = r"\S+"
    assert re.fullmatch(
        rf"{ago} +Normal +Scheduled +pod/web +default-scheduler, {re.escape(ME)} +"
        rf"Successfully assigned default/web to worker-1 +{ago} +1 +{re.escape(name)} *",
        line,
    )
    described = await cluster.kubectl("describe", "pod", "web")
    told = rf"Normal +Scheduled +{ago} +default-scheduler +Successfully assigned default/web to worker-1"
    assert re.search(told, described)
    assert re.search(r"Normal +Scheduled +Pod/web", await cluster.kubectl("events", "--for", "pod/web"))


async def test_a_pod_that_is_refused_again_and_again_has_a_series(cluster: Simulation) -> None:
    """With every pod that goes it is tried once more; the first repeat is told at once."""
    client = cluster.client
    await client.create(PODS, pod("large", "99"))
    await said(cluster, "large", "FailedScheduling")
    number = itertools.count()

    async def repeated() -> Object | None:
        listed = await client.list(NEW_EVENTS, "default", field_selector="reason=FailedScheduling")
        series: list[Object] = [item for item in listed["items"] if "series" in item]
        if not series:
            name = f"small-{next(number)}"
            await client.create(PODS, pod(name, "1"))
            await said(cluster, name, "Scheduled")
            await client.delete(PODS, name, "default", grace_period=0)
        return series[0] if series else None

    event: Object = await cluster.eventually(repeated, "a series")
    assert (event["action"], event["type"], event["series"]["count"]) == ("Scheduling", "Warning", 2)
    assert times.parse(event["series"]["lastObservedTime"]) > times.parse(event["eventTime"])
    described = await cluster.kubectl("describe", "pod", "large")
    assert re.search(r"Warning +FailedScheduling +\S+ \(x2 over \S+\) +default-scheduler +0/1 nodes are", described)
    wide = await cluster.kubectl("get", "events", "-o", "wide", "--no-headers")
    assert re.search(rf" 2 +{re.escape(objects.name(event))} *$", wide, re.MULTILINE)
    assert re.search(r"\(x2 over \S+\) +Warning +FailedScheduling", await cluster.kubectl("events"))


async def test_an_evicted_pod_is_told_of_with_who_took_its_place(cluster: Simulation) -> None:
    client = cluster.client
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    await client.create(PRIORITYCLASSES, {**priority, "value": 1000})
    low = await client.create(PODS, pod("low", "3"))
    await said(cluster, "low", "Scheduled")
    high = await client.create(PODS, pod("high", "3", priorityClassName="high"))
    event = await said(cluster, "low", "Preempted")
    for field, obj in (("regarding", low), ("related", high)):
        assert {key: value for key, value in event[field].items() if key != "resourceVersion"} == about(obj)
    assert (event["type"], event["action"]) == ("Normal", "Preempting")
    assert event["note"] == f"Preempted by pod {objects.uid(high)} on node worker-1"


async def test_a_binding_that_is_refused_is_an_error_of_the_scheduler(cluster: Simulation) -> None:
    """Told by event and condition, with upstream's words; and tried again."""
    client = cluster.client
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"]}
    policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]}
    for resource, spec in (
        (VALIDATINGADMISSIONPOLICIES, policy),
        (VALIDATINGADMISSIONPOLICYBINDINGS, {"policyName": "unbound", "validationActions": ["Deny"]}),
    ):
        await client.create(resource, {"metadata": {"name": "unbound"}, "spec": spec})
    await client.create(PODS, pod("probe", "1", schedulerName="nobody"))
    binding = {"metadata": {"name": "probe"}, "target": {"kind": "Node", "name": "worker-1"}}

    async def in_force() -> bool:
        try:
            with rehearsing():
                await client.create_subresource(PODS, "probe", "binding", binding, "default")
        except ApiError as error:
            return error.code == 422
        return False

    await cluster.eventually(in_force, "the policy in force")
    await client.create(PODS, pod("web", "1"))
    event = await said(cluster, "web", "FailedScheduling")
    denied = "ValidatingAdmissionPolicy 'unbound' with binding 'unbound' denied request: failed expression: false"
    assert event["note"] == f'running Bind plugin "DefaultBinder": pods "web" is forbidden: {denied}'

    async def scheduled(*expected: object) -> bool:
        found = pods.condition(await client.get(PODS, "web", "default"), "PodScheduled") or {}
        return tuple(found.get(field) for field in ("status", "reason", "message")) == expected

    await cluster.eventually(lambda: scheduled("False", "SchedulerError", event["note"]), "the same in the condition")
    await client.delete(VALIDATINGADMISSIONPOLICYBINDINGS, "unbound")
    await cluster.eventually(lambda: scheduled("True", None, None), "the binding")
