"""A pod sends with its own addresses only; what it sends with another's never arrives."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.cni.plugins import Plugins
from tests.netns.cni import frames
from tests.netns.cni.frames import ARP, ICMPV6, IPV4, IPV6, Pod, ethernet
from tests.netns.cni.namespaces import Namespace

Config = dict[str, Any]
Make = Callable[[str], Namespace]


def attach(plugins: Plugins, config: Config, node: Namespace, pod: Namespace, container: str) -> Any:
    return plugins.call(plugins.bridge, "ADD", config, node=node, netns=str(pod.path), container=container).result


@pytest.fixture
def pods(plugins: Plugins, config: Config, node: Namespace, make: Make) -> Callable[[Config], tuple[Pod, Pod]]:
    def made(change: Config) -> tuple[Pod, Pod]:
        config["ipam"]["ranges"] = [[{"subnet": "10.99.1.0/24"}], [{"subnet": "fd00:99::/64"}]]
        one, other = make("one"), make("other")
        attach(plugins, config | change, node, one, "one")
        attach(plugins, config | change, node, other, "other")
        return Pod(one), Pod(other)

    return made


def honest(one: Pod, other: Pod) -> dict[str, bytes]:
    link, own = frames.ipv6, "fd00:99::2"
    local = one.ips.get("inet6link", own)
    return {
        "IPv4": ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.2", "10.99.1.3", b"honest")),
        "ARP": ethernet(other.mac, one.mac, ARP, frames.arp(2, one.mac, "10.99.1.2", "10.99.1.3")),
        "ARP probe": ethernet(other.mac, one.mac, ARP, frames.arp(1, one.mac, "0.0.0.0", "10.99.1.3")),
        "IPv6": ethernet(other.mac, one.mac, IPV6, link(own, "fd00:99::3", 59, b"honest")),
        "own neighbour": ethernet(
            other.mac, one.mac, IPV6, link(own, "fd00:99::3", ICMPV6, frames.advertisement(own))
        ),
        "link-local": ethernet(other.mac, one.mac, IPV6, link(local, "fd00:99::3", 59, b"honest")),
    }  # fmt: skip


def spoofed(one: Pod, other: Pod) -> dict[str, bytes]:
    link, own, theirs = frames.ipv6, "fd00:99::2", "fd00:99::77"
    router = bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8)
    return {
        "another's IPv4": ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.77", "10.99.1.3", b"spoofed")),
        "the gateway's IPv4": ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.1", "10.99.1.3", b"spoofed")),
        "another's MAC": ethernet(
            other.mac, bytes([2, 0, 0, 0, 0, 9]), IPV4, frames.ipv4("10.99.1.2", "10.99.1.3", b"spoofed")
        ),
        "ARP for the gateway": ethernet(other.mac, one.mac, ARP, frames.arp(2, one.mac, "10.99.1.1", "10.99.1.3")),
        "ARP with another's MAC": ethernet(
            other.mac, one.mac, ARP, frames.arp(2, other.mac, "10.99.1.2", "10.99.1.3")
        ),
        "another's IPv6": ethernet(other.mac, one.mac, IPV6, link(theirs, "fd00:99::3", 59, b"spoofed")),
        "another's link-local": ethernet(other.mac, one.mac, IPV6, link("fe80::77", "fd00:99::3", 59, b"spoofed")),
        "another's neighbour": ethernet(
            other.mac, one.mac, IPV6, link(own, "fd00:99::3", ICMPV6, frames.advertisement("fd00:99::1"))
        ),
        "hidden behind a header": ethernet(
            other.mac, one.mac, IPV6, link(own, "fd00:99::3", 0, frames.hop_by_hop(frames.advertisement("fd00:99::1")))
        ),
        "a router": ethernet(other.mac, one.mac, IPV6, link(own, "fd00:99::3", ICMPV6, router)),
        "what is no IP": ethernet(other.mac, one.mac, 0x88CC, b"spoofed"),
    }  # fmt: skip


def test_only_what_is_the_pods_own_arrives(pods: Callable[[Config], tuple[Pod, Pod]]) -> None:
    one, other = pods({"spoofCheck": True})
    sent = honest(one, other) | spoofed(one, other)
    last = ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.2", "10.99.1.3", b"last"))
    assert frames.arrived(one, other, sent, last) == set(honest(one, other))


def test_without_the_check_all_of_it_would_arrive(pods: Callable[[Config], tuple[Pod, Pod]]) -> None:
    one, other = pods({})
    sent = honest(one, other) | spoofed(one, other)
    last = ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.2", "10.99.1.3", b"last"))
    assert frames.arrived(one, other, sent, last) == set(sent)


def test_the_references_own_check_looks_at_the_hardware_address(pods: Callable[[Config], tuple[Pod, Pod]]) -> None:
    one, other = pods({"macspoofchk": True})
    last = ethernet(other.mac, one.mac, IPV4, frames.ipv4("10.99.1.2", "10.99.1.3", b"last"))
    assert set(spoofed(one, other)) - frames.arrived(one, other, spoofed(one, other), last) == {"another's MAC"}


def test_check_misses_it(plugins: Plugins, config: Config, node: Namespace, pod: Namespace) -> None:
    config["spoofCheck"] = True
    config["prevResult"] = attach(plugins, config, node, pod, "pod-1")

    def check() -> Any:
        return plugins.call(plugins.bridge, "CHECK", config, node=node, netns=str(pod.path))

    assert check().code == 0, check().text
    host = config["prevResult"]["interfaces"][1]["name"]
    node.run("tc", "qdisc", "del", "dev", host, "ingress")
    assert check().error["msg"] == f"{host} lets the pod send with others' addresses"
