"""Who set which field by create, update and patch."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs

from apimachinery.api.catalogue import CATALOGUE, CONFIGMAPS
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.managers import MAX_UPDATERS, keep_times, record_change

NOW = datetime(2025, 1, 1, tzinfo=UTC)


async def _never(_: Attributes) -> tuple[Decision, str]:
    raise AssertionError("not asked")


def _call(manager: str, **more: Any) -> Call:
    query = {"fieldManager": manager} if manager else {}
    return Call(User("u"), CONFIGMAPS, "update", "n", "a", _never, query=query, **more)


def _object(entries: Any = None, **data: str) -> dict[str, Any]:
    meta = {"name": "a", "namespace": "n", "uid": "1"}
    return {"metadata": {**meta, **({"managedFields": entries} if entries else {})}, "data": data}


def _owned(entries: list[Any]) -> dict[str, list[str]]:
    return {entry["manager"]: sorted(entry["fieldsV1"]["f:data"]) for entry in entries}


async def test_who_creates_owns_what_is_there_and_nothing_of_the_servers() -> None:
    (entry,) = await record_change(_call("kubectl-create"), _object(x="1"), None, NOW)
    assert entry == {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2025-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:x": {}}},
    }


async def test_who_creates_takes_what_is_there_from_those_whom_it_names() -> None:
    (entry,) = await record_change(_call("one"), _object(x="1", y="1"), None, NOW)
    entries = [{**entry, "operation": "Apply"}, {**entry, "manager": "two", "fieldsV1": {"f:data": {"f:x": {}}}}]
    found = await record_change(_call("three"), _object(entries, x="2", z="1"), None, NOW)
    assert _owned(found) == {"one": ["f:y"], "three": [".", "f:x", "f:z"]}
    (alone,) = await record_change(_call("three"), _object([{**entry, "fieldsType": ""}], x="2"), None, NOW)
    assert alone["manager"] == "three"


async def test_who_changes_takes_and_what_is_removed_is_nobodys() -> None:
    made = await record_change(_call("one"), _object(x="1", y="1", z="1"), None, NOW)
    old = _object(made, x="1", y="1", z="1")
    found = await record_change(_call("two"), _object(x="1", y="2", w="1"), old, NOW + timedelta(seconds=1))
    assert _owned(found) == {"one": [".", "f:x"], "two": ["f:w", "f:y"]}
    assert _owned(made) == {"one": [".", "f:x", "f:y", "f:z"]}, "what is stored was not touched"


async def test_without_a_change_nothing_is_new() -> None:
    made = await record_change(_call("one"), _object(x="1"), None, NOW)
    old = _object(made, x="1")
    assert await record_change(_call("two"), deepcopy(old), old, NOW + timedelta(seconds=1)) == made


async def test_the_time_is_that_of_the_writers_last_change() -> None:
    made = await record_change(_call("one"), _object(x="1", y="1"), None, NOW)
    old = _object(made, x="1", y="1")
    (again,) = await record_change(_call("one"), _object(x="2", y="1"), old, NOW + timedelta(seconds=1))
    assert again == {**made[0], "time": "2025-01-01T00:00:01Z"}
    (less,) = await record_change(_call("one"), _object(x="1"), old, NOW + timedelta(seconds=1))
    assert less == {**made[0], "fieldsV1": {"f:data": {".": {}, "f:x": {}}}}, "what is only removed changes no time"


async def test_a_change_that_admission_undid_changes_no_time() -> None:
    made = await record_change(_call("one"), _object(x="1"), None, NOW)
    old, later = _object(made, x="1"), [{**made[0], "time": "2025-01-01T00:00:01Z"}]
    undone, changed = _object(later, x="1"), _object(later, x="2")
    keep_times(undone, old)
    keep_times(changed, old)
    assert undone == old and changed["metadata"]["managedFields"] == later


async def test_nothing_is_recorded_between_a_fresh_start_and_the_first_apply() -> None:
    made = await record_change(_call("one"), _object(x="1"), None, NOW)
    emptied = _object(x="1")
    emptied["metadata"]["managedFields"] = []
    assert await record_change(_call("one"), emptied, _object(made, x="1"), NOW) == []
    assert await record_change(_call("one", subresource="status"), emptied, _object(made, x="1"), NOW) == made
    assert await record_change(_call("two"), _object(x="2"), _object(x="1"), NOW) == []


async def test_what_a_client_says_of_managers() -> None:
    made = await record_change(_call("one"), _object(x="1"), None, NOW)
    old = _object(made, x="1")
    handed = [{**made[0], "manager": "two", "operation": "Apply"}]
    assert await record_change(_call("one"), _object(handed, x="1"), old, NOW) == handed
    assert await record_change(_call("one"), _object([{}], x="1"), old, NOW) == []
    nonsense = [{**made[0], "fieldsV1": {"nonsense": {}}}]
    assert await record_change(_call("one"), _object(nonsense, x="1"), old, NOW) == made
    assert await record_change(_call("one", subresource="status"), _object(handed, x="1"), old, NOW) == made


async def test_the_name_of_a_manager() -> None:
    (entry,) = await record_change(_call("", user_agent="kubectl/v1.32.0 (linux/amd64)"), _object(x="1"), None, NOW)
    assert entry["manager"] == "kubectl"
    (entry,) = await record_change(_call(""), _object(x="1"), None, NOW)
    assert entry["manager"] == "unknown"


async def test_there_are_never_many_entries() -> None:
    old, entries = None, []
    for number in range(30):
        new = _object(entries, **{f"k{each}": "1" for each in range(number + 1)})
        entries = await record_change(_call(f"m{number}"), new, old, NOW + timedelta(seconds=number))
        old = {**new, "metadata": {**new["metadata"], "managedFields": entries}}
        assert len(entries) <= MAX_UPDATERS
    owned = _owned(entries)
    assert len(owned["ancient-changes"]) == 1 + 30 - (MAX_UPDATERS - 1) and owned["m29"] == ["f:k29"]


def _autoscaler(entries: Any = None, **spec: Any) -> dict[str, Any]:
    about = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _object(entries)["metadata"],
    }
    return {**about, "spec": {"maxReplicas": 5, "metrics": [_cpu(50)], **spec}}


def _cpu(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _autoscaling(version: str, manager: str = "") -> Call:
    resource = CATALOGUE.find("autoscaling", version, "horizontalpodautoscalers")
    assert resource is not None
    return structs.replace(_call(manager or version), resource=resource)


def _specs(entries: list[Any]) -> dict[str, tuple[str, list[str]]]:
    return {each["manager"]: (each["apiVersion"], sorted(each["fieldsV1"]["f:spec"])) for each in entries}


MAX, METRICS, TARGET = "f:maxReplicas", "f:metrics", "f:targetCPUUtilizationPercentage"


async def test_fields_are_those_of_the_version_in_which_they_are_written() -> None:
    made = await record_change(_autoscaling("v1"), _autoscaler(), None, NOW)
    assert _specs(made) == {"v1": ("autoscaling/v1", [MAX, TARGET])}
    assert made[0]["fieldsV1"].keys() == {"f:spec"}, "no status that nobody wrote"
    fewer = _autoscaler(made, maxReplicas=6)
    changed = await record_change(_autoscaling("v2"), fewer, _autoscaler(made), NOW)
    assert _specs(changed) == {"v1": ("autoscaling/v1", [TARGET]), "v2": ("autoscaling/v2", [MAX])}


async def test_who_writes_takes_from_those_of_other_versions_what_it_changes_there() -> None:
    made = await record_change(_autoscaling("v1"), _autoscaler(), None, NOW)
    more = _autoscaler(made, metrics=[_cpu(60)])
    changed = await record_change(_autoscaling("v2"), more, _autoscaler(made), NOW)
    assert _specs(changed) == {"v1": ("autoscaling/v1", [MAX]), "v2": ("autoscaling/v2", [METRICS])}
    back = await record_change(_autoscaling("v1"), _autoscaler(changed), more, NOW)
    assert _specs(back) == {"v1": ("autoscaling/v1", [MAX, TARGET])}


async def test_a_manager_has_an_entry_for_each_version_it_writes_in() -> None:
    made = await record_change(_autoscaling("v1", "one"), _autoscaler(), None, NOW)
    changed = await record_change(_autoscaling("v2", "one"), _autoscaler(made, maxReplicas=6), _autoscaler(made), NOW)
    assert [each["apiVersion"] for each in changed] == ["autoscaling/v1", "autoscaling/v2"]


async def test_entries_of_a_version_that_the_kind_has_not_are_dropped() -> None:
    made = await record_change(_autoscaling("v2"), _autoscaler(), None, NOW)
    held = [*made, {**made[0], "manager": "old", "apiVersion": "autoscaling/v2beta2"}]
    assert await record_change(_autoscaling("v2"), _autoscaler(held), _autoscaler(held), NOW) == made


async def test_an_event_is_written_in_two_groups() -> None:
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "message": "m", "reason": "r"}
    events = CATALOGUE.find("events.k8s.io", "v1", "events")
    assert events is not None
    (made,) = await record_change(structs.replace(_call("one"), resource=events), event, None, NOW)
    assert made["apiVersion"] == "events.k8s.io/v1" and made["fieldsV1"] == {"f:note": {}, "f:reason": {}}


async def test_only_entries_of_one_version_are_put_together() -> None:
    labels = {f"k{number}": "1" for number in range(MAX_UPDATERS)}

    def entry(number: int, version: str) -> dict[str, Any]:
        about = {"manager": f"m{number}", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1"}
        fields = {"f:metadata": {"f:labels": {f"f:k{number}": {}}}}
        return {**about, "time": f"2024-01-01T00:00:{number:02}Z", "fieldsV1": fields}

    def labelled(**more: str) -> dict[str, Any]:
        made = _autoscaler(held)
        return {**made, "metadata": {**made["metadata"], "labels": {**labels, **more}}}

    held = [entry(number, f"autoscaling/v{1 if number == 0 else 2}") for number in range(MAX_UPDATERS)]
    found = await record_change(_autoscaling("v2", "new"), labelled(new="1"), labelled(), NOW)
    assert [each["manager"] for each in found] == ["m0", "ancient-changes", *(f"m{n}" for n in range(3, 10)), "new"]
    assert found[1]["fieldsV1"] == {"f:metadata": {"f:labels": {"f:k1": {}, "f:k2": {}}}}
    assert found[1]["time"] == held[2]["time"]
