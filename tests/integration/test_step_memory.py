"""`kubelab step` of controllers that decide by what they have seen go by: desired, actual, the next action, and that it
is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    NODES,
    PODS,
)
from apimachinery.meta import objects
from apimachinery.meta.taints import UNSCHEDULABLE
from controlplane.controllers import garbage_collector, hpa, node_ipam, node_lifecycle, taint_eviction, ttl
from tests.integration.stepped import Stepped, stepping
from tests.integration.workloads import gone, template

Object = dict[str, Any]

PAUSED = (
    garbage_collector.NAME, hpa.NAME, node_ipam.NAME, node_lifecycle.NAME, node_lifecycle.MONITOR, taint_eviction.NAME,
    ttl.NAME, "deployment-controller",
)  # fmt: skip


@pytest.fixture
async def stepped(tmp_path: Path) -> AsyncIterator[Stepped]:
    async with stepping(tmp_path / "data", *PAUSED) as made:
        yield made


async def test_every_loop_tells_of_any_key(stepped: Stepped) -> None:
    loops = await stepped.loops()
    assert len(loops) > 30
    for loop in loops:
        told = await stepped.tell(loop["name"], "rehearse", "nowhere/nobody" if loop["namespaced"] else "nobody")
        assert not told["error"] and told["writes"] == [], (loop["name"], told)
        assert {"picture", "events", "again"} <= told.keys(), loop["name"]


async def test_the_garbage_collector_knows_who_owned_what_is_gone(stepped: Stepped) -> None:
    client = stepped.client
    owner = await client.create(CONFIGMAPS, {"metadata": {"name": "owner"}}, "default")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": objects.uid(owner)}
    owned = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    key = objects.uid(await client.create(CONFIGMAPS, owned, "default"))

    async def seen() -> bool:
        told = await stepped.tell(garbage_collector.NAME, "rehearse", key)
        return bool(told["picture"]["rows"] == [["owner ConfigMap owner", "there", "there"]] and not told["writes"])

    await stepped.cluster.eventually(seen, "owner and owned are seen")
    await client.delete(CONFIGMAPS, "owner", "default", propagation="Background")
    told = await stepped.rehearsed(garbage_collector.NAME, key, ["DELETE /api/v1/namespaces/default/configmaps/owned"])
    assert told["picture"]["object"]["key"] == "default/owned"

    async def missed() -> bool:
        rows = (await stepped.tell(garbage_collector.NAME, "rehearse", key))["picture"]["rows"]
        return bool(rows == [["owner ConfigMap owner", "there", "gone"]])

    await stepped.cluster.eventually(missed, "the owner's end is seen")
    await client.get(CONFIGMAPS, "owned", "default")
    assert (await stepped.tell(garbage_collector.NAME, "step", key))["result"] == "success"
    await gone(stepped.cluster, CONFIGMAPS, "owned")


async def test_taint_eviction_knows_how_long_a_pod_has_been_there(stepped: Stepped) -> None:
    client, loop = stepped.client, taint_eviction.NAME
    taint = {"key": "x", "effect": "NoExecute"}
    await client.create(NODES, {"metadata": {"name": "ill"}, "spec": {"taints": [taint]}})
    body = template(nodeName="ill", tolerations=[{**taint, "operator": "Exists", "tolerationSeconds": 3600}])
    await stepped.create_pod({**body, "metadata": {"name": "guest", "namespace": "default"}})

    async def waits() -> Object | None:
        found: Object = await stepped.tell(loop, "rehearse", "default/guest")
        return found if found["again"] else None

    told = await stepped.cluster.eventually(waits, "pod and taint are seen")
    assert told["picture"]["rows"] == [["x of ill", "tolerated", "tolerated for 3600 s"]]
    assert told["again"] == pytest.approx(3600, abs=1)  # nobody counts yet: a rehearsal begins nothing
    stepped.clock.skipped += 100
    assert (await stepped.tell(loop, "rehearse", "default/guest"))["again"] == pytest.approx(3600, abs=1)
    assert (await stepped.tell(loop, "step", "default/guest"))["again"] == pytest.approx(3600, abs=1)
    stepped.clock.skipped += 3000
    told = await stepped.tell(loop, "rehearse", "default/guest")
    assert told["again"] < 601 and told["writes"] == []
    assert ("seconds with them", True) in [(what, actual >= 3000) for what, _, actual in told["picture"]["rows"][1:]]
    stepped.clock.skipped += 1000
    path = "/api/v1/namespaces/default/pods/guest"
    told = await stepped.rehearsed(loop, "default/guest", [f"PATCH {path}/status", f"DELETE {path}"])
    assert [event["message"] for event in told["events"]] == ["Marking for deletion Pod default/guest"]
    assert not objects.is_deleting(await client.get(PODS, "guest", "default"))
    assert (await stepped.tell(loop, "step", "default/guest"))["result"] == "success"
    assert objects.is_deleting(await client.get(PODS, "guest", "default"))


async def test_an_autoscaler(stepped: Stepped) -> None:
    client, loop = stepped.client, hpa.NAME
    pods = {"metadata": {"labels": {"app": "web"}}, "spec": template()["spec"]}
    spec = {"replicas": 5, "selector": {"matchLabels": {"app": "web"}}, "template": pods}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": target, "maxReplicas": 2}}
    await client.create(HORIZONTALPODAUTOSCALERS, scaler, "default")
    scale = "PUT /apis/apps/v1/namespaces/default/deployments/web/scale"
    status = "PUT /apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/web/status"
    told = await stepped.rehearsed(loop, "default/web", [scale, status])
    assert told["again"] == 15.0
    assert [(each["reason"], each["message"]) for each in told["events"]] == [
        ("SuccessfulRescale", "New size: 2; reason: Current number of replicas above Spec.MaxReplicas")
    ]
    assert (await client.get(DEPLOYMENTS, "web", "default"))["spec"]["replicas"] == 5
    assert (await stepped.tell(loop, "step", "default/web"))["again"] == 15.0
    assert (await client.get(DEPLOYMENTS, "web", "default"))["spec"]["replicas"] == 2


async def test_a_nodes_subnet_is_shown_as_often_as_one_likes_and_given_once(stepped: Stepped) -> None:
    client, loop = stepped.client, node_ipam.NAME
    for name in ("one", "two"):
        await client.create(NODES, {"metadata": {"name": name}})
    found = set()
    for name in ("one", "two", "one", "two"):
        told = await stepped.rehearsed(loop, name, [f"PATCH /api/v1/nodes/{name}"])
        assert told["picture"]["rows"] == [["pod subnets", 1, 0]]
        found.add(told["writes"][0]["body"]["spec"]["podCIDR"])
    assert len(found) == 1  # whoever comes first gets it
    await stepped.tell(loop, "step", "one")
    assert (await client.get(NODES, "one"))["spec"]["podCIDR"] in found
    told = await stepped.rehearsed(loop, "two", ["PATCH /api/v1/nodes/two"])
    assert told["writes"][0]["body"]["spec"]["podCIDR"] not in found


async def test_the_life_of_nodes(stepped: Stepped) -> None:
    client, taints, monitor = stepped.client, node_lifecycle.NAME, node_lifecycle.MONITOR
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fine"}
    for name in ("well", "silent"):
        await client.create(NODES, {"metadata": {"name": name}, "spec": {"unschedulable": name == "well"}})
        await client.patch(NODES, name, {"status": {"conditions": [ready]}}, subresource="status")

    async def tainted() -> bool:
        told = await stepped.tell(taints, "rehearse", "well")
        keys = [{each["key"] for each in write["body"]["spec"]["taints"]} for write in told["writes"]]
        return keys == [{UNSCHEDULABLE}]

    await stepped.cluster.eventually(tainted, "a cordon that is no taint yet")
    assert not (await stepped.tell(taints, "step", "well"))["error"]
    assert UNSCHEDULABLE in {each["key"] for each in (await client.get(NODES, "well"))["spec"]["taints"]}

    async def known() -> bool:
        rows = (await stepped.tell(monitor, "rehearse", node_lifecycle.ALL))["picture"]["rows"]
        return [row[2] for row in rows] == ["yes", "True", "yes", "True"]

    await stepped.cluster.eventually(known, "both nodes are Ready")
    assert not (await stepped.tell(monitor, "step", node_lifecycle.ALL))["error"]
    stepped.clock.skipped += 51
    await client.patch(
        NODES, "well", {"status": {"conditions": [{**ready, "lastHeartbeatTime": "2030-01-01T00:00:00Z"}]}},
        kind="strategic", subresource="status",
    )  # fmt: skip
    path = "/api/v1/nodes/silent"
    told = await stepped.rehearsed(monitor, node_lifecycle.ALL, [f"PATCH {path}/status", f"PATCH {path}"])
    assert ["silent heard within 50 s", "yes"] in [row[:2] for row in told["picture"]["rows"] if row[1] != row[2]]
    assert told["again"] == 5.0
    assert [(event["reason"], event["message"]) for event in told["events"]] == [
        ("NodeNotReady", "Node silent status is now: NodeNotReady")
    ]
    assert all(each["effect"] != "NoExecute" for each in (await client.get(NODES, "silent"))["spec"]["taints"])
    assert (await stepped.tell(monitor, "step", node_lifecycle.ALL))["result"] == "success"
    found = await client.get(NODES, "silent")
    assert [each["status"] for each in found["status"]["conditions"] if each["type"] == "Ready"] == ["Unknown"]
    assert "NoExecute" in {each["effect"] for each in found["spec"]["taints"]}


async def test_what_kubelets_are_told_by_the_size_of_the_cluster(stepped: Stepped) -> None:
    client, loop = stepped.client, ttl.NAME
    await client.create(NODES, {"metadata": {"name": "one"}})
    told = await stepped.rehearsed(loop, "one", ["PATCH /api/v1/nodes/one"])
    assert told["picture"]["rows"] == [["seconds, with 1 nodes", "0", "none"]]
    await stepped.tell(loop, "resume")
    for number in range(100):
        await client.create(NODES, {"metadata": {"name": f"more-{number}"}})

    def all_say(seconds: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            nodes = (await client.list(NODES))["items"]
            return {objects.annotations(node).get(ttl.ANNOTATION) for node in nodes} == {seconds}

        return look

    await stepped.cluster.eventually(all_say("15"), "all 101 nodes are told")
    for number in range(11):
        await client.delete(NODES, f"more-{number}")
    await client.patch(NODES, "one", {"metadata": {"annotations": {ttl.ANNOTATION: "odd"}}}, kind="merge")
    await stepped.cluster.eventually(all_say("15"), "90 nodes are no smaller a cluster yet, and what is odd is mended")
    await client.delete(NODES, "more-11")
    await stepped.cluster.eventually(all_say("0"), "89 nodes are")
