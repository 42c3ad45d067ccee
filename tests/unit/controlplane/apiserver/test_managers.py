"""Who set which field by create, update and patch."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from apimachinery.api.catalogue import CONFIGMAPS
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.managers import MAX_UPDATERS, keep_times, record_change

NOW = datetime(2025, 1, 1, tzinfo=UTC)
GVK = ("", "v1", "ConfigMap")


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


def test_who_creates_owns_what_is_there_and_nothing_of_the_servers() -> None:
    (entry,) = record_change(_call("kubectl-create"), _object(x="1"), None, GVK, NOW)
    assert entry == {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2025-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}},
    }


def test_who_creates_takes_what_is_there_from_those_whom_it_names() -> None:
    entry = record_change(_call("one"), _object(x="1", y="1"), None, GVK, NOW)[0]
    entries = [{**entry, "operation": "Apply"}, {**entry, "manager": "two", "fieldsV1": {"f:data": {"f:x": {}}}}]
    found = record_change(_call("three"), _object(entries, x="2", z="1"), None, GVK, NOW)
    assert _owned(found) == {"one": ["f:y"], "three": ["f:x", "f:z"]}
    (alone,) = record_change(_call("three"), _object([{**entry, "fieldsType": ""}], x="2"), None, GVK, NOW)
    assert alone["manager"] == "three"


def test_who_changes_takes_and_what_is_removed_is_nobodys() -> None:
    made = record_change(_call("one"), _object(x="1", y="1", z="1"), None, GVK, NOW)
    old = _object(made, x="1", y="1", z="1")
    found = record_change(_call("two"), _object(x="1", y="2", w="1"), old, GVK, NOW + timedelta(seconds=1))
    assert _owned(found) == {"one": ["f:x"], "two": ["f:w", "f:y"]}
    assert _owned(made) == {"one": ["f:x", "f:y", "f:z"]}, "what is stored was not touched"


def test_without_a_change_nothing_is_new() -> None:
    made = record_change(_call("one"), _object(x="1"), None, GVK, NOW)
    old = _object(made, x="1")
    assert record_change(_call("two"), deepcopy(old), old, GVK, NOW + timedelta(seconds=1)) == made


def test_the_time_is_that_of_the_writers_last_change() -> None:
    made = record_change(_call("one"), _object(x="1", y="1"), None, GVK, NOW)
    old = _object(made, x="1", y="1")
    (again,) = record_change(_call("one"), _object(x="2", y="1"), old, GVK, NOW + timedelta(seconds=1))
    assert again == {**made[0], "time": "2025-01-01T00:00:01Z"}
    (less,) = record_change(_call("one"), _object(x="1"), old, GVK, NOW + timedelta(seconds=1))
    assert less == {**made[0], "fieldsV1": {"f:data": {"f:x": {}}}}, "what is only removed changes no time"


def test_a_change_that_admission_undid_changes_no_time() -> None:
    made = record_change(_call("one"), _object(x="1"), None, GVK, NOW)
    old, later = _object(made, x="1"), [{**made[0], "time": "2025-01-01T00:00:01Z"}]
    undone, changed = _object(later, x="1"), _object(later, x="2")
    keep_times(undone, old)
    keep_times(changed, old)
    assert undone == old and changed["metadata"]["managedFields"] == later


def test_nothing_is_recorded_between_a_fresh_start_and_the_first_apply() -> None:
    made = record_change(_call("one"), _object(x="1"), None, GVK, NOW)
    emptied = _object(x="1")
    emptied["metadata"]["managedFields"] = []
    assert record_change(_call("one"), emptied, _object(made, x="1"), GVK, NOW) == []
    assert record_change(_call("one", subresource="status"), emptied, _object(made, x="1"), GVK, NOW) == made
    assert record_change(_call("two"), _object(x="2"), _object(x="1"), GVK, NOW) == []


def test_what_a_client_says_of_managers() -> None:
    made = record_change(_call("one"), _object(x="1"), None, GVK, NOW)
    old = _object(made, x="1")
    handed = [{**made[0], "manager": "two", "operation": "Apply"}]
    assert record_change(_call("one"), _object(handed, x="1"), old, GVK, NOW) == handed
    assert record_change(_call("one"), _object([{}], x="1"), old, GVK, NOW) == []
    nonsense = [{**made[0], "fieldsV1": {"nonsense": {}}}]
    assert record_change(_call("one"), _object(nonsense, x="1"), old, GVK, NOW) == made
    assert record_change(_call("one", subresource="status"), _object(handed, x="1"), old, GVK, NOW) == made


def test_the_name_of_a_manager() -> None:
    (entry,) = record_change(_call("", user_agent="kubectl/v1.32.0 (linux/amd64)"), _object(x="1"), None, GVK, NOW)
    assert entry["manager"] == "kubectl"
    (entry,) = record_change(_call(""), _object(x="1"), None, GVK, NOW)
    assert entry["manager"] == "unknown"


def test_there_are_never_many_entries() -> None:
    old, entries = None, []
    for number in range(30):
        new = _object(entries, **{f"k{each}": "1" for each in range(number + 1)})
        entries = record_change(_call(f"m{number}"), new, old, GVK, NOW + timedelta(seconds=number))
        old = {**new, "metadata": {**new["metadata"], "managedFields": entries}}
        assert len(entries) <= MAX_UPDATERS
    owned = _owned(entries)
    assert len(owned["ancient-changes"]) == 30 - (MAX_UPDATERS - 1) and owned["m29"] == ["f:k29"]


def test_only_entries_of_one_version_are_put_together() -> None:
    def entry(number: int, version: str) -> dict[str, Any]:
        about = {"manager": f"m{number}", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1"}
        return {**about, "time": f"2024-01-01T00:00:{number:02}Z", "fieldsV1": {"f:data": {f"f:k{number}": {}}}}

    held = [entry(number, "v0" if number == 0 else "v1") for number in range(MAX_UPDATERS)]
    data = {f"k{number}": "1" for number in range(MAX_UPDATERS)}
    found = record_change(_call("new"), _object(held, **data, new="1"), _object(held, **data), GVK, NOW)
    assert [each["manager"] for each in found] == ["m0", "ancient-changes", *(f"m{n}" for n in range(3, 10)), "new"]
    assert found[1]["fieldsV1"] == {"f:data": {"f:k1": {}, "f:k2": {}}} and found[1]["time"] == held[2]["time"]
