"""`kubelab step` of controllers that look around from time to time: what the next round would do, and that it does."""

from __future__ import annotations

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

from apimachinery.api.catalogue import CERTIFICATESIGNINGREQUESTS, NODES, PODS
from apimachinery.meta.taints import OUT_OF_SERVICE
from controlplane.controllers.pod_gc import ALL
from tests.integration.stepped import Stepped, stepping
from tests.integration.workloads import gone, template

Object = dict[str, Any]

PODS_LOOP, REQUESTS_LOOP = "pod-garbage-collector-controller", "certificatesigningrequest-cleaner-controller"


@pytest.fixture
async def stepped(tmp_path: Path) -> AsyncIterator[Stepped]:
    async with stepping(tmp_path / "data", PODS_LOOP, REQUESTS_LOOP) as made:
        yield made


async def test_a_round_of_pod_gc(stepped: Stepped) -> None:
    client = stepped.client
    taint = {"key": OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
    await client.create(NODES, {"metadata": {"name": "dead"}, "spec": {"taints": [taint]}})
    body = template(nodeName="dead", tolerations=[{"operator": "Exists"}])
    await stepped.create_pod({**body, "metadata": {"name": "stuck", "namespace": "default"}})
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
