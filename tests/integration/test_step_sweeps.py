"""`kubelab step` of controllers that look around from time to time: what the next round would do, and that it does."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS, NODES, PODS, SERVICEACCOUNTS
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta.status import ApiError, is_not_found
from apimachinery.meta.taints import OUT_OF_SERVICE
from controlplane.controllers.context import Context
from controlplane.controllers.pod_gc import ALL
from controlplane.controllers.wire import run_controllers
from tests.integration.faults import JumpingClock
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

Object = dict[str, Any]

PODS_LOOP, REQUESTS_LOOP = "pod-garbage-collector-controller", "certificatesigningrequest-cleaner-controller"


class Stepped:
    """The controllers, all of them at work, and their glass box."""

    def __init__(self, cluster: Simulation) -> None:
        self.cluster, self.client = cluster, cluster.client
        self.box, self.clock = GlassBox(Trace("kube-controller-manager")), JumpingClock()

    async def tell(self, loop: str, what: str, key: str) -> Any:
        return await self.box.answer("POST", f"loops/{loop}/{what}", {"key": key})

    async def rehearsed(self, loop: str, key: str, writes: list[str]) -> None:
        """Wait until it would write just that."""

        async def look() -> bool:
            told = await self.tell(loop, "rehearse", key)
            return [f"{each['method']} {each['path']}" for each in told.get("writes") or ()] == writes

        await self.cluster.eventually(look, f"{loop} would {writes}")


@pytest.fixture
async def stepped(tmp_path: Path) -> AsyncIterator[Stepped]:
    async with simulated_cluster(tmp_path / "data", controllers=False, scheduler=False) as cluster:
        made = Stepped(cluster)
        async with Client(cluster.controllers.client, "kube-controller-manager") as client:
            context = Context(client, cluster.controllers, made.clock)
            running = asyncio.create_task(run_controllers(context, made.box))

            async def there() -> bool:
                return bool((await made.box.answer("GET", "loops", {}))["leading"])

            await cluster.eventually(there, "the loops")
            for loop in (PODS_LOOP, REQUESTS_LOOP):
                await made.tell(loop, "pause", "")
            yield made
            await cancel_and_wait(running)


async def test_a_round_of_pod_gc(stepped: Stepped) -> None:
    client = stepped.client
    taint = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
    await client.create(NODES, {"metadata": {"name": "dead"}, "spec": {"taints": [taint]}})

    async def account() -> Object | None:
        try:
            return await client.get(SERVICEACCOUNTS, "default", "default")
        except ApiError as error:
            assert is_not_found(error)
            return None

    await stepped.cluster.eventually(account, "a service account")
    body = template(nodeName="dead", tolerations=[{"operator": "Exists"}])
    await client.create(PODS, {**body, "metadata": {"name": "stuck", "namespace": "default"}})
    await client.delete(PODS, "stuck", "default", grace_period=3600)
    path = "/api/v1/namespaces/default/pods/stuck"
    await stepped.rehearsed(PODS_LOOP, ALL, [f"PATCH {path}/status", f"DELETE {path}"])
    assert (await client.get(PODS, "stuck", "default"))["status"]["phase"] == "Pending"
    outcome = await stepped.tell(PODS_LOOP, "step", ALL)
    assert (outcome["result"], outcome["again"]) == ("success", 20.0)
    await gone(stepped.cluster, PODS, "stuck")


async def test_a_round_of_the_cleaner_of_certificate_requests(stepped: Stepped) -> None:
    client = stepped.client
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(names)
    request = signed.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    text = b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"request": text, "signerName": "example.com/serving", "usages": ["server auth"]}
    await client.create(CERTIFICATESIGNINGREQUESTS, {"metadata": {"name": "old"}, "spec": spec})
    await stepped.rehearsed(REQUESTS_LOOP, "old", [])
    stepped.clock.ahead += timedelta(hours=25)
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests/old"
    await stepped.rehearsed(REQUESTS_LOOP, "old", [f"DELETE {path}"])
    outcome = await stepped.tell(REQUESTS_LOOP, "step", "old")
    assert (outcome["result"], outcome["again"]) == ("success", None)
    await gone(stepped.cluster, CERTIFICATESIGNINGREQUESTS, "old", None)
