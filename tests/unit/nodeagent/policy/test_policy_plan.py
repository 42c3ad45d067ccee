"""What a NetworkPolicy allows, by the words of its API (networking.k8s.io/v1)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.policy.model import Pod, block_networks, policy_types, read_pod, trim_pod
from nodeagent.policy.plan import Rule, World, plan_rules
from nodeagent.policy.render import merge_ranges

NODE = "node-1"


def pod(name, ip, *, namespace="default", node=NODE, labels=None, ports=()):
    return Pod(namespace, name, node, labels or {"app": name}, (ip,), tuple(ports))


WEB = pod("web", "10.0.0.1", ports=[("http", "TCP", 8080), ("dns", "UDP", 5353)])
CLI = pod("cli", "10.0.0.2")
DB = pod("db", "10.0.1.3", namespace="data", node="node-2", ports=[("pg", "TCP", 5432)])
DB2 = pod("db2", "10.0.1.4", namespace="data", node="node-2", ports=[("pg", "TCP", 5433)])
SPACES = {"default": {"team": "a"}, "data": {"team": "b"}}


def policy(name="p", namespace="default", **spec):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


def plan(*policies, pods=(WEB, CLI, DB, DB2)):
    return plan_rules(World(policies, pods, SPACES), NODE)


def rules(direction, *policies, of="10.0.0.1"):
    found = plan(*policies)
    verdicts = found.ingress if direction == "ingress" else found.egress
    return found.chains[verdicts[of]].rules


def app(name):
    return {"podSelector": {"matchLabels": {"app": name}}}


@pytest.mark.parametrize(
    ("spec", "directions"),
    [
        pytest.param({}, {"ingress"}, id="nothing-said"),
        pytest.param({"egress": [{}]}, {"ingress", "egress"}, id="inferred-from-egress-rules"),
        pytest.param({"egress": []}, {"ingress"}, id="no-egress-rules"),
        pytest.param({"policyTypes": ["Egress"]}, {"egress"}, id="said"),
        pytest.param({"policyTypes": ["Egress"], "ingress": [{}]}, {"egress"}, id="said-against-the-rules"),
    ],
)
def test_directions_that_a_policy_isolates(spec, directions):
    assert policy_types(spec) == directions


def test_only_this_nodes_selected_pods_are_isolated():
    found = plan(policy(podSelector={"matchLabels": {"app": "web"}}), policy(namespace="data"))
    assert set(found.ingress) == {"10.0.0.1"}
    assert found.egress == {}


def test_default_deny_has_no_rule():
    assert rules("ingress", policy()) == ()


def test_pods_with_the_same_policies_share_a_chain():
    found = plan(policy(ingress=[{"from": [app("cli")]}]))
    assert found.ingress["10.0.0.1"] == found.ingress["10.0.0.2"]
    assert len(found.chains) == 1


def test_what_any_policy_allows_is_allowed():
    first, second = rules("ingress", policy("b", ingress=[{}]), policy("a", ingress=[{"from": [app("cli")]}]))
    assert first == Rule("default/a ingress[0]", frozenset({"10.0.0.2"}))
    assert second == Rule("default/b ingress[0]")


@pytest.mark.parametrize(
    ("peer", "peers"),
    [
        pytest.param({"podSelector": {}}, {"10.0.0.1", "10.0.0.2"}, id="pods-of-its-own-namespace"),
        pytest.param({"namespaceSelector": {}}, {"10.0.0.1", "10.0.0.2", "10.0.1.3", "10.0.1.4"}, id="every-pod"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "b"}}}, {"10.0.1.3", "10.0.1.4"}, id="a-namespace"),
        pytest.param({"namespaceSelector": {}, **app("db")}, {"10.0.1.3"}, id="both-selectors-together"),
        pytest.param(app("nobody"), set(), id="nobody"),
        pytest.param(
            {"ipBlock": {"cidr": "10.9.0.0/23", "except": ["10.9.0.0/24", "10.9.1.128/25"]}},
            {"10.9.1.0/25"},
            id="a-block-without-its-exceptions",
        ),
    ],
)
def test_peers(peer, peers):
    (rule,) = rules("ingress", policy(ingress=[{"from": [peer]}]))
    assert rule.peers == peers


def test_an_empty_list_of_peers_is_everybody():
    assert rules("ingress", policy(ingress=[{"from": []}]))[0].peers is None


def test_a_named_port_of_ingress_is_that_of_the_isolated_pod():
    (rule,) = rules("ingress", policy(ingress=[{"ports": [{"port": "http"}, {"port": "dns", "protocol": "UDP"}]}]))
    assert rule.ports == (("TCP", 8080, 8080), ("UDP", 5353, 5353))
    # The other pod has no port of that name: nothing is allowed to it.
    assert rules("ingress", policy(ingress=[{"ports": [{"port": "http"}]}]), of="10.0.0.2") == ()


def test_a_named_port_of_egress_has_each_peers_number():
    said = [{"to": [{"namespaceSelector": {}}], "ports": [{"port": "pg"}, {"port": 53, "protocol": "UDP"}]}]
    named, numbered = rules("egress", policy(policyTypes=["Egress"], egress=said))
    assert named.peer_ports == {("10.0.1.3", "TCP", 5432), ("10.0.1.4", "TCP", 5433)}
    assert numbered.ports == (("UDP", 53, 53),)


def test_a_named_port_of_egress_to_a_block_is_that_of_the_pods_in_it():
    block = {"ipBlock": {"cidr": "10.0.1.0/24", "except": ["10.0.1.4/32"]}}
    (named,) = rules("egress", policy(policyTypes=["Egress"], egress=[{"to": [block], "ports": [{"port": "pg"}]}]))
    assert named.peer_ports == {("10.0.1.3", "TCP", 5432)}


def test_ports_are_ranges_and_none_is_all_of_the_protocol():
    said = [{"ports": [{"port": 80, "endPort": 90}, {"protocol": "SCTP"}]}]
    assert rules("ingress", policy(ingress=said))[0].ports == (("SCTP", 0, 65535), ("TCP", 80, 90))


def test_the_chains_name_changes_with_its_content_only():
    one, two = policy(ingress=[{"from": [app("cli")]}]), policy(ingress=[{"from": [app("web")]}])
    assert plan(one).ingress == plan(one, pods=(DB2, DB, CLI, WEB)).ingress
    assert plan(one).ingress != plan(two).ingress


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {"hostNetwork": True}}, id="host-network"),
        pytest.param({"status": {"phase": "Succeeded"}}, id="ended"),
        pytest.param({"status": {"podIPs": []}}, id="no-address"),
        pytest.param({"status": {"podIPs": [{"ip": "nonsense; flush ruleset"}]}}, id="no-true-address"),
    ],
)
def test_pods_that_no_policy_concerns(change):
    obj = {
        "metadata": {"name": "a", "namespace": "b", "labels": {"x": "y"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.9"}]},
    }
    assert (
        read_pod(obj)
        == read_pod(trim_pod(obj))
        == Pod("b", "a", "n", {"x": "y"}, ("10.0.0.9",), (("http", "TCP", 80),))
    )
    for part, fields in change.items():
        obj[part] = {**obj[part], **fields}
    assert read_pod(obj) is None
    assert read_pod(trim_pod(obj)) is None


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple), max_size=8))
def test_merged_ranges_hold_the_same_ports(ranges):
    merged = merge_ranges(ranges)
    assert {port for first, last in merged for port in (first, last)} <= {end for one in ranges for end in one}
    assert all(before[1] + 1 < after[0] for before, after in pairwise(merged))
    assert all(any(low <= first and last <= high for low, high in merged) for first, last in ranges)


def test_a_block_is_read_as_the_api_reads_it():
    assert block_networks({"cidr": "010.0.0.0/8", "except": ["010.000.0.0/9"]}) == ["10.128.0.0/9"]
    assert block_networks({"cidr": "::ffff:10.0.0.0/104"}) == ["10.0.0.0/8"]


def test_a_block_that_cannot_be_read_allows_nobody():
    assert block_networks({"cidr": "10.0.0.0/99"}) == () == block_networks({})
    assert block_networks({"cidr": "10.0.0.0/8", "except": ["; flush ruleset"]}) == ()
