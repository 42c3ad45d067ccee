"""Creating, changing and deleting on a store: who may, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE, CONFIGMAPS, DEPLOYMENTS, EVENTS, NAMESPACES, PODS, Resource
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.apply import apply
from controlplane.apiserver.registry.call import Call, check_options
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.create import create
from controlplane.apiserver.registry.delete import DeleteOptions, delete_object, delete_options
from controlplane.apiserver.registry.patch import MERGE, STRATEGIC, patch
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.registry.update import update
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.strategies.base import Strategy
from controlplane.apiserver.strategies.pod import PodStrategy

Object = dict[str, Any]


async def _no_creation(attributes: Attributes) -> tuple[Decision, str]:
    return (Decision.NO_OPINION if attributes.verb == "create" else Decision.ALLOW), ""


async def _all(_: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


LEASES = CATALOGUE.find("coordination.k8s.io", "v1", "leases")
FLOW_SCHEMAS = CATALOGUE.find("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
assert LEASES is not None and FLOW_SCHEMAS is not None


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    found = await SqliteStorage.open(tmp_path / "store.db")
    yield found
    await found.close()


def collection_of(storage: SqliteStorage, resource: Resource) -> Collection:
    return Collection(ObjectStore(resource, storage), Strategy(resource), Chain([]), ManualClock())


async def test_an_update_creates_only_for_those_who_may_create(storage: SqliteStorage) -> None:
    leases = collection_of(storage, LEASES)
    call = Call(User("u"), LEASES, "update", "n", "a", _no_creation)
    with pytest.raises(ApiError) as refused:
        await update(leases, call, {"metadata": {"name": "a"}, "spec": {}})
    sentence = 'User "u" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "n"'
    assert refused.value.code == 403
    assert refused.value.message == f'leases.coordination.k8s.io "a" is forbidden: {sentence}'
    assert await leases.store.find("n", "a") is None


async def test_an_apply_creates_only_for_those_who_may_create(storage: SqliteStorage) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    call = Call(User("u"), CONFIGMAPS, "patch", "n", "a", _no_creation, query={"fieldManager": "m"})
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    with pytest.raises(ApiError) as refused:
        await apply(maps, call, document)
    assert refused.value.code == 403 and 'cannot create resource "configmaps"' in refused.value.message
    assert await maps.store.find("n", "a") is None


@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_name_that_is_taken_until_its_end(storage: SqliteStorage, dry_run: bool) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    for name, more in (("kept", {}), ("ending", {"deletionTimestamp": "2026-01-01T00:00:00Z"})):
        meta = {"name": name, "namespace": "n", **more}
        await maps.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    generating = "the server was not able to generate a unique name for the object"
    for meta, sentence in (
        ({"name": "kept"}, 'configmaps "kept" already exists'),
        ({"name": "kept", "generateName": "k"}, f'configmaps "kept" already exists, {generating}'),
        ({"name": "ending"}, 'object is being deleted: configmaps "ending" already exists'),
    ):
        call = Call(User("u"), CONFIGMAPS, "create", "n", "", _all, dry_run=dry_run)
        with pytest.raises(ApiError) as refused:
            await create(maps, call, {"metadata": meta})
        assert (refused.value.reason, refused.value.message) == ("AlreadyExists", sentence)


@pytest.mark.parametrize(
    ("document", "query", "sentences"),
    [
        ({"propagationPolicy": "Some"}, {}, ['Unsupported value: "Some": supported values: "Foreground"']),
        ({"propagationPolicy": ""}, {}, ['Unsupported value: "": supported values: "Foreground", "Background"']),
        (None, {"propagationPolicy": "Some", "orphanDependents": "x"}, ["cannot be both set", "Unsupported value"]),
    ],
)
def test_options_of_a_deletion_that_are_refused(document: Object | None, query: Object, sentences: list[str]) -> None:
    with pytest.raises(ApiError) as refused:
        delete_options(document, query)
    assert all(sentence in refused.value.message for sentence in sentences), refused.value.message


def test_options_of_a_deletion_in_the_query() -> None:
    assert delete_options(None, {"uid": "u", "orphanDependents": "yes"}) == DeleteOptions(uid="u", orphan=True)
    assert delete_options(None, {"orphanDependents": "False"}) == DeleteOptions(orphan=False)
    assert delete_options(None, {"gracePeriodSeconds": "+5"}) == DeleteOptions(grace=5)


@pytest.mark.parametrize(("number", "why"), [("", "invalid syntax"), ("9" * 19, "value out of range")])
def test_a_grace_of_the_query_that_is_no_number(number: str, why: str) -> None:
    with pytest.raises(ApiError) as refused:
        delete_options(None, {"gracePeriodSeconds": number})
    assert (refused.value.code, refused.value.message) == (400, f'strconv.ParseInt: parsing "{number}": {why}')


def test_a_body_is_all_that_a_deletion_says() -> None:
    query = {"propagationPolicy": "Orphan", "gracePeriodSeconds": "0", "uid": "u"}
    assert delete_options({"gracePeriodSeconds": 5}, query) == DeleteOptions(grace=5)
    assert delete_options({}, query) == DeleteOptions()


async def test_preconditions_name_the_kind(storage: SqliteStorage) -> None:
    leases = collection_of(storage, LEASES)
    meta = {"name": "a", "namespace": "n", "uid": "u"}
    made = await leases.store.create({"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": meta})
    version = made["metadata"]["resourceVersion"]
    call = Call(User("u"), LEASES, "delete", "n", "a", _all)
    start = 'Operation cannot be fulfilled on Lease.coordination.k8s.io "a": the '
    for options, sentence in (
        (
            DeleteOptions(uid="v"),
            "UID in the precondition (v) does not match the UID in record (u). "
            "The object might have been deleted and then recreated",
        ),
        (
            DeleteOptions(resource_version="9"),
            f"ResourceVersion in the precondition (9) does not match the ResourceVersion in record ({version}). "
            "The object might have been modified",
        ),
    ):
        with pytest.raises(ApiError) as refused:
            await delete_object(leases, call, "a", options)
        assert (refused.value.code, refused.value.message) == (409, start + sentence)


async def test_events_own_nothing(storage: SqliteStorage) -> None:
    """The garbage collector does not look at them: one that waited for it would wait for ever."""
    events = collection_of(storage, EVENTS)
    await events.store.create({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "n"}})
    call = Call(User("u"), EVENTS, "delete", "n", "e", _all)
    _, gone = await delete_object(events, call, "e", DeleteOptions(propagation="Foreground"))
    assert gone and await events.store.find("n", "e") is None


class Ending:
    """A pod that has been deleted, with a minute to go."""

    def __init__(self, storage: SqliteStorage) -> None:
        self._pods = Collection(ObjectStore(PODS, storage), PodStrategy(PODS), Chain([]), ManualClock())
        self._call = Call(User("u"), PODS, "delete", "n", "p", _all)

    async def begin(self, **more: Any) -> Object:
        meta = {"name": "p", "namespace": "n", "generation": 1, **more}
        spec = {"nodeName": "node", "terminationGracePeriodSeconds": 30}
        await self._pods.store.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        return await self.again(DeleteOptions(grace=60))

    async def again(self, options: DeleteOptions) -> Object:
        """What is left of its metadata; {} when it is gone."""
        obj, gone = await delete_object(self._pods, self._call, "p", options)
        return {} if gone else obj["metadata"]


async def test_only_who_says_so_shortens_what_a_pod_was_granted(storage: SqliteStorage) -> None:
    pod = Ending(storage)
    begun = await pod.begin()
    assert (begun["deletionGracePeriodSeconds"], begun["generation"]) == (60, 2)
    for options in (DeleteOptions(), DeleteOptions(grace=90), DeleteOptions(propagation="Foreground")):
        assert await pod.again(options) == begun
    shorter = await pod.again(DeleteOptions(grace=10))
    assert (shorter["deletionGracePeriodSeconds"], shorter["generation"]) == (10, 2)
    assert shorter["deletionTimestamp"] < begun["deletionTimestamp"]
    assert await pod.again(DeleteOptions(grace=0)) == {}


async def test_a_pod_whose_time_is_over_ends_with_its_finalizers(storage: SqliteStorage) -> None:
    pod = Ending(storage)
    begun = await pod.begin(finalizers=["foregroundDeletion"])
    over = await pod.again(DeleteOptions(grace=0))
    assert over["deletionGracePeriodSeconds"] == 0 and over["deletionTimestamp"] < begun["deletionTimestamp"]
    assert await pod.again(DeleteOptions()) == over
    assert await pod.again(DeleteOptions(propagation="Background")) == {}


def test_options_of_a_write_in_upstreams_order() -> None:
    query = {"fieldManager": "a\tb", "fieldValidation": "Some", "force": "true"}
    with pytest.raises(ApiError) as refused:
        check_options("PatchOptions", query, ["None"])
    causes = [(cause["field"], cause["message"]) for cause in (refused.value.details or {})["causes"]]
    assert [field for field, _ in causes] == ["force", "fieldManager", "dryRun", "fieldValidation"]
    assert causes[1][1] == 'Invalid value: "a\\tb": invalid character U+0009 (at position 1)'
    with pytest.raises(ApiError, match="fieldManager: Too long: may not be more than 128 bytes"):
        check_options("CreateOptions", {"fieldManager": "ä" * 65}, [])
    with pytest.raises(ApiError, match="fieldManager: Required value: is required for apply patch"):
        check_options("PatchOptions", {"force": "true"}, [], applying=True)


@pytest.mark.parametrize(
    ("agent", "manager"),
    [("kubectl/v1", "kubectl"), ("a\tb/1", "ab"), ("x" * 129, "x" * 128), ("é" * 70, "é" * 64), ("ud\udcff/1", "ud")],
)
def test_the_manager_that_a_user_agent_names(agent: str, manager: str) -> None:
    assert Call(User("u"), CONFIGMAPS, "update", "n", "a", _all, user_agent=agent).field_manager == manager


async def test_an_update_of_another_object_of_that_name(storage: SqliteStorage) -> None:
    """Also where the resourceVersion is another one, of which a client would read the object anew and try again."""
    maps = collection_of(storage, CONFIGMAPS)
    meta = {"name": "a", "namespace": "n", "uid": "new"}
    await maps.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    call = Call(User("u"), CONFIGMAPS, "update", "n", "a", _all)
    with pytest.raises(ApiError) as refused:
        await update(maps, call, {"metadata": {**meta, "uid": "old", "resourceVersion": "999"}})
    assert refused.value.code == 409
    assert refused.value.message == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, '
        "Key: /registry/configmaps/n/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        "UID in precondition: old, UID in object meta: new"
    )


@pytest.mark.parametrize("resource", [CONFIGMAPS, LEASES], ids=lambda each: each.plural)
async def test_an_update_of_an_object_that_is_gone(storage: SqliteStorage, resource: Resource) -> None:
    """Who names the uid does not want another of that name, also where an update may create one."""
    call = Call(User("u"), resource, "update", "n", "a", _all)
    with pytest.raises(ApiError) as refused:
        await update(collection_of(storage, resource), call, {"metadata": {"name": "a", "uid": "old"}})
    assert refused.value.code == 409
    assert refused.value.message.endswith("Precondition failed: UID in precondition: old, UID in object meta: ")


async def test_managers_that_a_new_object_names(storage: SqliteStorage) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    call = Call(User("u"), CONFIGMAPS, "create", "n", "", _all, query={"fieldManager": "m"})
    named = {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    meta = {"name": "a", "managedFields": [{**named, "fieldsV1": {"f:data": {"f:b": {}, "f:c": {}}}}]}
    made = await create(maps, call, {"metadata": meta, "data": {"b": "1"}})
    owned = {entry["manager"]: entry["fieldsV1"] for entry in made["metadata"]["managedFields"]}
    assert owned == {"x": {"f:data": {"f:c": {}}}, "m": {"f:data": {".": {}, "f:b": {}}}}


async def test_doubled_keys_of_yaml_are_warned_of_one_by_one(storage: SqliteStorage) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    sentence = 'yaml: unmarshal errors:\n  line 3: key "a" already set in map\n  line 4: key "b" already set in map'
    call = Call(User("u"), CONFIGMAPS, "create", "n", "", _all, doubled=[sentence])
    await create(maps, call, {"metadata": {"name": "a"}, "odd": 1})
    lines = ['line 3: key "a" already set in map', 'line 4: key "b" already set in map']
    assert call.warnings == [*lines, 'unknown field "odd"']
    strict = {"fieldValidation": "Strict", "fieldManager": "m"}
    call = Call(User("u"), CONFIGMAPS, "create", "n", "", _all, query=strict, doubled=[sentence])
    with pytest.raises(ApiError) as refused:
        await create(maps, call, {"metadata": {"name": "b"}, "odd": 1})
    assert refused.value.message.endswith(f'strict decoding error: {sentence}, unknown field "odd"')
    with pytest.raises(ApiError) as refused:
        await apply(maps, call, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}})
    assert refused.value.message == f"error strict decoding YAML: error converting YAML to JSON: {sentence}"


@pytest.mark.parametrize("media", [STRATEGIC, MERGE])
async def test_a_patch_says_what_it_has_seen(storage: SqliteStorage, media: str) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    call = Call(User("u"), CONFIGMAPS, "patch", "n", "a", _all)
    made = await create(maps, Call(User("u"), CONFIGMAPS, "create", "n", "", _all), {"metadata": {"name": "a"}})
    seen = made["metadata"]["resourceVersion"]
    for wrong, code in (({"resourceVersion": "1" + seen}, 409), ({"uid": "other"}, 422)):
        with pytest.raises(ApiError) as refused:
            await patch(maps, call, {"metadata": wrong, "data": {"k": "v"}}, media)
        assert refused.value.code == code
    changed = await patch(maps, call, {"metadata": {"resourceVersion": seen}, "data": {"k": "v"}}, media)
    assert changed["data"] == {"k": "v"} and changed["metadata"]["uid"] == made["metadata"]["uid"]


async def test_whole_numbers_that_come_by_maps(storage: SqliteStorage) -> None:
    """Go reads apply and strategic merge patches into maps, and writes 2.0 as 2; into types it does not read it."""
    found = collection_of(storage, DEPLOYMENTS)
    call = Call(User("u"), DEPLOYMENTS, "patch", "n", "a", _all, query={"fieldManager": "m"})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    config = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}
    spec: Object = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    made, _ = await apply(found, call, {**config, "spec": {**spec, "replicas": 2.0}})
    changed = await patch(found, call, {"spec": {"replicas": 3.0, "minReadySeconds": 1e1}}, STRATEGIC)
    numbers = [made["spec"]["replicas"], changed["spec"]["replicas"], changed["spec"]["minReadySeconds"]]
    assert numbers == [2, 3, 10] and {type(each) for each in numbers} == {int}
    with pytest.raises(ApiError, match=r"cannot unmarshal number 4\.0 into Go struct field DeploymentSpec.spec"):
        await patch(found, call, {"spec": {"replicas": 4.0}}, MERGE)


async def test_a_version_of_what_is_gone_keeps_nobody_from_making_it_again(storage: SqliteStorage) -> None:
    leases, maps = collection_of(storage, LEASES), collection_of(storage, CONFIGMAPS)
    meta = {"name": "a", "resourceVersion": "999"}
    _, created = await update(leases, Call(User("u"), LEASES, "update", "n", "a", _all), {"metadata": {**meta}})
    assert created
    call = Call(User("u"), CONFIGMAPS, "patch", "n", "a", _all, query={"fieldManager": "m"})
    _, created = await apply(maps, call, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta}})
    assert created


async def test_who_changes_an_object_names_it(storage: SqliteStorage) -> None:
    maps = collection_of(storage, CONFIGMAPS)
    call = Call(User("u"), CONFIGMAPS, "update", "n", "a", _all, query={"fieldManager": "m"})
    applied: Object = {"apiVersion": "v1", "kind": "ConfigMap"}
    with pytest.raises(ApiError) as refused:
        await apply(maps, call, {**applied})
    told = [refused.value.message]
    await maps.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}})
    for change in (update(maps, call, {}), patch(maps, call, {"metadata": {"name": None}}, MERGE)):
        with pytest.raises(ApiError) as refused:
            await change
        told.append(refused.value.message)
    assert told == ["the name of the object (a based on URL) was undeterminable: name must be provided"] * 3
    assert (await apply(maps, call, {**applied}))[1] is False  # what it is merged with has a name


async def test_who_changes_an_object_does_not_end_it(storage: SqliteStorage) -> None:
    maps, call = collection_of(storage, CONFIGMAPS), Call(User("u"), CONFIGMAPS, "update", "n", "a", _all)
    meta: Object = {"name": "a", "namespace": "n", "generateName": "b-", "uid": "u", "finalizers": ["a.io/b"]}
    await maps.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta}})
    end = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    with pytest.raises(ApiError) as refused:
        await update(maps, call, {"metadata": {"name": "a", **end}})
    assert refused.value.message == (
        'ConfigMap "a" is invalid: [metadata.deletionTimestamp: Invalid value: 2026-01-01 00:00:00 +0000 UTC: '
        "field is immutable, metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable]"
    )
    await delete_object(maps, call, "a", DeleteOptions())
    said = {"name": "a", "deletionTimestamp": end["deletionTimestamp"], "finalizers": ["a.io/b"], "generateName": "c-"}
    changed, _ = await update(maps, call, {"metadata": {**said}})
    assert changed["metadata"]["deletionTimestamp"] == "2025-01-01T00:00:00Z"  # that of the deletion
    assert changed["metadata"]["deletionGracePeriodSeconds"] == 0
    assert changed["metadata"]["generateName"] == "c-"  # which nobody keeps
    with pytest.raises(ApiError, match="deletionGracePeriodSeconds: Invalid value: 5: field is immutable"):
        await update(maps, call, {"metadata": {**said, "deletionGracePeriodSeconds": 5}})


@pytest.mark.parametrize("strategy", [PodStrategy(PODS), Strategy(FLOW_SCHEMAS)], ids=lambda each: each.resource.kind)
def test_an_update_of_the_status_says_nothing_of_the_end(strategy: Strategy) -> None:
    call = Call(User("u"), strategy.resource, "update", "n", "a", _all, "status")
    new: Object = {"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {}}
    strategy.prepare_status(call, new, {"metadata": {"name": "a"}})
    assert "deletionTimestamp" not in new["metadata"]


async def test_a_namespace_of_what_has_none_is_passed_over(storage: SqliteStorage) -> None:
    namespaces = collection_of(storage, NAMESPACES)
    made = await create(namespaces, Call(User("u"), NAMESPACES, "create", "", "", _all), _in_a_namespace())
    assert "namespace" not in made["metadata"]
    changed, _ = await update(namespaces, Call(User("u"), NAMESPACES, "update", "", "a", _all), _in_a_namespace(b="c"))
    assert "namespace" not in changed["metadata"] and changed["metadata"]["labels"]["b"] == "c"


def _in_a_namespace(**labels: str) -> Object:
    return {"metadata": {"name": "a", "namespace": "n", "labels": labels}}
