"""Who gets which address, and which node announces it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.cloud.kubelab.balancers import LabBalancers, choose_address, choose_node
from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.provider import Balancer, CloudProblem, Host
from controlplane.cloud.service_plan import (
    ANNOUNCED_BY,
    FINALIZER,
    asked_for,
    change_events,
    needs_cleanup,
    usable_hosts,
    wants_balancer,
)

POOL = (ipaddress.IPv4Address("10.0.0.200"), ipaddress.IPv4Address("10.0.0.202"))
HOSTS = [Host("a", True), Host("b", True), Host("c", True)]


def _service(name: str, ip: str = "", node: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "annotations": {ANNOUNCED_BY: node} if node else {},
        },
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]} if ip else {}},
    }


def _node(name: str, ready: str = "True", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": changes.get("labels", {})},
        "spec": {"providerID": changes.get("provider_id", f"kubelab://l/{name}"), "taints": changes.get("taints", [])},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


@pytest.fixture
def balancers(tmp_path: Path) -> LabBalancers:
    config = {
        "name": "l", "driver": "netns", "region": "l", "network": "10.0.0.0/24", "pods": [], "machines": [],
        "loadBalancers": ["10.0.0.200", "10.0.0.202"],
    }  # fmt: skip
    (tmp_path / "cloud.json").write_text(json.dumps(config))
    return LabBalancers(LabFile(tmp_path / "cloud.json"))


def test_no_address_twice_also_after_a_restart(balancers: LabBalancers) -> None:
    async def check() -> None:
        balancers.adopt([_service("late", "10.0.0.200", "b"), _service("other", "10.0.0.202", "a")])
        assert await balancers.ensure(_service("late", "10.0.0.200", "b"), HOSTS) == Balancer("10.0.0.200", "b")
        assert (await balancers.ensure(_service("new"), HOSTS)).address == "10.0.0.201"
        with pytest.raises(CloudProblem, match=r"no address of 10\.0\.0\.200-10\.0\.0\.202 is free"):
            await balancers.ensure(_service("fourth"), HOSTS)
        await balancers.delete("default/other")
        assert (await balancers.ensure(_service("fourth"), HOSTS)).address == "10.0.0.202"
        balancers.adopt([_service("late", "10.0.0.200", "b")])
        assert await balancers.get(_service("fourth")) is None

    asyncio.run(check())


def test_of_two_that_show_one_address_the_second_gets_another(balancers: LabBalancers) -> None:
    async def check() -> None:
        twins = [_service("x", "10.0.0.201"), _service("y", "10.0.0.201")]
        balancers.adopt(twins)
        found = [(await balancers.ensure(each, HOSTS)).address for each in twins]
        assert found == ["10.0.0.201", "10.0.0.200"]

    asyncio.run(check())


def test_ipv6_alone_cannot_be_had(balancers: LabBalancers) -> None:
    with pytest.raises(CloudProblem, match="only IPv4"):
        asyncio.run(balancers.ensure(_service("six", ipFamilies=["IPv6"]), HOSTS))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40))
def test_addresses_are_never_shared(steps: list[tuple[bool, int]]) -> None:
    held: dict[int, str] = {}
    for take, key in steps:
        if not take:
            held.pop(key, None)
            continue
        others = {ip for other, ip in held.items() if other != key}
        try:
            held[key] = choose_address(POOL, others, "", held.get(key, ""))
        except CloudProblem:
            assert len(others) == 3
    assert len(set(held.values())) == len(held)


@pytest.mark.parametrize(
    ("asked", "taken", "said"),
    [
        ("10.0.0.9", set(), "is not of 10.0.0.200-10.0.0.202"),
        ("fd00::1", set(), "is not of"),
        ("nonsense", set(), "is not of"),
        ("10.0.0.201", {"10.0.0.201"}, "is another Service's"),
    ],
)
def test_an_address_that_is_asked_for_and_cannot_be_had(asked: str, taken: set[str], said: str) -> None:
    with pytest.raises(CloudProblem, match=said):
        choose_address(POOL, taken, asked, "10.0.0.200")


def test_an_address_that_is_asked_for() -> None:
    assert choose_address(POOL, {"10.0.0.200"}, "10.0.0.202", "10.0.0.201") == "10.0.0.202"


@given(st.sampled_from("abc"), st.text("xyz", min_size=1, max_size=5))
def test_a_service_moves_only_when_its_node_goes(gone: str, key: str) -> None:
    before = choose_node(key, HOSTS, "", local=False)
    rest = [Host(host.name, host.ready and host.name != gone) for host in HOSTS]
    after = choose_node(key, rest, before, local=False)
    assert after != gone and (before == gone or after == before)
    # Who comes back takes nothing away.
    assert choose_node(key, HOSTS, after, local=False) == after


def test_local_services_go_where_their_endpoints_are() -> None:
    hosts = [Host("a", True), Host("b", True, local=True), Host("c", False, local=True)]
    assert choose_node("k", hosts, "a", local=True) == "b"
    assert choose_node("k", hosts, "a", local=False) == "a"
    nobody = [Host("a", True), Host("c", False, local=True)]
    assert choose_node("k", nobody, "a", local=True) == "a"


def test_when_no_node_is_ready_nothing_moves() -> None:
    silent = [Host("a", False), Host("b", False)]
    assert choose_node("k", silent, "b", local=False) == "b"
    assert choose_node("k", silent, "gone", local=False) == choose_node("k", [], "b", local=False) == ""


def test_which_nodes_may_be_used() -> None:
    nodes = [
        _node("silent", "Unknown"),
        _node("good"),
        _node("master", labels={"node.kubernetes.io/exclude-from-external-load-balancers": ""}),
        _node("leaving", taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]),
        _node("unknown", provider_id=""),
    ]
    slices = [{"endpoints": [{"nodeName": "good"}, {"nodeName": "silent", "conditions": {"ready": False}}]}]
    assert usable_hosts(nodes, slices) == [Host("good", True, local=True), Host("silent", False)]
    assert usable_hosts(nodes, slices, {"good"})[0] == Host("good", False, local=True)


def test_which_services_are_ours() -> None:
    assert wants_balancer(_service("s"))
    assert not wants_balancer(_service("s", loadBalancerClass="example.com/other"))
    assert not wants_balancer(_service("s", type="NodePort"))
    owned = _service("s")
    owned["metadata"]["finalizers"] = [FINALIZER]
    assert not needs_cleanup(owned)
    owned["spec"]["type"] = "ClusterIP"
    assert needs_cleanup(owned)
    assert not needs_cleanup(_service("s", type="ClusterIP"))


def test_what_is_told_of_a_change() -> None:
    old = asked_for(_service("s"))
    new = asked_for(_service("s", loadBalancerSourceRanges=["10.0.0.0/8"], externalTrafficPolicy="Local"))
    assert change_events(old, new) == [
        ("LoadBalancerSourceRanges", " -> [10.0.0.0/8]"),
        ("ExternalTrafficPolicy", " -> Local"),
    ]
    assert change_events(old, old) == []
