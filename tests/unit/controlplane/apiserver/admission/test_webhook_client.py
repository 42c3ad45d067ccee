"""Reaching webhooks: what failures read like, and where a Service is."""

import asyncio

import pytest

from apimachinery.api.catalogue import (
    SERVICES,
)
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import put


async def test_a_webhook_that_does_not_answer_in_time(server, storage):
    hanging = asyncio.Event()
    client = WebhookClient(ObjectStore(SERVICES, storage))
    silent = await asyncio.start_server(lambda reader, writer: hanging.wait(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(CallFailed) as failed:
        await client.post({"url": f"https://127.0.0.1:{port}/x", "caBundle": server.bundle}, b"{}", 0.2)
    assert str(failed.value) == (
        f'failed to call webhook: Post "https://127.0.0.1:{port}/x?timeout=0.2s": context deadline exceeded'
    )
    hanging.set()
    silent.close()
    await client.close()


async def _answer_http(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    writer.close()


async def test_failures_to_connect(server, storage, tmp_path):
    client = WebhookClient(ObjectStore(SERVICES, storage))
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()

    async def failure(config):
        with pytest.raises(CallFailed) as failed:
            await client.post(config, b"{}", 5)
        return str(failed.value)

    url = f"https://127.0.0.1:{port}/"
    assert await failure({"url": url}) == (
        f'failed to call webhook: Post "{url}?timeout=5s": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    assert "x509: certificate signed by unknown authority" in await failure({"url": server.config()["url"]})
    plain = await asyncio.start_server(_answer_http, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/"
    assert (await failure({"url": url})).endswith(": http: server gave HTTP response to HTTPS client")
    plain.close()
    named = await failure({"url": "https://nobody.invalid/"})
    assert ": dial tcp: lookup nobody.invalid on " in named
    assert "Unparsable URL" in await failure({"url": "http://127.0.0.1/"})
    assert "must have either service or URL" in await failure({})
    await client.close()


async def test_a_service_is_called_at_its_cluster_ip_by_its_name(storage):
    client = WebhookClient(ObjectStore(SERVICES, storage))

    async def endpoint(name, port=None, path=None, **spec):
        await put(storage, SERVICES, {"metadata": {"name": name, "namespace": "a"}, "spec": spec})
        reference = {
            "name": name,
            "namespace": "a",
            **({"port": port} if port else {}),
            **({"path": path} if path else {}),
        }
        return await client.endpoint({"service": reference}, 2.0)

    found = await endpoint("good", 8443, "/mutate", clusterIP="10.96.0.7", ports=[{"port": 8443}])
    assert (found.host, found.port, found.name) == ("10.96.0.7", 8443, "good.a.svc")
    assert str(found.url) == found.shown == "https://good.a.svc:8443/mutate?timeout=2s"
    for name, spec, sentence in (
        (
            "noport",
            {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]},
            'no service port 443 found for service "noport"',
        ),
        ("headless", {"clusterIP": "None", "ports": [{"port": 443}]}, 'cannot route to service with ClusterIP "None"'),
        ("local", {"clusterIP": "127.0.0.1", "ports": [{"port": 443}]}, "address not allowed"),
        ("external", {"type": "ExternalName", "externalName": "localhost"}, "address not allowed"),
    ):
        with pytest.raises(CallFailed) as failed:
            await endpoint(name, **spec)
        assert str(failed.value) == f'failed to call webhook: Post "https://{name}.a.svc:443/?timeout=2s": {sentence}'
    with pytest.raises(CallFailed, match='service "gone" not found'):
        await client.endpoint({"service": {"name": "gone", "namespace": "a"}}, 10)
