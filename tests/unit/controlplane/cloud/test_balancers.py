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

from apimachinery.meta.cloud import ANNOUNCED_BY
from controlplane.cloud.kubelab.balancers import LabBalancers, choose_address, choose_node
from controlplane.cloud.kubelab.lab import LabFile, Pool
from controlplane.cloud.provider import Balancer, CloudProblem, Host
from controlplane.cloud.service_plan import (
    FINALIZER,
    asked_for,
    change_events,
    needs_cleanup,
    usable_hosts,
    wants_balancer,
)

POOL = Pool(ipaddress.ip_address("10.0.0.200"), ipaddress.ip_address("10.0.0.202"))
HOSTS = [Host("a", True), Host("b", True), Host("c", True)]


def _service(name: str, *ips: str, node: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "annotations": {ANNOUNCED_BY: node} if node else {},
        },
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "protocol": "TCP"}], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in ips]} if ips else {}},
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
        "name": "l", "driver": "netns", "region": "l", "networks": ["10.0.0.0/24"], "pods": [], "machines": [],
        "loadBalancers": [["10.0.0.200", "10.0.0.202"]],
    }  # fmt: skip
    (tmp_path / "cloud.json").write_text(json.dumps(config))
    return LabBalancers(LabFile(tmp_path / "cloud.json"))


def test_no_address_twice_also_after_a_restart(balancers: LabBalancers) -> None:
    async def check() -> None:
        balancers.adopt([_service("late", "10.0.0.200", node="b"), _service("other", "10.0.0.202", node="a")])
        assert await balancers.ensure(_service("late", "10.0.0.200", node="b"), HOSTS) == Balancer(("10.0.0.200",), "b")
        assert (await balancers.ensure(_service("new"), HOSTS)).addresses == ("10.0.0.201",)
        with pytest.raises(CloudProblem, match=r"no address of 10\.0\.0\.200-10\.0\.0\.202 is free"):
            await balancers.ensure(_service("fourth"), HOSTS)
        await balancers.delete("default/other")
        assert (await balancers.ensure(_service("fourth"), HOSTS)).addresses == ("10.0.0.202",)
        balancers.adopt([_service("late", "10.0.0.200", node="b")])
        assert await balancers.get(_service("fourth")) is None

    asyncio.run(check())


def test_of_two_that_show_one_address_the_second_gets_another(balancers: LabBalancers) -> None:
    async def check() -> None:
        twins = [_service("x", "10.0.0.201"), _service("y", "10.0.0.201")]
        balancers.adopt(twins)
        found = [(await balancers.ensure(each, HOSTS)).addresses for each in twins]
        assert found == [("10.0.0.201",), ("10.0.0.200",)]

    asyncio.run(check())


def _ensure(balancers: LabBalancers, name: str, *shown: str, **spec: Any) -> tuple[str, ...]:
    return asyncio.run(balancers.ensure(_service(name, *shown, **spec), HOSTS)).addresses


BOTH = ["IPv4", "IPv6"]


def test_a_family_that_the_lab_has_no_addresses_of(balancers: LabBalancers) -> None:
    for spec in ({"ipFamilies": ["IPv6"]}, {"ipFamilies": BOTH, "ipFamilyPolicy": "RequireDualStack"}):
        with pytest.raises(CloudProblem, match="the lab has no IPv6 addresses for load balancers"):
            _ensure(balancers, "six", **spec)
    assert _ensure(balancers, "six", ipFamilies=BOTH, ipFamilyPolicy="PreferDualStack") == ("10.0.0.200",)


@pytest.fixture
def both(tmp_path: Path) -> LabBalancers:
    config = {
        "name": "l", "driver": "netns", "region": "l", "networks": ["10.0.0.0/24", "fd00:1::/64"], "pods": [],
        "machines": [], "loadBalancers": [["10.0.0.200", "10.0.0.202"], ["fd00:1::200", "fd00:1::201"]],
    }  # fmt: skip
    (tmp_path / "both.json").write_text(json.dumps(config))
    return LabBalancers(LabFile(tmp_path / "both.json"))


def test_an_address_of_each_family_in_the_order_of_the_service(both: LabBalancers) -> None:
    assert _ensure(both, "four") == ("10.0.0.200",)
    assert _ensure(both, "six", ipFamilies=["IPv6"]) == ("fd00:1::200",)
    asked = "fd00:1:0::201"  # as people may write it
    assert _ensure(both, "both", ipFamilies=BOTH[::-1], loadBalancerIP=asked) == ("fd00:1::201", "10.0.0.201")
    with pytest.raises(CloudProblem, match="no address of fd00:1::200-fd00:1::201 is free"):
        _ensure(both, "more", ipFamilies=BOTH)
    with pytest.raises(CloudProblem, match=r"loadBalancerIP 'fd00:1::200' is not of 10\.0\.0\.200-"):
        _ensure(both, "mixed", loadBalancerIP="fd00:1::200")


def test_a_service_that_changes_its_families_keeps_what_it_may(both: LabBalancers) -> None:
    shown = ("10.0.0.202", "fd00:1::201")
    both.adopt([_service("a", *shown), _service("late", "10.0.0.201", "fd00:1::201")])
    assert _ensure(both, "a", *shown, ipFamilies=BOTH) == shown
    assert _ensure(both, "late", ipFamilies=BOTH) == ("10.0.0.201", "fd00:1::200")
    assert _ensure(both, "a", *shown, ipFamilies=["IPv4"]) == ("10.0.0.202",)
    assert _ensure(both, "new", ipFamilies=["IPv6"]) == ("fd00:1::201",)


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
        ("10.0.0.9", "", "is not of 10.0.0.200-10.0.0.202"),
        ("fd00::1", "", "is not of"),
        ("nonsense", "", "is not of"),
        ("10.0.0.201", "10.0.0.201", "is another Service's"),
    ],
)
def test_an_address_that_is_asked_for_and_cannot_be_had(
    balancers: LabBalancers, asked: str, taken: str, said: str
) -> None:
    if taken:
        _ensure(balancers, "other", loadBalancerIP=taken)
    with pytest.raises(CloudProblem, match=said):
        _ensure(balancers, "mine", loadBalancerIP=asked)


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
