"""A process that starts over what another left, in nftables mode."""

from collections.abc import Iterator

import pytest

from apimachinery.kit.clock import SystemClock
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink
from nodeagent.proxy.nftables.kernel import NftKernel
from nodeagent.proxy.nftables.rules import NftablesRules
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort
from tests.netns.cni.namespaces import Namespace

PORT = ServicePort("a/b", "a", "b", "", "tcp", "10.96.0.1", 80, sticky_seconds=60)
ENDPOINT = Endpoint("10.244.0.9", 8080, True, True, False, True)
VIEW = NodeView(cluster_cidr="10.244.0.0/16", pod_cidr="10.244.1.0/24")


@pytest.fixture
def machine() -> Iterator[Namespace]:
    made = Namespace("restart")
    yield made
    made.delete()


def started(machine: Namespace) -> NftablesRules:
    prefix = ["nsenter", f"--net={machine.path}"]
    kernel = NftKernel(4, prefix=prefix, open=lambda: machine.inside(lambda: Netlink(NETLINK_NETFILTER)))
    return NftablesRules(kernel, Settings(), SystemClock())


async def test_what_is_as_it_should_be_is_left_and_anything_else_written_anew(machine: Namespace) -> None:
    ports = {"a/b": [(PORT, [ENDPOINT])]}
    first = started(machine)
    await first.write(ports, {"a/b"}, VIEW)
    assert first.transactions == 1

    same = started(machine)
    await same.write(ports, {"a/b"}, VIEW)
    assert same.transactions == 0
    assert await same.is_whole()
    await same.write({}, {"a/b"}, VIEW)  # it goes on from there
    assert same.transactions == 1
    await same.write(ports, {"a/b"}, VIEW)

    machine.run("nft", "flush", "map", "ip", "kube-proxy", "service-ips")
    over_broken = started(machine)
    await over_broken.write(ports, {"a/b"}, VIEW)
    assert over_broken.transactions == 1
    assert await over_broken.is_whole()

    # As many rules and elements as before, but others.
    moved = {"a/b": [(ServicePort("a/b", "a", "b", "", "tcp", "10.96.0.2", 80, sticky_seconds=60), [ENDPOINT])]}
    other = started(machine)
    await other.write(moved, {"a/b"}, VIEW)
    assert other.transactions == 1
    assert "10.96.0.2 . tcp . 80" in machine.run("nft", "list", "map", "ip", "kube-proxy", "service-ips")
