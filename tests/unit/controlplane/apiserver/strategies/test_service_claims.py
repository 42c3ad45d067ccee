"""Which node ports a Service takes, on the real embedded store."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.allocator import AddressPool, PortPool, Taken
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.storage.sqlite import SqliteStorage
from controlplane.apiserver.strategies.service import ServiceStrategy

SERVICES = CATALOGUE.by_kind("v1", "Service")
BALANCER = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}


@pytest.fixture
async def strategy(tmp_path: Path) -> AsyncIterator[ServiceStrategy]:
    storage = await SqliteStorage.open(tmp_path / "store.db")
    assert SERVICES is not None
    addresses = AddressPool(storage, ipaddress.IPv4Network("10.96.0.0/24"))
    yield ServiceStrategy(SERVICES, [addresses], PortPool(storage, 30000, 30099))
    await storage.close()


async def _allow(attributes: Attributes) -> tuple[Decision, str]:
    return Decision.ALLOW, ""


def call() -> Call:
    assert SERVICES is not None
    return Call(User("u"), SERVICES, "create", "default", "a", _allow)


async def claimed(strategy: ServiceStrategy, spec: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """The spec as it is stored."""
    new = {"metadata": {"name": "a"}, "spec": deepcopy(spec)}
    before = None if old is None else {"metadata": {"name": "a"}, "spec": old}
    if before is not None:
        strategy.prepare_update(call(), new, before)
    async with strategy.claim(call(), new, before):
        pass
    stored: dict[str, Any] = new["spec"]
    return stored


async def test_a_balancer_without_node_ports_gets_those_that_it_names(strategy: ServiceStrategy) -> None:
    ports = [{"port": 80, "nodePort": 30001}, {"port": 81}]
    spec = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": ports}
    stored = await claimed(strategy, spec)
    assert [port.get("nodePort") for port in stored["ports"]] == [30001, None]
    with pytest.raises(Taken):
        await strategy.ports.claim(30001, "other")


async def test_the_port_of_the_health_check_is_taken_when_it_is_named(strategy: ServiceStrategy) -> None:
    assert (await claimed(strategy, {**BALANCER, "healthCheckNodePort": 30005}))["healthCheckNodePort"] == 30005
    failed = "Internal error occurred: failed to allocate requested HealthCheck NodePort "
    for number, why in (
        (30005, "provided port is already allocated"),
        (80, "provided port is not in the valid range. The range of valid ports is 30000-30099"),
    ):
        with pytest.raises(ApiError) as refused:
            await claimed(strategy, {**BALANCER, "healthCheckNodePort": number})
        assert (refused.value.code, refused.value.message) == (500, f"{failed}{number}: {why}")


async def test_the_port_of_the_health_check_goes_with_the_policy(strategy: ServiceStrategy) -> None:
    old = await claimed(strategy, BALANCER)
    number = old["healthCheckNodePort"]
    cluster = {**deepcopy(old), "externalTrafficPolicy": "Cluster"}
    assert "healthCheckNodePort" not in await claimed(strategy, cluster, old)
    await strategy.ports.claim(number, "other")


async def test_a_port_keeps_its_node_port_by_its_name(strategy: ServiceStrategy) -> None:
    old = await claimed(strategy, {"type": "NodePort", "ports": [{"port": 80}]})
    new = await claimed(strategy, {"type": "NodePort", "ports": [{"port": 8080}]}, old)
    assert new["ports"] == [{"port": 8080, "nodePort": old["ports"][0]["nodePort"]}]
    renamed = await claimed(strategy, {"type": "NodePort", "ports": [{"name": "b", "port": 8080}]}, new)
    assert renamed["ports"][0]["nodePort"] != new["ports"][0]["nodePort"]


async def test_a_new_port_of_two_protocols_has_one_node_port(strategy: ServiceStrategy) -> None:
    ports = [
        {"name": "udp", "port": 53, "protocol": "UDP"},
        {"name": "tcp", "port": 53, "protocol": "TCP", "nodePort": 30053},
    ]
    stored = await claimed(strategy, {"type": "NodePort", "ports": ports})
    assert [port["nodePort"] for port in stored["ports"]] == [30053, 30053]
