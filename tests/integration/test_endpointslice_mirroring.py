"""Endpoints that somebody writes for a Service without a selector, seen by who reads slices only."""

from __future__ import annotations

from pathlib import Path

from apimachinery.api.catalogue import ENDPOINTS, ENDPOINTSLICES, SERVICES
from apimachinery.meta import objects
from tests.integration.simulation import simulated_cluster


async def test_written_endpoints_are_seen_by_who_reads_slices(tmp_path: Path) -> None:
    async with simulated_cluster(tmp_path / "data", scheduler=False) as cluster:
        client = cluster.client
        metadata = {"name": "outside", "namespace": "default"}
        ports = [{"port": 5432}]
        # First the Service: Endpoints of none are swept away when the controller starts, which may be now.
        await client.create(SERVICES, {"metadata": metadata, "spec": {"ports": ports}})
        await client.create(
            ENDPOINTS, {"metadata": metadata, "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": ports}]}
        )

        async def addresses() -> list[str]:
            label = "kubernetes.io/service-name=outside"
            slices = (await client.list(ENDPOINTSLICES, "default", label_selector=label))["items"]
            return sorted(ip for each in slices for end in each.get("endpoints") or () for ip in end["addresses"])

        async def are(*wanted: str) -> None:
            async def look() -> bool:
                return await addresses() == sorted(wanted)

            await cluster.eventually(look, f"slices with {wanted}")

        await are("192.0.2.1")
        more = [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2"}], "ports": ports}]
        await client.patch(ENDPOINTS, "outside", {"subsets": more}, "default")
        await are("192.0.2.1", "192.0.2.2")
        await client.patch(SERVICES, "outside", {"spec": {"selector": {"app": "nobody"}}}, "default")
        await are()
        kubernetes = (
            await client.list(ENDPOINTSLICES, "default", label_selector="kubernetes.io/service-name=kubernetes")
        )["items"]
        assert [objects.name(each) for each in kubernetes] == ["kubernetes"], "the API server's own are not mirrored"
