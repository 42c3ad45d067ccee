"""Address management, by itself: ours and the reference's host-local on the same directory format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cni.plugins import Answer, Plugins

Leases = Callable[[], dict[str, str]]


class Manager:
    """One network's addresses, managed by one implementation; a test may hand over to another."""

    def __init__(self, plugins: Plugins, ipam: dict[str, Any]) -> None:
        self.plugins, self.ipam = plugins, ipam

    def call(self, command: str, container: str, **more: Any) -> Answer:
        config = {"cniVersion": "1.0.0", "name": "kubelab", "type": "x", "ipam": self.ipam, **more.pop("config", {})}
        return self.plugins.call(
            self.plugins.host_local, command, config, container=container, netns="/run/netns/none", **more
        )

    def add(self, container: str, **more: Any) -> list[str]:
        return [ip["address"] for ip in self.call("ADD", container, **more).result["ips"]]

    def delete(self, container: str) -> None:
        assert self.call("DEL", container).code == 0


@pytest.fixture
def manager(plugins: Plugins, ipam: dict[str, Any]) -> Manager:
    return Manager(plugins, ipam)


def test_round_robin_so_that_a_freed_address_rests(manager: Manager) -> None:
    assert manager.add("a") == ["10.99.1.2/24"]
    assert manager.add("b") == ["10.99.1.3/24"]
    manager.delete("a")
    manager.delete("b")
    assert manager.add("c") == ["10.99.1.4/24"]


def test_wraps_round_to_freed_addresses_and_ends(manager: Manager) -> None:
    manager.ipam["ranges"] = [[{"subnet": "10.99.1.0/29"}]]
    given = [manager.add(f"c{number}")[0] for number in range(5)]
    assert given == [f"10.99.1.{last}/29" for last in range(2, 7)]
    full = manager.call("ADD", "more").error
    assert "no IP addresses available in range set: 10.99.1.1-10.99.1.6" in full["msg"]
    manager.delete("c1")
    assert manager.add("more") == ["10.99.1.3/29"]


def test_files_are_as_operators_know_them(manager: Manager, leases: Leases) -> None:
    manager.add("0123abcd")
    directory = Path(manager.ipam["dataDir"], "kubelab")
    assert leases() == {"10.99.1.2": "0123abcd\r\neth0"}
    assert (directory / "last_reserved_ip.0").read_text() == "10.99.1.2"
    assert (directory / "lock").exists()


def test_one_address_of_each_range_set(manager: Manager, leases: Leases) -> None:
    manager.ipam["ranges"] = [[{"subnet": "10.99.1.0/24"}], [{"subnet": "fd00:99::/64"}]]
    manager.ipam["routes"] = [{"dst": "0.0.0.0/0"}, {"dst": "fd01::/16", "gw": "fd00:99::1"}]
    result = manager.call("ADD", "a").result
    assert [(ip["address"], ip["gateway"]) for ip in result["ips"]] == [
        ("10.99.1.2/24", "10.99.1.1"),
        ("fd00:99::2/64", "fd00:99::1"),
    ]
    assert result["routes"] == manager.ipam["routes"]
    assert set(leases()) >= {"10.99.1.2"}
    manager.delete("a")
    assert leases() == {}


def test_several_ranges_in_a_set_follow_each_other(manager: Manager) -> None:
    manager.ipam["ranges"] = [
        [
            {"subnet": "10.99.1.0/24", "rangeStart": "10.99.1.10", "rangeEnd": "10.99.1.11"},
            {"subnet": "10.99.2.0/24", "rangeStart": "10.99.2.5", "rangeEnd": "10.99.2.5"},
        ]
    ]
    given = [manager.add(name)[0] for name in "abc"]
    assert given == ["10.99.1.10/24", "10.99.1.11/24", "10.99.2.5/24"]
    manager.delete("b")
    assert manager.add("d") == ["10.99.1.11/24"]


def test_an_address_asked_for(manager: Manager) -> None:
    assert manager.add("a", args="IP=10.99.1.77;IgnoreUnknown=1") == ["10.99.1.77/24"]
    taken = manager.call("ADD", "b", args="IP=10.99.1.77;IgnoreUnknown=1").error
    assert "requested IP address 10.99.1.77 is not available in range set" in taken["msg"]
    gateway = manager.call("ADD", "b", args="IP=10.99.1.1;IgnoreUnknown=1").error
    assert "requested ip 10.99.1.1 is subnet's gateway" in gateway["msg"]
    elsewhere = manager.call("ADD", "b", args="IP=10.98.1.1;IgnoreUnknown=1").error
    assert "failed to allocate all requested IPs: 10.98.1.1" in elsewhere["msg"]
    assert manager.add("b", config={"runtimeConfig": {"ips": ["10.99.1.80"]}}) == ["10.99.1.80/24"]


def test_an_attachment_has_one_address(manager: Manager, leases: Leases) -> None:
    manager.add("a")
    refused = manager.call("ADD", "a").error
    why = "10.99.1.2 has been allocated to a, duplicate allocation is not allowed"
    assert refused["msg"].endswith(f"failed to allocate for range 0: {why}")
    assert list(leases()) == ["10.99.1.2"]
    assert manager.add("a", interface="net1") == ["10.99.1.3/24"]


def test_check_knows_its_attachments(manager: Manager) -> None:
    manager.add("a")
    assert manager.call("CHECK", "a").code == 0
    assert "Failed to find address added by container b" in manager.call("CHECK", "b").error["msg"]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([], "no IP ranges specified"),
        ([[]], "invalid range set 0"),
        ([[{"subnet": "10.0.0.0/31"}]], "too small to allocate from"),
        ([[{"subnet": "10.0.0.5/24"}]], "the network address is 10.0.0.0"),
        ([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}]], "RangeStart 10.0.1.1 not in network 10.0.0.0/24"),
        ([[{"subnet": "10.0.0.0/24"}], [{"subnet": "10.0.0.0/16"}]], "range set 0 overlaps with 1"),
        ([[{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]], "mixed address families"),
        ([[{"subnet": "ten"}]], "invalid CIDR address: ten"),
    ],
)  # fmt: skip
def test_ranges_that_make_no_sense_are_refused(manager: Manager, ranges: Any, words: str) -> None:
    manager.ipam["ranges"] = ranges
    assert words in manager.call("ADD", "a").error["msg"]


@pytest.mark.parametrize(("first", "then"), [("ours", "reference"), ("reference", "ours")])
def test_one_takes_over_from_the_other(
    first: str, then: str, ipam: dict[str, Any], leases: Leases, request: pytest.FixtureRequest
) -> None:
    before = Manager(request.getfixturevalue(first), ipam)
    after = Manager(request.getfixturevalue(then), ipam)
    assert before.add("a") == ["10.99.1.2/24"]
    assert after.add("b") == ["10.99.1.3/24"]
    assert "has been allocated to a" in after.call("ADD", "a").error["msg"]
    assert after.call("CHECK", "a").code == 0
    after.delete("a")
    before.delete("b")
    assert leases() == {}
