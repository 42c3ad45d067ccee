"""Which routes the Nodes call for, and the CNI configuration of one."""

import json

import pytest

from nodeagent.routes.conflist import render_conflist
from nodeagent.routes.nodes import NodeNetwork, node_network
from nodeagent.routes.plan import Mode, PodRoute, Way, diff, plan_network, tunnel_mac

ONE = NodeNetwork("one", ("10.244.0.0/24",), ("192.0.2.1",))
TWO = NodeNetwork("two", ("10.244.1.0/24", "fd00:1::/64"), ("192.0.2.2", "2001:db8::2"))


NEAR, FAR = Way(on_link=True, mtu=1500), Way(on_link=False, mtu=1400)


def plan_routes(own: str, nodes: list[NodeNetwork]) -> dict[str, PodRoute]:
    """As on one segment."""
    plan = plan_network(own, nodes, Mode.AUTO, {ip: NEAR for node in nodes for ip in node.addresses})
    assert plan.tunnel is None
    return plan.routes


def test_every_other_nodes_subnets() -> None:
    assert plan_routes("one", [ONE, TWO]) == {
        "10.244.1.0/24": PodRoute("10.244.1.0/24", "192.0.2.2"),
        "fd00:1::/64": PodRoute("fd00:1::/64", "2001:db8::2"),
    }


@pytest.mark.parametrize(
    "other",
    [
        NodeNetwork("x", (), ("192.0.2.3",)),
        NodeNetwork("x", ("10.244.3.0/24",), ()),
        NodeNetwork("x", ("0.0.0.0/0",), ("192.0.2.3",)),
        NodeNetwork("x", ("10.244.0.128/25",), ("192.0.2.3",)),
        NodeNetwork("x", ("10.244.3.0/24",), ("10.244.3.1",)),
        NodeNetwork("x", ("10.244.3.0/24",), ("192.0.2.1",)),
    ],
    ids=["no subnet", "no address", "everything", "ours", "gateway inside", "our address"],
)
def test_what_gets_no_route(other: NodeNetwork) -> None:
    assert plan_routes("one", [ONE, other]) == {}


def test_a_subnet_claimed_twice_goes_to_the_first_by_name() -> None:
    thief = NodeNetwork("zzz", ("10.244.1.0/24",), ("192.0.2.66",))
    assert plan_routes("one", [thief, ONE, TWO])["10.244.1.0/24"].gateway == "192.0.2.2"


def test_a_node_of_another_segment_is_behind_a_tunnel() -> None:
    three = NodeNetwork("three", ("10.244.3.0/24",), ("192.0.2.3",))
    plan = plan_network("one", [ONE, TWO, three], Mode.AUTO, {"192.0.2.1": NEAR, "192.0.2.2": FAR, "192.0.2.3": NEAR})
    assert plan.routes["10.244.1.0/24"] == PodRoute("10.244.1.0/24", "10.244.1.0", tunnel=True)
    assert plan.routes["10.244.3.0/24"] == PodRoute("10.244.3.0/24", "192.0.2.3")
    assert plan.tunnel is not None
    assert (plan.tunnel.local, plan.tunnel.mac, plan.tunnel.mtu) == ("192.0.2.1", tunnel_mac("one"), 1350)
    assert plan.tunnel.addresses == ("10.244.0.0",)
    assert plan.tunnel.forwarding == {tunnel_mac("two"): "192.0.2.2"}
    assert plan.tunnel.neighbours == {"10.244.1.0": tunnel_mac("two")}


def test_a_family_without_addresses_of_its_own_goes_through_the_tunnel() -> None:
    two = NodeNetwork("two", ("10.244.1.0/24", "fd00:1::/64"), ("192.0.2.2",))
    plan = plan_network("one", [ONE, two], Mode.AUTO, {"192.0.2.1": NEAR, "192.0.2.2": NEAR})
    assert {route.destination: route.tunnel for route in plan.routes.values()} == {
        "10.244.1.0/24": False,
        "fd00:1::/64": True,
    }


@pytest.mark.parametrize(("mode", "tunnelled"), [(Mode.HOST_GW, False), (Mode.VXLAN, True)])
def test_a_mode_that_was_chosen_holds_for_all(mode: Mode, tunnelled: bool) -> None:
    ways = {"192.0.2.1": NEAR, "192.0.2.2": FAR if mode is Mode.HOST_GW else NEAR, "2001:db8::2": NEAR}
    plan = plan_network("one", [ONE, TWO], mode, ways)
    assert {route.tunnel for route in plan.routes.values()} == {tunnelled}
    assert (plan.tunnel is not None) == tunnelled


def test_vxlan_is_there_before_another_node_is_so_that_pods_are_given_its_mtu() -> None:
    plan = plan_network("one", [ONE], Mode.VXLAN, {"192.0.2.1": NEAR})
    assert (plan.routes, plan.tunnel and plan.tunnel.mtu) == ({}, 1450)


@pytest.mark.parametrize("tunnelled", [False, True])
def test_while_a_node_cannot_be_reached_its_route_stays_of_its_kind(tunnelled: bool) -> None:
    present = {"10.244.1.0/24": PodRoute("10.244.1.0/24", "x", tunnelled)}
    plan = plan_network("one", [ONE, TWO], Mode.AUTO, {}, present)
    assert plan.routes["10.244.1.0/24"].tunnel == tunnelled


def test_a_node_that_is_not_in_the_cluster_needs_no_way_to_any() -> None:
    plan = plan_network("one", [TWO], Mode.VXLAN, {"192.0.2.2": FAR})
    assert (plan.routes, plan.tunnel) == ({}, None)


def test_what_the_tunnel_is_told_of_is_only_others() -> None:
    """A Node may say anything of itself, but not choose its name, which its hardware address is made of."""
    impostor = NodeNetwork("zzz", ("10.244.9.0/24",), ("192.0.2.1",))
    plan = plan_network("one", [ONE, TWO, impostor], Mode.VXLAN, {"192.0.2.1": NEAR, "192.0.2.2": NEAR})
    assert plan.tunnel is not None
    assert set(plan.tunnel.forwarding) == {tunnel_mac("two")}
    assert tunnel_mac("one") not in plan.tunnel.neighbours.values()


def test_diff_replaces_a_changed_gateway() -> None:
    old, new = PodRoute("10.244.1.0/24", "192.0.2.2"), PodRoute("10.244.1.0/24", "192.0.2.3")
    gone = PodRoute("10.244.9.0/24", "192.0.2.9")
    assert diff({old.destination: old, gone.destination: gone}, {new.destination: new}) == ([new], [old, gone])


def test_a_node_says_what_it_says() -> None:
    node = {
        "metadata": {"name": "one"},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "nonsense"]},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "one"},
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "InternalIP", "address": "192.0.2.1"},
            ]
        },
    }
    assert node_network(node) == ONE


def test_conflist() -> None:
    document = json.loads(render_conflist("10.244.1.0/24", mtu=1400, data_dir="/x"))
    assert (document["name"], document["cniVersion"]) == ("kubelab", "1.0.0")
    [plugin] = document["plugins"]
    assert (plugin["type"], plugin["mtu"], plugin["ipMasq"]) == ("kubelab-bridge", 1400, False)
    assert plugin["ipam"] == {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]], "dataDir": "/x"}
    with pytest.raises(ValueError, match="x"):
        render_conflist("x")
