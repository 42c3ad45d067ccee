"""What only etcd has: restarts under a running client, several endpoints, several API servers, client certificates."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit.certs import Authority
from controlplane.apiserver.storage.etcd import EtcdStorage
from controlplane.apiserver.storage.etcd_client import EtcdTls
from controlplane.apiserver.storage.interface import Unavailable
from tests.conformance.conftest import EtcdServer
from tests.conformance.storage.watch_reading import take


async def test_etcd_restart_keeps_data_and_watches_go_on(own_etcd_server) -> None:
    store = await EtcdStorage.open([own_etcd_server.endpoint])
    first = await store.create("/registry/a/x", b"1")
    async with store.watch("/registry/a/", first) as watch:
        own_etcd_server.kill()
        with pytest.raises(Unavailable):
            await store.get("/registry/a/x")
        with pytest.raises(Unavailable):
            await store.healthy()
        own_etcd_server.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    second = await store.update("/registry/a/x", b"2", first)
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        assert second == first + 1
        assert [change.value for change in await take(watch, 1)] == [b"2"]
    await store.close()


async def test_etcd_next_endpoint_when_one_is_down(own_etcd_server) -> None:
    store = await EtcdStorage.open(["http://127.0.0.1:1", own_etcd_server.endpoint])
    start = await store.current_revision()
    async with store.watch("/registry/a/", start) as watch:
        revision = await store.create("/registry/a/x", b"1")
        assert [change.revision for change in await take(watch, 1)] == [revision]
    await store.close()


async def test_etcd_nowhere() -> None:
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1: "):
        await EtcdStorage.open(["http://127.0.0.1:1"])


async def test_two_api_servers_see_each_other(etcd_server: EtcdServer, prefix: str) -> None:
    one, other = await EtcdStorage.open([etcd_server.endpoint]), await EtcdStorage.open([etcd_server.endpoint])
    async with one.watch(prefix, await one.current_revision()) as watch:
        for number in range(20):
            created = await other.create(f"{prefix}{number}", b"1")
            assert await one.current_revision() == created
            updated = await one.update(f"{prefix}{number}", b"2", created)
            assert [change.revision for change in await take(watch, 2)] == [created, updated]
    await one.close()
    await other.close()


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path, Authority.create("etcd-ca"))
    server.start()
    yield server
    server.kill()


async def test_client_certificates(tls_server: EtcdServer) -> None:
    files = tls_server.directory
    tls = EtcdTls(files / "ca.crt", files / "client.crt", files / "client.key")
    store = await EtcdStorage.open([tls_server.endpoint], tls=tls)
    revision = await store.create("/registry/a", b"1")
    stored = await store.get("/registry/a")
    assert stored is not None
    assert stored.mod_revision == revision
    await store.close()
    with pytest.raises(Unavailable):
        await EtcdStorage.open([tls_server.endpoint], tls=EtcdTls(files / "ca.crt"))


async def test_a_foreign_authority_is_not_trusted(tls_server: EtcdServer, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.crt"
    foreign.write_bytes(Authority.create("someone").pair.cert_pem)
    with pytest.raises(Unavailable):
        await EtcdStorage.open([tls_server.endpoint], tls=EtcdTls(foreign))
