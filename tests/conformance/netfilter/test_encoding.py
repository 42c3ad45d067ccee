"""What is written by netlink is what the nft program would have written."""

import random
from collections.abc import Iterator

import pytest

from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink
from nodeagent.proxy.nftables.encode import encode_change
from nodeagent.proxy.nftables.kernel import NftKernel
from nodeagent.proxy.nftables.plan import PortPlan, plan_port
from nodeagent.proxy.nftables.render import Present, render_change, render_whole
from nodeagent.proxy.nftables.state import FIXED, State
from nodeagent.proxy.nftables.table import fixed_chains
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort
from tests.netns.cni.namespaces import Namespace

NETWORKS = {4: ["10.244.0.0/16", "10.128.0.0/9", "10.244.3.128/25"], 6: ["fd00:10::/56", "fd00::/47"]}


@pytest.fixture
def machines() -> Iterator[tuple[Namespace, Namespace]]:
    made = Namespace("by-netlink"), Namespace("by-nft")
    yield made
    for namespace in made:
        namespace.delete()


def service(chance: random.Random, family: int, number: int) -> tuple[ServicePort, list[Endpoint]]:
    ip = "10.{}.0.{}" if family == 4 else "fd00:{}::{}"
    endpoints = [
        Endpoint(ip.format(244, one), 8080 + one, chance.random() < 0.8, True, False, chance.random() < 0.5)
        for one in chance.sample(range(1, 9), chance.randint(0, 4))
    ]
    port = ServicePort(
        name=f"default/s{number}:http", namespace="default", service=f"s{number}", port_name="http",
        protocol=chance.choice(["tcp", "udp", "sctp"]), cluster_ip=ip.format(96, number), port=80,
        node_port=chance.choice([0, 30000 + number]), sticky_seconds=chance.choice([0, 0, 60, 10800]),
        external_ips=(ip.format(90, chance.randint(1, 3)),), external_local=chance.random() < 0.3,
        internal_local=chance.random() < 0.3,
    )  # fmt: skip
    return port, endpoints


def listing(namespace: Namespace) -> list[str]:
    return sorted(namespace.run("nft", "-s", "list", "ruleset").splitlines())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("masquerade_all", [False, True])
def test_every_change_is_what_nft_makes_of_it(
    machines: tuple[Namespace, Namespace], family: int, masquerade_all: bool
) -> None:
    ours, reference = machines
    chance = random.Random(family)
    kernel = NftKernel(family, open=lambda: ours.inside(lambda: Netlink(NETLINK_NETFILTER)))
    state = State()
    for cidr in NETWORKS[family]:
        view = NodeView(cluster_cidr=cidr, masquerade_all=masquerade_all)
        state.replace({FIXED: PortPlan(chains=fixed_chains(Settings(family=family), view))})
        for namespace in machines:
            namespace.run("nft", "-f", "-", input="".join(render_whole(state, None, family, state.plans.values())))
        for _ in range(12):
            changed = {str(n): plan_port(*service(chance, family, n), view) for n in chance.sample(range(1, 6), 2)}
            change = state.replace({**changed, str(chance.randint(1, 5)): None} | changed)
            requests = encode_change(change, family)
            assert requests is not None
            if requests:
                kernel.transact(requests)
            reference.run("nft", "-f", "-", input=render_change(change, family))
            assert listing(ours) == listing(reference)
    assert len(listing(ours)) > 50


def test_a_refused_change_changes_nothing_and_the_next_is_taken(machines: tuple[Namespace, Namespace]) -> None:
    ours, _ = machines
    view, state = NodeView(cluster_cidr="10.244.0.0/16"), State()
    kernel = NftKernel(4, open=lambda: ours.inside(lambda: Netlink(NETLINK_NETFILTER)))
    state.replace({FIXED: PortPlan(chains=fixed_chains(Settings(), view))})
    ours.run("nft", "-f", "-", input="".join(render_whole(state, Present(), 4, state.plans.values())))
    before = listing(ours)
    chance = random.Random(1)
    port, _ = service(chance, 4, 1)
    endpoint = Endpoint("10.244.0.9", 8080, True, True, False, True)
    change = state.replace({"a": plan_port(port, [endpoint], view)})
    change.delete_elements.append(("cluster-ips", "10.9.9.9"))
    requests = encode_change(change, 4)
    assert requests
    with pytest.raises(OSError, match="No such file"):
        kernel.transact(requests)
    assert listing(ours) == before
    change.delete_elements.clear()
    kernel.transact(encode_change(change, 4) or [])
    assert len(listing(ours)) > len(before)


def test_source_ranges_are_left_to_nft() -> None:
    port = ServicePort(
        "a/b", "a", "b", "", "tcp", "10.96.0.1", 80, balancer_ips=("203.0.113.1",), source_ranges=("192.0.2.0/24",)
    )
    assert encode_change(State().replace({"a/b": plan_port(port, [], NodeView())}), 4) is None
