"""The encryption configuration while the server runs: a changed file holds once its plug-ins are well."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import render
from controlplane.apiserver.encryption.current import Current
from controlplane.apiserver.encryption.storage import EncryptedStorage
from controlplane.apiserver.reloads import server_identity
from controlplane.apiserver.storage.sqlite import SqliteStorage
from tests.kms_plugin import KmsPlugin

WHERE = "/registry/secrets/default/a"
SECRET = base64.b64encode(bytes(32)).decode()
RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total"
AESGCM = {"aesgcm": {"keys": [{"name": "key1", "secret": SECRET}]}}


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[KmsPlugin]:
    with KmsPlugin.serving(tmp_path) as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "encryption.json"


def write(file: Path, *providers: Any) -> None:
    """In one step, and another file than before: a look at it may come at any moment."""
    rules = [{"resources": ["secrets"], "providers": list(providers)}]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules}
    (file.parent / "new").write_bytes(orjson.dumps(document))
    (file.parent / "new").replace(file)


def kms(plugin: KmsPlugin, name: str = "mine") -> Any:
    return {"kms": {"apiVersion": "v2", "name": name, "endpoint": plugin.endpoint, "timeout": "300ms"}}


def prefix(current: Current) -> bytes:
    """What a secret would be stored as now."""
    stored = current.value["", "secrets"].write(b"plain", WHERE)
    return b":".join(stored.split(b":")[:5]) + b":"


async def until(clock: ManualClock, current: Current, wanted: bytes) -> None:
    async with asyncio.timeout(60):
        while prefix(current) != wanted:
            await clock.advance(1)
            await asyncio.sleep(0.01)


async def test_a_changed_file_waits_for_its_plugins(file: Path, plugin: KmsPlugin) -> None:
    clock, before = ManualClock(), (counted("success"), counted("failure"))
    write(file, AESGCM)
    current = Current(file, clock, reload=True)
    await current.start()
    await current.check()
    assert current.probed and prefix(current) == b"k8s:enc:aesgcm:v1:key1:"
    old = current.value["", "secrets"].write(b"plain", WHERE)

    plugin.healthz = "not yet"
    write(file, kms(plugin), AESGCM)
    async with asyncio.timeout(60):
        while plugin.count("Status") < 3:
            await clock.advance(1)
            await asyncio.sleep(0.01)
    assert prefix(current) == b"k8s:enc:aesgcm:v1:key1:"
    await current.check()
    plugin.healthz = "ok"
    await until(clock, current, b"k8s:enc:kms:v2:mine:")
    assert await current.value["", "secrets"].opened(old, WHERE) == (b"plain", True)

    plugin.healthz = "not any more"
    await clock.advance(21)
    with pytest.raises(ValueError, match="kms-provider-0: kmsv2 Provider mine is not healthy"):
        await current.check()
    file.write_text("nonsense: [")
    await clock.advance(2)
    assert prefix(current) == b"k8s:enc:kms:v2:mine:"
    write(file, AESGCM)
    await until(clock, current, b"k8s:enc:aesgcm:v1:key1:")
    await current.close()
    assert (counted("success") - before[0], counted("failure") - before[1]) == (2, 2)


def counted(status: str) -> float:
    """Reloads that /metrics tells of."""
    begin = f'{RELOADS}{{apiserver_id_hash="{server_identity()}",status="{status}"}} '
    found = [line.removeprefix(begin) for line in render().decode().splitlines() if line.startswith(begin)]
    return float(found[0]) if found else 0.0


async def test_what_is_written_over_before_it_held(file: Path, plugin: KmsPlugin) -> None:
    clock = ManualClock()
    write(file, AESGCM)
    current = Current(file, clock, reload=True)
    await current.start()
    plugin.healthz = "never"
    write(file, kms(plugin, "first"))
    async with asyncio.timeout(60):
        while not plugin.calls:
            await clock.advance(1)
            await asyncio.sleep(0.01)
    write(file, {"aesgcm": {"keys": [{"name": "key2", "secret": SECRET}]}})
    await until(clock, current, b"k8s:enc:aesgcm:v1:key2:")
    await current.close()


async def test_without_the_flag_a_file_is_read_once(file: Path, plugin: KmsPlugin) -> None:
    clock = ManualClock()
    write(file, AESGCM)
    current = Current(file, clock, reload=False)
    await current.start()
    assert not current.probed
    write(file, {"identity": {}})
    await clock.advance(5)
    assert prefix(current) == b"k8s:enc:aesgcm:v1:key1:"
    await current.close()
    write(file, kms(plugin))
    assert Current(file, clock, reload=False).probed


async def test_a_watch_learns_keys_on_its_way(file: Path, plugin: KmsPlugin, tmp_path: Path) -> None:
    """What one server writes another hears of, though it has to ask the plug-in first."""
    clock = ManualClock()
    write(file, kms(plugin))
    plain = await SqliteStorage.open(tmp_path / "state.db")
    one, other = (EncryptedStorage(plain, Current(file, clock, reload=False)) for _ in range(2))
    for each in (one, other):
        assert isinstance(each.configured, Current)
        await each.configured.start()
    async with other.watch("/registry/secrets/", 1) as watch:
        revision = await one.create(WHERE, b"first")
        plugin.refusals["Decrypt"] = "sealed"
        with pytest.raises(Exception, match="failed to decrypt DEK"):
            await anext(watch)
        plugin.refusals.clear()
        assert (await anext(watch)).value == b"first", "nothing is lost"
        await one.update(WHERE, b"second", revision)
        change = await anext(watch)
        assert (change.value, change.prev_value) == (b"second", b"first")
    found = await other.get(WHERE)
    assert found is not None and found.value == b"second"
    assert [each.value for each in (await other.list("/registry/secrets/")).items] == [b"second"]
    stored = await plain.get(WHERE)
    assert stored is not None and stored.value.startswith(b"k8s:enc:kms:v2:mine:") and b"second" not in stored.value
    for each in (other, one):
        await each.configured.close()  # type: ignore[attr-defined]
    await plain.close()


def test_a_plugin_of_the_first_version(file: Path) -> None:
    write(file, {"kms": {"name": "old", "endpoint": "unix:///x.sock"}})
    with pytest.raises(ValueError, match="KMSv1 is deprecated and will only receive security updates going forward"):
        Current(file, ManualClock(), reload=False)
