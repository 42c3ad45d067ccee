"""The rules about volumes, on objects that informers would hold."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    STORAGECLASSES,
)
from apimachinery.cache.informer import InformerFactory
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import volumes
from controlplane.scheduler.decision import decide
from controlplane.scheduler.framework import Change, PreBindFailed, What
from controlplane.scheduler.messages import fit_error
from controlplane.scheduler.plugins import VolumeParts, make_framework
from controlplane.scheduler.plugins.volume_binding import VolumeBinding
from controlplane.scheduler.plugins.volume_restrictions import conflicts
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import Profile
from controlplane.scheduler.snapshot import snapshot_of
from controlplane.scheduler.storage import Storage
from tests.unit.controlplane.scheduler.objects_for_scheduling import node, pod

Object = dict[str, Any]
KINDS = (PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, STORAGECLASSES, CSINODES, CSIDRIVERS, CSISTORAGECAPACITIES)
NODES = [node("n1", labels={"zone": "a"}), node("n2", labels={"zone": "b"})]


class Api:
    """Answers updates as the API server does."""

    def __init__(self) -> None:
        self.updated: list[Object] = []

    async def update(self, resource: Any, obj: Object, subresource: str | None = None) -> Object:
        metadata = {**obj["metadata"], "resourceVersion": str(int(obj["metadata"]["resourceVersion"]) + 1)}
        self.updated.append({**obj, "metadata": metadata})
        return self.updated[-1]


class World:
    """Storage with objects in it, and the default profile upon it."""

    def __init__(self, *held: Object) -> None:
        self.informers = InformerFactory(cast(Any, None))
        self.storage = Storage(self.informers)
        self.api, self.clock = Api(), ManualClock(datetime(2025, 1, 1, tzinfo=UTC))
        client = cast(Any, self.api)
        self.framework = make_framework(Profile("s"), VolumeParts(self.storage, client, self.clock))
        self.binding = next(each for each in self.framework.filters if isinstance(each, VolumeBinding))
        for obj in held:
            self.put(obj)

    def put(self, obj: Object) -> None:
        """As the watch tells it."""
        resource = next(each for each in KINDS if each.kind == obj["kind"])
        self.informers.get(resource)._store(obj)

    def decide(self, wanted: Object, *running: Object) -> tuple[str | None, str]:
        """(node, what the event would say)."""
        snapshot = snapshot_of(NODES, running)
        made = decide(self.framework, PodInfo(wanted), snapshot)
        return made.node, "" if made.node else fit_error(len(snapshot), made.refusals, "")


def claim(name: str = "c", *, of: str = "", bound: str = "", selected: str = "", **spec: Any) -> Object:
    annotations = {volumes.BIND_COMPLETED: "yes"} if bound else {}
    annotations |= {volumes.SELECTED_NODE: selected} if selected else {}
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    metadata = {
        "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "annotations": annotations
    }  # fmt: skip
    body |= {"storageClassName": of} | ({"volumeName": bound} if bound else {})
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": body, "status": {"phase": "Pending"}}


def volume(name: str, *, of: str = "", zone: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    body = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": of, **spec}
    if zone:
        term = {"key": "zone", "operator": "In", "values": [zone]}
        body["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}}
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "labels": labels or {}}
    return {"kind": "PersistentVolume", "metadata": metadata, "spec": body, "status": {"phase": "Available"}}


def storage_class(name: str, provisioner: str = "p", **more: Any) -> Object:
    metadata = {"name": name, "resourceVersion": "1"}
    mode = {"volumeBindingMode": "WaitForFirstConsumer"}
    return {"kind": "StorageClass", "metadata": metadata, "provisioner": provisioner, **mode, **more}


def user(name: str = "p", *claims: str, **more: Any) -> Object:
    named = claims or ("c",)
    held = [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in named]
    return pod(name, volumes=held, **more)


LOST = {**claim(bound="v"), "status": {"phase": "Lost"}}
GOING = claim(bound="v")
GOING["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ([], 'persistentvolumeclaim "c" not found'),
        ([claim()], "pod has unbound immediate PersistentVolumeClaims"),
        ([LOST], 'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"'),
        ([GOING], 'persistentvolumeclaim "c" is being deleted'),
    ],
)
def test_a_pod_that_can_go_nowhere(held: list[Object], text: str) -> None:
    assert World(*held).decide(user()) == (None, f"0/2 nodes are available: {text}.")


def test_ephemeral_claims_wait_for_their_controller_and_their_owner() -> None:
    wanted = pod("p", volumes=[{"name": "e", "ephemeral": {}}])
    text = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-e"'
    assert text in World().decide(wanted)[1]
    text = "PVC default/p-e was not created for pod default/p (pod is not owner)"
    assert text in World(claim("p-e", bound="v"), volume("v")).decide(wanted)[1]


TOPOLOGY = [{"matchLabelExpressions": [{"key": "zone", "values": ["b"]}]}]
TAKEN = {"name": "other", "namespace": "default", "uid": "x"}
DRIVER = {"kind": "CSIDriver", "metadata": {"name": "p", "resourceVersion": "1"}, "spec": {"storageCapacity": True}}


def room(size: str) -> Object:
    near = {"matchLabels": {"zone": "b"}}
    metadata = {"name": "room", "namespace": "x", "resourceVersion": "1"}
    told = {"storageClassName": "w", "capacity": size, "nodeTopology": near}
    return {"kind": "CSIStorageCapacity", "metadata": metadata, **told}


@pytest.mark.parametrize(
    ("held", "chosen", "text"),
    [
        ([claim(bound="v"), volume("v", zone="b")], "n2", ""),
        ([claim(bound="v"), volume("v", zone="c")], None, "2 node(s) had volume node affinity conflict"),
        ([claim(bound="v")], None, "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
        ([claim(of="w"), storage_class("w"), volume("v", of="w", zone="b")], "n1", ""),  # n1 is provisioned for
        ([claim(of="w"), storage_class("w", volumes.NO_PROVISIONER), volume("v", of="w", zone="b")], "n2", ""),
        (
            [claim(of="w"), storage_class("w", volumes.NO_PROVISIONER), volume("v", of="w", claimRef=TAKEN)],
            None,
            "2 node(s) didn't find available persistent volumes to bind",
        ),
        ([claim(of="w"), storage_class("w", allowedTopologies=TOPOLOGY)], "n2", ""),
        ([claim(of="w", selected="n2"), storage_class("w")], "n2", ""),
        ([claim(of="w"), storage_class("w"), DRIVER, room("2Gi")], "n2", ""),
        (
            [claim(of="w"), storage_class("w"), DRIVER, room("1Mi")],
            None,
            "2 node(s) did not have enough free storage",
        ),
        ([claim(bound="v"), volume("v", labels={"topology.kubernetes.io/zone": "b"})], "n1", ""),  # nodes say no zone
    ],
)
def test_where_the_volumes_are(held: list[Object], chosen: str | None, text: str) -> None:
    found, said = World(*held).decide(user())
    assert found == chosen and text in said


ZONE, OLD_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("of_node", "of_volume", "fits"),
    [
        pytest.param({ZONE: "a"}, {ZONE: "b__c"}, False, id="elsewhere"),
        pytest.param({ZONE: "b"}, {ZONE: "b__c"}, True, id="one of them"),
        pytest.param({ZONE: "b"}, {OLD_ZONE: "b"}, True, id="an old volume"),
        pytest.param({OLD_ZONE: "b"}, {ZONE: "b"}, False, id="an old node"),
    ],
)
def test_zones_of_labelled_volumes(of_node: dict[str, str], of_volume: dict[str, str], fits: bool) -> None:
    world = World(claim(bound="v"), volume("v", labels=of_volume))
    made = decide(world.framework, PodInfo(user()), snapshot_of([node("z1", labels=of_node)], []))
    assert (made.node is not None) == fits
    if not fits:
        assert made.refusals["z1"].reasons == ("node(s) had no available volume zone",)


def test_one_volume_is_not_given_twice() -> None:
    world = World(
        claim("a", of="w"),
        claim("b", of="w"),
        storage_class("w", volumes.NO_PROVISIONER),
        volume("v", of="w"),
    )
    first, snapshot = PodInfo(user("p", "a")), snapshot_of(NODES, [])
    assert world.framework.reserve(first, snapshot.by_name["n1"])
    assert "didn't find available persistent volumes" in world.decide(user("q", "b"))[1]
    world.framework.unreserve(first)
    assert world.decide(user("q", "b"))[0] == "n1"


def test_a_claim_of_one_pod() -> None:
    world = World(claim(bound="v", accessModes=["ReadWriteOncePod"]), volume("v", accessModes=["ReadWriteOncePod"]))
    text = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert text in world.decide(user("q"), user("p", on="n1"))[1]
    assert world.decide(user("q"))[0] == "n1"


@pytest.mark.parametrize(
    ("kind", "mine", "theirs", "clash"),
    [
        ("gcePersistentDisk", {"pdName": "d"}, {"pdName": "d"}, True),
        ("gcePersistentDisk", {"pdName": "d", "readOnly": True}, {"pdName": "d", "readOnly": True}, False),
        ("awsElasticBlockStore", {"volumeID": "d", "readOnly": True}, {"volumeID": "d", "readOnly": True}, True),
        ("iscsi", {"iqn": "a"}, {"iqn": "b"}, False),
        (
            "rbd",
            {"monitors": ["1"], "pool": "p", "image": "i"},
            {"monitors": ["1", "2"], "pool": "p", "image": "i"},
            True,
        ),
        ("rbd", {"monitors": ["1"], "pool": "p", "image": "i"}, {"monitors": ["2"], "pool": "p", "image": "i"}, False),
    ],
)
def test_disks_that_one_node_mounts_once(kind: str, mine: Object, theirs: Object, clash: bool) -> None:
    assert conflicts({"name": "v", kind: mine}, {"name": "v", kind: theirs}) is clash


def test_a_driver_attaches_so_many() -> None:
    drivers = [{"name": "d", "nodeID": "n1", "allocatable": {"count": 1}}]
    limit = {"kind": "CSINode", "metadata": {"name": "n1", "resourceVersion": "1"}, "spec": {"drivers": drivers}}
    held = [volume(name, csi={"driver": "d", "volumeHandle": name}) for name in ("v", "w")]
    world = World(claim("a", bound="v"), claim("b", bound="w"), *held, limit)
    running = user("p", "a", on="n1")
    snapshot = snapshot_of(NODES[:1], [running])
    made = decide(world.framework, PodInfo(user("q", "b")), snapshot)
    assert made.refusals["n1"].reasons == ("node(s) exceed max volume count",)
    assert decide(world.framework, PodInfo(user("q", "a")), snapshot).node == "n1"  # the same volume counts once


async def test_the_wait_ends_when_the_claim_is_bound() -> None:
    world = World(claim(of="w"), storage_class("w"))
    wanted, chosen = PodInfo(user()), snapshot_of(NODES, []).by_name["n1"]
    assert world.framework.reserve(wanted, chosen)

    async def bind() -> None:
        while not world.api.updated:
            await world.clock.advance(0.1)
        asked = world.api.updated[0]
        assert asked["metadata"]["annotations"][volumes.SELECTED_NODE] == "n1"
        world.put(volume("v", of="w"))
        made = claim(of="w", bound="v", selected="n1")
        made["metadata"]["resourceVersion"] = "9"
        world.put(made)

    await _beside(world.binding.pre_bind(wanted, chosen, lambda: False), bind())


async def test_the_wait_goes_on_until_the_volume_is_seen_that_the_claim_names() -> None:
    """It may be one that the node does not reach."""
    world = World(claim(of="w"), storage_class("w"))
    wanted, chosen = PodInfo(user()), snapshot_of(NODES, []).by_name["n1"]
    world.framework.reserve(wanted, chosen)

    async def bind() -> None:
        while not world.api.updated:
            await world.clock.advance(0.1)
        made = claim(of="w", bound="v", selected="n1")
        made["metadata"]["resourceVersion"] = "9"
        world.put(made)
        await world.clock.advance(3)
        world.put(volume("v", of="w", zone="b"))
        await world.clock.advance(3)

    text = 'binding volumes: pv "v" node affinity doesn\'t match node "n1": no matching NodeSelectorTerms'
    with pytest.raises(PreBindFailed, match=f"^{text}$"):
        await _beside(world.binding.pre_bind(wanted, chosen, lambda: False), bind())


@pytest.mark.parametrize(
    ("left", "text"),
    [
        ({"volume.kubernetes.io/storage-provisioner": "d"}, 'provisioning failed for PVC "c"'),
        (None, 'selectedNode annotation reset for PVC "c"'),
    ],
)
async def test_the_wait_ends_when_the_provisioner_gives_up(left: Object | None, text: str) -> None:
    world = World(claim(of="w"), storage_class("w"))
    wanted, chosen = PodInfo(user()), snapshot_of(NODES, []).by_name["n1"]
    world.framework.reserve(wanted, chosen)

    async def give_up() -> None:
        while not world.api.updated:
            await world.clock.advance(0.1)
        refused = claim(of="w")
        refused["metadata"] |= {"resourceVersion": "9", "annotations": left}
        world.put(refused)

    with pytest.raises(PreBindFailed, match=f"^binding volumes: {text}$"):
        await _beside(world.binding.pre_bind(wanted, chosen, lambda: False), give_up())


@pytest.mark.parametrize(
    ("gone", "text"), [(True, "pod does not exist any more"), (False, "context deadline exceeded")]
)
async def test_the_wait_has_an_end(gone: bool, text: str) -> None:
    world = World(claim(of="w"), storage_class("w"))
    wanted, chosen = PodInfo(user()), snapshot_of(NODES, []).by_name["n1"]
    world.framework.reserve(wanted, chosen)

    async def pass_time() -> None:
        for _ in range(700):
            await world.clock.advance(1)

    with pytest.raises(PreBindFailed, match=text):
        await _beside(world.binding.pre_bind(wanted, chosen, lambda: gone), pass_time())


async def _beside(waiting: Any, happening: Any) -> None:
    task = asyncio.ensure_future(waiting)
    await happening
    await task


def test_hints() -> None:
    world, waiting = World(), PodInfo(user())
    assert world.framework.may_help(waiting, ["VolumeBinding"], Change(What.CLAIM, key="default/c"))
    assert not world.framework.may_help(waiting, ["VolumeBinding"], Change(What.CLAIM, key="default/d"))
    assert world.framework.may_help(waiting, ["VolumeBinding"], Change(What.VOLUME, key="v"))
    assert not world.framework.may_help(waiting, ["NodeResourcesFit"], Change(What.VOLUME, key="v"))
