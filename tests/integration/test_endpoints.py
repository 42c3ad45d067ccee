"""Endpoints and slices of a Service, beside each other: what both say, and what is left behind."""

from __future__ import annotations

from pathlib import Path

from apimachinery.api.catalogue import ENDPOINTS, ENDPOINTSLICES, EVENTS, PODS, RESOURCEQUOTAS, SERVICES
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.faults import Faults, Manager
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"


async def test_both_tell_since_when_they_are_true_and_leftovers_go(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data", controllers=False) as cluster:
        client = cluster.client
        await cluster.fleet.add("worker-1")
        subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}]
        for name in ("left", "written", "leader"):
            notes = {"control-plane.alpha.kubernetes.io/leader": "{}"} if name == "leader" else {}
            metadata = {"name": name, "namespace": "default", "annotations": notes}
            await client.create(ENDPOINTS, {"metadata": metadata, "subsets": subsets})
        ports = [{"port": 80}]
        await client.create(SERVICES, {"metadata": {"name": "written"}, "spec": {"ports": ports}}, "default")
        spec = {"selector": {"app": "web"}, "ports": ports}
        made = await client.create(SERVICES, {"metadata": {"name": "web"}, "spec": spec}, "default")
        async with Manager(cluster, Faults()):
            await gone(cluster, ENDPOINTS, "left")
            for name in ("written", "leader"):
                await client.get(ENDPOINTS, name, "default")
            await _told(cluster, [], made["metadata"]["creationTimestamp"])
            pod = {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": template()["spec"]}
            await client.create(PODS, pod, "default")
            await _told(cluster, ["web"])
            await client.delete(SERVICES, "web", "default")
            await gone(cluster, ENDPOINTS, "web")


async def test_endpoints_that_are_refused_are_told_of(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data", scheduler=False) as cluster:
        client = cluster.client
        hard = {"count/endpoints": "0", "count/endpointslices.discovery.k8s.io": "0"}
        quota = {"metadata": {"name": "none"}, "spec": {"hard": hard}}
        await client.create(RESOURCEQUOTAS, quota, "default")

        async def counted() -> bool:
            return bool(((await client.get(RESOURCEQUOTAS, "none", "default")).get("status") or {}).get("used"))

        await cluster.eventually(counted, "the quota in force")
        spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await client.create(SERVICES, {"metadata": {"name": "web"}, "spec": spec}, "default")
        begin = 'Failed to create endpoint for service default/web: endpoints "web" is forbidden: '

        async def there() -> bool:
            listed = (await client.list(ENDPOINTS, "default", field_selector="metadata.name=web"))["items"]
            return bool(listed)

        async def told() -> bool:
            if await there():  # it was faster than the quota: once more
                await client.delete(ENDPOINTS, "web", "default")
            selector = "involvedObject.name=web,involvedObject.kind=Endpoints,reason=FailedToCreateEndpoint"
            events = (await client.list(EVENTS, "default", field_selector=selector))["items"]
            return any(each["type"] == "Warning" and each["message"].startswith(begin) for each in events)

        await cluster.eventually(told, "the event of the refusal")
        of = 'EndpointSlice for Service default/web: endpointslices.discovery.k8s.io "web-'
        refused = f"Error updating Endpoint Slices for Service default/web: failed to create {of}"

        async def told_of_slices() -> bool:
            label = "kubernetes.io/service-name=web"
            for each in (await client.list(ENDPOINTSLICES, "default", label_selector=label))["items"]:
                await client.delete(ENDPOINTSLICES, objects.name(each), "default")
            selector = "involvedObject.kind=Service,reason=FailedToUpdateEndpointSlices"
            events = (await client.list(EVENTS, "default", field_selector=selector))["items"]
            return any(each["message"].startswith(refused) for each in events)

        await cluster.eventually(told_of_slices, "the event of the slices' refusal")
        await client.delete(RESOURCEQUOTAS, "none", "default")
        await cluster.eventually(there, "the Endpoints, once nobody refuses them")


async def _told(cluster: Simulation, names: list[str], since: str = "") -> None:
    """Wait until the Endpoints and the slices of `web` list these pods as ready, and tell since when: the time at which
    the pod became ready, or `since`."""
    client = cluster.client

    async def look() -> bool:
        try:
            endpoints = await client.get(ENDPOINTS, "web", "default")
        except ApiError as error:
            if not is_not_found(error):
                raise
            return False
        label = "kubernetes.io/service-name=web"
        slices = (await client.list(ENDPOINTSLICES, "default", label_selector=label))["items"]
        wanted = since
        for name in names:
            ready = pods.condition(await client.get(PODS, name, "default"), "Ready") or {}
            wanted = ready.get("lastTransitionTime", "")
        old = [each["targetRef"]["name"] for of in endpoints.get("subsets") or () for each in of.get("addresses") or ()]
        ends = [each for of in slices for each in of.get("endpoints") or ()]
        new = [each["targetRef"]["name"] for each in ends if each["conditions"]["ready"]]
        told = {objects.annotations(each).get(LAST_CHANGE) for each in (endpoints, *slices)}
        return bool(slices) and (old, new, told) == (names, names, {wanted})

    await cluster.eventually(look, f"Endpoints and slices with {names}")
