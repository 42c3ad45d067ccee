"""Server-side apply where managers have applied and written in several versions of a kind."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.meta.status import ApiError
from controlplane.apiserver.registry.applying import Applier
from controlplane.apiserver.registry.applying_across import plan_apply_across
from controlplane.apiserver.registry.conversion import convert

Object = dict[str, Any]

MAX, METRICS, TARGET = "f:maxReplicas", "f:metrics", "f:targetCPUUtilizationPercentage"


def kind(version: str) -> Resource:
    found = CATALOGUE.find("autoscaling", version, "horizontalpodautoscalers")
    assert found is not None
    return found


def autoscaler(version: str, **spec: Any) -> Object:
    about = {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
    return {**about, "spec": spec}


def cpu(percent: int) -> list[Object]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def entry(manager: str, version: str, *fields: str, operation: str = "Apply") -> Object:
    about = {"manager": manager, "operation": operation, "apiVersion": f"autoscaling/{version}"}
    said = {"f:spec": {field: {} for field in fields}}
    return {**about, "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": said}


async def apply(
    live: Object, entries: list[Object], config: Object, manager: str = "me", **more: Any
) -> tuple[Object, dict[str, tuple[str, list[str]]]]:
    """The spec in the applier's version, and what each manager owns of it in which version."""
    resource = kind(config["apiVersion"].rpartition("/")[2])
    held = {**live, "metadata": {**live["metadata"], "managedFields": entries}}
    applier = Applier(manager, resource.api_version, now="2026-01-02T00:00:00Z", **more)
    found, left = await plan_apply_across(convert(held, resource), config, resource, applier)
    return found["spec"], {
        each["manager"]: (each["apiVersion"].rpartition("/")[2], sorted(each["fieldsV1"]["f:spec"])) for each in left
    }


@pytest.mark.parametrize("operation", ["Apply", "Update"])
@pytest.mark.parametrize(
    ("theirs", "field", "config", "spelled"),
    [
        ("v1", TARGET, autoscaler("v2", metrics=cpu(60)), ".spec.targetCPUUtilizationPercentage"),
        ("v2", METRICS, autoscaler("v1", targetCPUUtilizationPercentage=60), ".spec.metrics"),
    ],
)
async def test_a_conflict_is_told_in_the_version_of_who_owns(
    operation: str, theirs: str, field: str, config: Object, spelled: str
) -> None:
    live = autoscaler("v2", maxReplicas=5, metrics=cpu(50))
    held = [entry("other", theirs, field, MAX, operation=operation)]
    with pytest.raises(ApiError) as caught:
        await apply(live, held, config)
    assert caught.value.code == 409
    using = f" using autoscaling/{theirs}" if operation == "Update" else ""
    (cause,) = caught.value.details["causes"]
    assert (cause["field"], cause["message"]) == (spelled, f'conflict with "other"{using}')
    _, owned = await apply(live, held, config, force=True)
    mine = METRICS if theirs == "v1" else TARGET
    assert owned == {"me": ("v2" if theirs == "v1" else "v1", [mine]), "other": (theirs, [MAX])}


async def test_the_same_value_is_shared_between_versions() -> None:
    live = autoscaler("v2", maxReplicas=5, metrics=cpu(50))
    held = [entry("other", "v1", TARGET, MAX)]
    _, owned = await apply(live, held, autoscaler("v2", maxReplicas=5, metrics=cpu(50)))
    assert owned == {"me": ("v2", [MAX, METRICS]), "other": ("v1", [MAX, TARGET])}


async def test_an_applier_goes_to_another_version() -> None:
    live = autoscaler("v2", maxReplicas=5, minReplicas=2, metrics=cpu(50))
    held = [entry("me", "v2", MAX, METRICS, "f:minReplicas")]
    spec, owned = await apply(live, held, autoscaler("v1", maxReplicas=5, targetCPUUtilizationPercentage=50))
    assert spec == {"maxReplicas": 5, "targetCPUUtilizationPercentage": 50}, "the minimum is given up"
    assert owned == {"me": ("v1", [MAX, TARGET])}
    _, back = await apply(live, [entry("me", "v1", MAX, TARGET)], autoscaler("v2", maxReplicas=5, metrics=cpu(50)))
    assert back == {"me": ("v2", [MAX, METRICS])}


async def test_what_is_given_up_stays_where_somebody_owns_it_in_another_version() -> None:
    live = autoscaler("v2", maxReplicas=5, minReplicas=2, metrics=cpu(50))
    mine, less = entry("me", "v2", MAX, METRICS, "f:minReplicas"), autoscaler("v2", maxReplicas=5)
    spec, owned = await apply(live, [mine, entry("other", "v1", TARGET)], less)
    assert spec == {"maxReplicas": 5, "metrics": cpu(50)}
    assert owned == {"me": ("v2", [MAX]), "other": ("v1", [TARGET])}
    spec, _ = await apply(live, [mine, entry("other", "v1", "f:minReplicas")], less)
    assert spec == {"maxReplicas": 5, "minReplicas": 2}


async def test_without_a_change_nothing_is_new() -> None:
    live = autoscaler("v2", maxReplicas=5, metrics=cpu(50))
    held = [entry("me", "v2", MAX), entry("other", "v1", TARGET)]
    with_managers = {**live, "metadata": {"name": "a", "managedFields": held}}
    config = autoscaler("v2", maxReplicas=5)
    applier = Applier("me", "autoscaling/v2", now="2026-01-02T00:00:00Z")
    found, entries = await plan_apply_across(with_managers, config, kind("v2"), applier)
    assert found is with_managers and entries is held


async def test_entries_of_a_version_that_the_kind_has_not_are_dropped() -> None:
    live = autoscaler("v2", maxReplicas=5, metrics=cpu(50))
    held = [entry("me", "v2", MAX), entry("other", "v2beta2", MAX)]
    spec, owned = await apply(live, held, autoscaler("v2", maxReplicas=6))
    assert spec["maxReplicas"] == 6 and owned == {"me": ("v2", [MAX])}


async def test_fields_that_nobody_can_own_harm_nothing() -> None:
    live = autoscaler("v2", maxReplicas=5, metrics=cpu(50))
    odd = {**entry("other", "v1"), "fieldsV1": {"f:metadata": {}, "f:kind": {}, "f:spec": {}}}
    spec, _ = await apply(live, [entry("me", "v2", MAX, METRICS), odd], autoscaler("v2", maxReplicas=5))
    assert spec == {"maxReplicas": 5, "metrics": cpu(50)}
