"""Which routes the Nodes call for, and the CNI configuration of one."""

import json

import pytest

from nodeagent.routes.conflist import render_conflist
from nodeagent.routes.nodes import NodeNetwork, node_network
from nodeagent.routes.plan import PodRoute, diff, plan_routes

ONE = NodeNetwork("one", ("10.244.0.0/24",), ("192.0.2.1",))
TWO = NodeNetwork("two", ("10.244.1.0/24", "fd00:1::/64"), ("192.0.2.2", "2001:db8::2"))


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
