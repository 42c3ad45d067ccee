"""nftables mode: names, the rules of a port, and that a change leads from one state to the other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodeagent.proxy.nftables import names
from nodeagent.proxy.nftables.plan import Element, PortPlan, Rules, plan_port
from nodeagent.proxy.nftables.render import Present, leftover, plan_whole, render_change, render_whole
from nodeagent.proxy.nftables.rules import is_whole
from nodeagent.proxy.nftables.state import Change, State, Value, merge
from nodeagent.proxy.nftables.table import MAPS, SETS, fixed_chains
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort

VIEW = NodeView(cluster_cidr="10.0.0.0/8", node_ip="192.0.2.1")


def port(**fields: Any) -> ServicePort:
    return ServicePort("ns1/svc1:p80", "ns1", "svc1", "p80", "tcp", "172.30.0.41", 80, **fields)


def endpoint(ip: str, **fields: Any) -> Endpoint:
    return Endpoint(ip, 80, **{"ready": True, "serving": True, "terminating": False, "local": False, **fields})


ONE, TWO = endpoint("10.180.0.1"), endpoint("10.180.0.2", local=True)
SERVICE, EXTERNAL = "service-ULMVA6XW-ns1/svc1/tcp/p80", "external-ULMVA6XW-ns1/svc1/tcp/p80"


def test_names_are_those_of_other_clusters() -> None:
    assert names.port_chains(port()).cluster == SERVICE
    assert names.endpoint_chain(port(), ONE) == "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
    assert names.endpoint_chain(port(), endpoint("fd00::5")).endswith("__fd00..5/80")
    long = ServicePort("x", "n" * 253, "s" * 253, "p" * 63, "sctp", "10.0.0.1", 1)
    assert len(names.affinity_set(long, ONE)) <= 255 and names.affinity_set(long, ONE) != names.affinity_set(long, TWO)


def test_cluster_ip() -> None:
    plan = plan_port(port(), [ONE, TWO], VIEW)
    one, two = (names.endpoint_chain(port(), each) for each in (ONE, TWO))
    assert plan.chains == {
        SERVICE: (
            "ip daddr 172.30.0.41 tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade",
            f"numgen random mod 2 vmap {{ 0 : goto {one}, 1 : goto {two} }}",
        ),
        one: ("ip saddr 10.180.0.1 jump mark-for-masquerade", "meta l4proto tcp dnat to 10.180.0.1:80"),
        two: ("ip saddr 10.180.0.2 jump mark-for-masquerade", "meta l4proto tcp dnat to 10.180.0.2:80"),
    }
    assert plan.elements == {
        ("cluster-ips", "172.30.0.41"): ("", ""),
        ("service-ips", "172.30.0.41 . tcp . 80"): (f"goto {SERVICE}", ""),
    }


def test_without_endpoints() -> None:
    plan = plan_port(port(node_port=30080, external_ips=("203.0.113.1",)), [], VIEW)
    assert plan.chains == {}
    refused = ("goto reject-chain", "ns1/svc1:p80")
    assert plan.elements == {
        ("cluster-ips", "172.30.0.41"): ("", ""),
        ("no-endpoint-services", "172.30.0.41 . tcp . 80"): refused,
        ("no-endpoint-services", "203.0.113.1 . tcp . 80"): refused,
        ("no-endpoint-nodeports", "tcp . 30080"): refused,
    }


def test_external_policy_local_elsewhere_drops_but_serves_pods_and_the_node() -> None:
    plan = plan_port(port(node_port=30080, external_local=True), [ONE], VIEW)
    assert plan.elements["no-endpoint-nodeports", "tcp . 30080"] == ("drop", "ns1/svc1:p80")
    assert plan.chains[EXTERNAL] == (
        f'ip saddr 10.0.0.0/8 goto {SERVICE} comment "short-circuit pod traffic"',
        'fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"',
        f'fib saddr type local goto {SERVICE} comment "short-circuit local traffic"',
    )


def test_source_ranges() -> None:
    ranges = ("192.0.2.0/24", "192.0.2.7/32", "198.51.100.0/25")
    plan = plan_port(port(balancer_ips=("203.0.113.7",), source_ranges=ranges), [ONE], VIEW)
    chain = names.port_chains(port()).firewall
    assert plan.elements["firewall-ips", "203.0.113.7 . tcp . 80"] == (f"goto {chain}", "")
    assert plan.chains[chain] == ("ip saddr != { 192.0.2.0/24, 198.51.100.0/25, 203.0.113.7/32 } drop",)
    everybody = plan_port(port(balancer_ips=("203.0.113.7",), source_ranges=("0.0.0.0/0",)), [ONE], VIEW)
    assert chain not in everybody.chains


def test_the_chain_that_rejects_says_who_leads_to_it() -> None:
    plan = PortPlan(chains=fixed_chains(Settings(), VIEW))
    comment = "helper for @no-endpoint-services / @no-endpoint-nodeports"
    line = f'add chain ip kube-proxy reject-chain {{ comment "{comment}" ; }}\n'
    assert line in "".join(render_whole(State(), None, 4, [plan]))


def test_affinity_comes_before_chance() -> None:
    plan = plan_port(port(sticky_seconds=60), [ONE], VIEW)
    chain, kept = names.endpoint_chain(port(), ONE), names.affinity_set(port(), ONE)
    assert plan.sets == {kept: 60}
    assert plan.chains[SERVICE][1] == f"ip saddr @{kept} goto {chain}"
    assert plan.chains[chain][1] == f"update @{kept} {{ ip saddr }}"


@dataclass
class Kernel:
    """What nf_tables does with a change; refuses what it would refuse."""

    chains: dict[str, Rules] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)
    elements: dict[Element, Value] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        for name in change.made:
            self.chains.setdefault(name, ())
        for name in (*change.chains, *change.drop):
            assert name in self.chains
            self.chains[name] = ()
        for name in change.remove:
            assert self.chains.pop(name) == ()
        for name in change.delete_sets:
            del self.sets[name]
            assert not any(f"@{name} " in rule for rules in self.chains.values() for rule in rules), "still used"
        for name, seconds in change.add_sets.items():
            assert name not in self.sets
            self.sets[name] = seconds
        for name, rules in change.chains.items():
            assert all(word[1:] in self.sets for rule in rules for word in rule.split() if word.startswith("@"))
            self.chains[name] = rules
        for element in change.delete_elements:
            del self.elements[element]
        for element, value in change.add_elements.items():
            assert element not in self.elements
            self.elements[element] = value
        for verdict, _ in self.elements.values():
            assert not verdict.startswith("goto ") or verdict[5:] in (*self.chains, "reject-chain")

    def present(self) -> Present:
        counts = dict.fromkeys((*MAPS, *SETS), 0)
        for name, _ in self.elements:
            counts[name] += 1
        rules = {name: len(rules) for name, rules in self.chains.items()}
        return Present(rules, {name: float(seconds) for name, seconds in self.sets.items()}, counts)


PORTS = st.builds(
    lambda name, ip, node_port, local, sticky: ServicePort(
        name=f"default/{name}", namespace="default", service=name, port_name="", protocol="tcp", cluster_ip=ip,
        port=80, node_port=node_port, external_local=local, sticky_seconds=sticky,
    ),
    st.sampled_from("abcd"), st.sampled_from(["10.96.0.1", "10.96.0.2"]), st.sampled_from([0, 30080]), st.booleans(),
    st.sampled_from([0, 60, 90]),
)  # fmt: skip
ENDPOINTS = st.builds(
    lambda number, ready, local: Endpoint(f"10.244.0.{number}", 80, ready, ready, False, local),
    st.integers(1, 4), st.booleans(), st.booleans(),
)  # fmt: skip
STATES = st.lists(
    st.tuples(PORTS, st.lists(ENDPOINTS, max_size=3, unique_by=lambda one: one.ip)),
    max_size=4, unique_by=lambda pair: pair[0].name,
)  # fmt: skip


def replace(state: State, ports: Iterable[tuple[ServicePort, list[Endpoint]]]) -> Change:
    """Say what is other than it was, and only that, as a proxier does."""
    plans = {each.name: merge([plan_port(each, behind, VIEW)]) for each, behind in ports}
    gone = dict.fromkeys(name for name in state.plans if name not in plans)
    return state.replace({**gone, **{name: plan for name, plan in plans.items() if state.plans.get(name) != plan}})


@given(st.lists(STATES, min_size=2, max_size=4))
def test_changes_lead_from_state_to_state_even_where_services_claim_the_same(states: Any) -> None:
    """The names are few, and so are the addresses: Services take them from each other."""
    state = State()
    kernel = Kernel(state.chains())
    for ports in states:
        change = replace(state, ports)
        kernel.apply(change)
        emptied = set(change.drop)
        assert is_whole(kernel.present(), state, emptied)
        for name in emptied:
            assert kernel.chains.pop(name) == ()
        fresh = State()
        replace(fresh, ports)
        assert (kernel.chains, kernel.sets, kernel.elements) == (fresh.chains(), fresh.sets(), fresh.elements())
        everything = {each.name: merge([plan_port(each, behind, VIEW)]) for each, behind in ports}
        assert render_change(state.replace(everything), 4) == ""


@given(STATES, STATES)
def test_everything_anew_over_whatever_is_there_keeps_the_clients_of_affinity(before: Any, after: Any) -> None:
    old, new, kernel = State(), State(), Kernel(State().chains())
    kernel.apply(replace(old, before))
    replace(new, after)
    there = kernel.present()
    kernel.elements.clear()  # maps are flushed
    for change in plan_whole(new, there, new.plans.values()):
        assert not {name for name in change.delete_sets if new.sets().get(name) == old.sets()[name]}
        kernel.apply(change)
    empty = leftover(new, there)
    assert not any(kernel.chains[name] for name in empty)
    assert is_whole(kernel.present(), new, set(empty))
    assert next(render_whole(new, None, 4, [])).startswith("add table ip kube-proxy\ndelete table ip kube-proxy\n")
