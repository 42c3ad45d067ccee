"""What the server looks after while it serves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    FLOWSCHEMAS,
    LEASES,
    NAMESPACES,
    PRIORITYLEVELCONFIGURATIONS,
    Resource,
)
from apimachinery.kit.certs import Authority
from apimachinery.kit.clock import ManualClock
from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Chain
from controlplane.apiserver.bootstrap.flow_control import ensure_flow_control
from controlplane.apiserver.bootstrap.identity import LABEL, IdentityLease
from controlplane.apiserver.bootstrap.objects import SYSTEM_NAMESPACES, ensure_namespaces
from controlplane.apiserver.bootstrap.trust import combined, ensure_trust
from controlplane.apiserver.bootstrap.upkeep import keep
from controlplane.apiserver.fairness.defaults import AUTOUPDATE, flow_schemas
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.reloads import server_name
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.storage.timeline import Timeline
from controlplane.apiserver.strategies.base import Strategy

Object = dict[str, Any]
LISTS = {
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-username-headers": '["X-Remote-User"]',
}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    yield Registry(storage, Strategy, Chain([]), ManualClock(), Timeline(keep=60))
    await storage.close()


async def names(registry: Registry, resource: Resource) -> set[str]:
    return {each["metadata"]["name"] for each in await registry.of(resource).store.all()}


async def remove(registry: Registry, resource: Resource, name: str, namespace: str = "") -> None:
    store = registry.of(resource).store
    await store.remove(await store.get(namespace, name))


def authority(name: str) -> str:
    return Authority.create(name).pair.cert_pem.decode()


async def test_a_system_namespace_comes_back(registry: Registry) -> None:
    clock = ManualClock()
    await ensure_namespaces(registry, clock)
    await remove(registry, NAMESPACES, "kube-node-lease")
    await ensure_namespaces(registry, clock)
    assert await names(registry, NAMESPACES) == set(SYSTEM_NAMESPACES)


async def test_flow_control_comes_back_and_what_passes_for_it_goes(registry: Registry) -> None:
    clock = ManualClock()
    await ensure_flow_control(registry, clock)
    defaults = await names(registry, FLOWSCHEMAS)
    await remove(registry, FLOWSCHEMAS, "catch-all")
    await remove(registry, PRIORITYLEVELCONFIGURATIONS, "workload-low")
    sample = flow_schemas()[0]
    for name, said in (
        ("former", {AUTOUPDATE: "true"}),
        ("former-too", {AUTOUPDATE: "1"}),
        ("own", {AUTOUPDATE: "false"}),
        ("odd", {AUTOUPDATE: "yes"}),
        ("plain", {}),
    ):
        await registry.of(FLOWSCHEMAS).store.create({**sample, "metadata": {"name": name, "annotations": said}})
    await ensure_flow_control(registry, clock)
    assert await names(registry, FLOWSCHEMAS) == defaults | {"own", "odd", "plain"}
    assert "workload-low" in await names(registry, PRIORITYLEVELCONFIGURATIONS)


async def test_whom_the_server_believes_is_added_and_comes_back(registry: Registry) -> None:
    clock, store = ManualClock(), registry.of(CONFIGMAPS).store
    old, new, front = (authority(name) for name in ("old", "new", "front"))
    where = "kube-system", "extension-apiserver-authentication"
    await ensure_trust(registry, clock, {"client-ca-file": old})
    first = await store.get(*where)
    assert first["data"] == {"client-ca-file": old}
    await ensure_trust(registry, clock, {"client-ca-file": old})
    assert await store.get(*where) == first
    own = {"client-ca-file": new, "requestheader-client-ca-file": front, **LISTS}
    await ensure_trust(registry, clock, own)
    assert (await store.get(*where))["data"] == {**own, "client-ca-file": old + new}
    await remove(registry, CONFIGMAPS, where[1], where[0])
    await ensure_trust(registry, clock, own)
    assert (await store.get(*where))["data"] == own


async def test_what_somebody_spoiled_is_left_alone(registry: Registry) -> None:
    store = registry.of(CONFIGMAPS).store
    meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    made = await store.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"client-ca-file": "x"}}
    )
    await ensure_trust(registry, ManualClock(), {"client-ca-file": authority("a")})
    assert await store.get("kube-system", "extension-apiserver-authentication") == made


def test_what_is_believed_together() -> None:
    ours, theirs = authority("ours"), authority("theirs")
    now = datetime.now(UTC)
    held = {
        "requestheader-client-ca-file": theirs,
        **LISTS,
        "requestheader-allowed-names": '["a","front-proxy-client"]',
        "other": "goes",
    }
    own = {"requestheader-client-ca-file": f"# a comment\n{ours}", **LISTS, "requestheader-allowed-names": '["b","a"]'}
    found = combined(held, own, now)
    assert set(found) == {"requestheader-client-ca-file", *LISTS}
    assert found["requestheader-client-ca-file"] == theirs + ours
    assert orjson.loads(found["requestheader-allowed-names"]) == ["a", "front-proxy-client", "b"]
    # Without a certificate, the names of headers say nothing.
    assert combined(LISTS, {}, now) == {}
    assert combined(held, own, now + timedelta(days=100 * 365)) == {}


@pytest.mark.parametrize("held", [{"client-ca-file": "none"}, {"requestheader-allowed-names": "{}"}])
def test_what_does_not_read_is_told(held: dict[str, str]) -> None:
    own = {"requestheader-client-ca-file": authority("front"), **LISTS}
    with pytest.raises(ValueError, match=r"certificates|no list"):
        combined(held, own, datetime.now(UTC))


async def test_each_is_done_once_a_minute_whatever_the_others_do() -> None:
    clock, done = ManualClock(), [0, 0]

    async def failing() -> None:
        done[0] += 1
        raise status.service_unavailable("away")

    async def working() -> None:
        done[1] += 1

    keeping = asyncio.ensure_future(keep({"a": failing, "b": working}, clock))
    await clock.advance(59)
    assert done == [0, 0]
    await clock.advance(121)
    assert done == [3, 3]
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


def renewed(time: str) -> Object:
    return {"renewTime": f"2025-12-31T{time}.000000Z", "leaseDurationSeconds": 3600}


async def test_a_server_says_that_it_is_there(registry: Registry) -> None:
    clock, store = ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), registry.of(LEASES).store
    for name, labels, spec in (
        ("gone", {LABEL: "kube-apiserver"}, {"renewTime": "2025-12-31T22:59:59.000000Z", "leaseDurationSeconds": 3600}),
        ("silent", {LABEL: "kube-apiserver"}, {}),
        (
            "there",
            {LABEL: "kube-apiserver"},
            {"renewTime": "2025-12-31T23:30:00.000000Z", "leaseDurationSeconds": 3600},
        ),
        ("other", {}, {}),
    ):
        meta = {"name": name, "namespace": "kube-system", "labels": labels}
        await store.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})
    running = asyncio.ensure_future(IdentityLease(registry, clock).run())
    while await names(registry, LEASES) != {server_name(), "there", "other"}:
        await asyncio.sleep(0)
    lease = await store.get("kube-system", server_name())
    assert lease["metadata"]["labels"] == {LABEL: "kube-apiserver", "kubernetes.io/hostname": socket.gethostname()}
    assert lease["spec"].pop("holderIdentity").startswith(f"{server_name()}_")
    assert lease["spec"] == {"leaseDurationSeconds": 3600, "renewTime": "2026-01-01T00:00:00.000000Z"}
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_lease_is_renewed_and_keeps_its_holder(registry: Registry) -> None:
    clock, store = ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), registry.of(LEASES).store
    await IdentityLease(registry, clock).renew()
    first = await store.get("kube-system", server_name())
    await clock.advance(10)
    await IdentityLease(registry, clock).renew()  # the process after it
    again = await store.get("kube-system", server_name())
    assert again["spec"] == {**first["spec"], "renewTime": "2026-01-01T00:00:10.000000Z"}
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
