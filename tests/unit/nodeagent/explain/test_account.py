"""What is missing from the kernel, and what nobody asked for."""

from typing import Any

import pytest

from nodeagent.explain.account import judge_node
from nodeagent.explain.cluster import Cluster
from nodeagent.explain.iptables_rules import parse_saved
from nodeagent.explain.nft_rules import parse_nft
from nodeagent.explain.snapshot import Host, NodeSnapshot
from nodeagent.policy.model import read_pod
from nodeagent.policy.plan import World as PolicyWorld
from nodeagent.policy.plan import plan_rules
from nodeagent.policy.render import build_table
from nodeagent.proxy import services
from nodeagent.proxy.iptables.plan import plan_port
from nodeagent.proxy.iptables.ruleset import assemble, render
from nodeagent.proxy.iptables.saved import plan_whole
from nodeagent.proxy.nftables.plan import PortPlan
from nodeagent.proxy.nftables.plan import plan_port as plan_elements
from nodeagent.proxy.nftables.table import fixed_chains
from nodeagent.proxy.node import NodeView, Settings

SERVICE = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"clusterIP": "10.96.0.50", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]},
}
SLICE = {
    "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    "endpoints": [{"addresses": [f"10.244.1.{last}"], "nodeName": "n2"} for last in (9, 10)],
}
NODES = [
    {"metadata": {"name": name}, "spec": {"podCIDR": f"10.244.{number}.0/24"},
     "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{number + 1}"}]}}
    for number, name in enumerate(("n1", "n2"))
]  # fmt: skip
CLUSTER = Cluster(services=[SERVICE], slices=[SLICE], nodes=NODES)
VIEW = NodeView(cluster_cidr="10.244.0.0/16", pod_cidr="10.244.0.0/24", node_ip="192.0.2.1")
ROUTES = [{"dst": "10.244.1.0/24", "gateway": "192.0.2.2", "dev": "up0"}]


def ports() -> list[tuple[services.ServicePort, list[services.Endpoint]]]:
    behind = services.endpoints([SLICE], "n1", 4)
    return [(port, behind[port.port_name, port.protocol]) for port in services.service_ports(SERVICE, 4)]


def saved() -> str:
    """As kube-proxy writes it; `-I` puts jumps first."""
    wanted = assemble((plan_port(port, behind, VIEW) for port, behind in ports()), Settings(), VIEW)
    return render(plan_whole({}, wanted)).replace("\n-I ", "\n-A ")


PROXY = {"kubeproxy.config.k8s.io": {"mode": "iptables", "clusterCIDR": "10.244.0.0/16"}}
SAVED = render(plan_whole({}, assemble([], Settings(), VIEW))).replace("\n-I ", "\n-A ")


def judged(text: str, mode: str = "iptables", routes: Any = ROUTES, nft: Any = None) -> list[tuple[str, str]]:
    host = Host("node n1", routes=routes, tables=parse_saved(text), nft=parse_nft(nft or {}, "", 4))
    proxy = {"kubeproxy.config.k8s.io": {"mode": mode, "clusterCIDR": "10.244.0.0/16"}}
    return [
        (one.kind, one.what)
        for one in judge_node(CLUSTER, NodeSnapshot("n1", host, [], [], proxy), 4, ["10.244.1.9"])
    ]  # fmt: skip


def test_nothing_is_said_of_rules_as_they_should_be() -> None:
    assert judged(saved()) == []


def test_where_tcp_is_tracked_liberally_no_rule_drops_what_is_invalid() -> None:
    plans = [plan_port(port, behind, VIEW) for port, behind in ports()]
    text = render(plan_whole({}, assemble(plans, Settings(tcp_liberal=True), VIEW))).replace("\n-I ", "\n-A ")
    host = Host("node n1", routes=ROUTES, tables=parse_saved(text))
    snapshot = NodeSnapshot("n1", host, [], [], PROXY)
    assert [one.kind for one in judge_node(CLUSTER, snapshot, 4, [])] == ["flushed"]
    host.sysctls = {"net.netfilter.nf_conntrack_tcp_be_liberal": "1"}
    assert judge_node(CLUSTER, snapshot, 4, []) == []


def test_a_missing_rule_and_a_missing_chain() -> None:
    lines = [
        line for line in saved().splitlines() if not line.startswith("-A KUBE-SERVICES") or "10.96.0.50" not in line
    ]
    ((kind, what),) = judged("\n".join(lines))
    assert (kind, what.startswith("nat KUBE-SERVICES lacks `"), "cluster IP" in what) == ("flushed", True, True)
    lines = [line for line in saved().splitlines() if "KUBE-SVC-" not in line[:14]]
    assert [what.partition("-LOLE")[0] for _, what in judged("\n".join(lines))] == ["nat KUBE-SVC"]


def test_a_jump_that_is_gone() -> None:
    lines = [line for line in saved().splitlines() if not line.startswith("-A PREROUTING")]
    assert judged("\n".join(lines)) == [("flushed", "nat PREROUTING does not lead to KUBE-SERVICES")]


@pytest.mark.parametrize(
    ("rule", "kind", "says"),
    [
        ("-A KUBE-FORWARD -s 10.244.0.7/32 -j DROP", "foreign", "which no API object asks for"),
        ("-A FORWARD -j DROP", "foreign", "not of Kubernetes"),
        ("-A KUBE-SEP-AAAA -p tcp -j DNAT --to-destination 10.244.1.77:8080", "dead-endpoint", "10.244.1.77:8080"),
        ("-A KUBE-SVC-AAAA -j KUBE-SEP-AAAA", "foreign", "no API object accounts for it"),
    ],
)  # fmt: skip
def test_rules_that_nobody_asked_for(rule: str, kind: str, says: str) -> None:
    ((found, what),) = judged(saved().replace("COMMIT", f"{rule}\nCOMMIT", 1))
    assert (found, says in what) == (kind, True)


def test_a_route_to_the_pods_that_are_asked_about() -> None:
    assert judged(saved(), routes=[]) == [("route", "no route to 10.244.1.0/24, the pods of n2")]


def table(*, without: str = "", extra: str = "", longer: str = "") -> dict[str, Any]:
    """kube-proxy's, as `nft -j` prints it. longer: the chain that has a rule too many."""
    place = {"family": "ip", "table": "kube-proxy"}
    entries: list[dict[str, Any]] = []
    elements: dict[str, list[Any]] = {}
    plans = [plan_elements(port, behind, VIEW) for port, behind in ports()]
    for plan in (PortPlan(chains=fixed_chains(Settings(), VIEW)), *plans):
        for name, rules in plan.chains.items():
            if name != without:
                entries.append({"chain": {**place, "name": name}})
                count = len(rules) + (name == longer)
                entries += [{"rule": {**place, "chain": name, "handle": 1, "expr": []}}] * count
        for (container, key), (verdict, comment) in plan.elements.items():
            word, _, target = verdict.partition(" ")
            value = {"elem": {"val": {"concat": key.split(" . ")} if " . " in key else key, "comment": comment}}
            element = [value, {word: {"target": target} if target else None}] if verdict else value
            elements.setdefault(container, []).extend([] if container == without else [element])
    if extra:
        elements[extra].append([{"concat": ["10.96.0.77", "tcp", 80]}, {"goto": {"target": "service-x"}}])
    entries += [{"map": {**place, "name": name, "elem": found}} for name, found in elements.items()]
    return {"nftables": entries}


def test_the_table_of_nftables_mode() -> None:
    assert judged("", "nftables", nft=table()) == []
    assert judged("", "nftables", nft={}) == [("flushed", "table ip kube-proxy is missing: no Service is translated")]
    chain = next(name for port, behind in ports() for name in plan_elements(port, behind, VIEW).chains)
    assert judged("", "nftables", nft=table(without=chain)) == [("flushed", f"kube-proxy {chain} is missing")]
    assert judged("", "nftables", nft=table(without="service-ips")) == [
        ("flushed", "kube-proxy service-ips lacks `10.96.0.50 . tcp . 80`")
    ]
    assert judged("", "nftables", nft=table(extra="service-ips")) == [
        ("foreign", "kube-proxy service-ips has `10.96.0.77 . tcp . 80`, which no API object asks for")
    ]


def test_the_chains_of_nftables_mode_that_are_no_services() -> None:
    assert judged("", "nftables", nft=table(without="nat-prerouting")) == [
        ("flushed", "kube-proxy nat-prerouting is missing")
    ]
    assert judged("", "nftables", nft=table(longer="mark-for-masquerade")) == [
        ("foreign", "kube-proxy mark-for-masquerade has 2 rules instead of 1")
    ]


def test_the_table_of_policies() -> None:
    pod = {
        "metadata": {"name": "a", "namespace": "default", "labels": {}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}]},
    }
    policy = {"metadata": {"name": "deny", "namespace": "default"}, "spec": {"podSelector": {}, "ingress": [{}]}}
    cluster = Cluster(pods=[pod], policies=[policy], namespaces=[{"metadata": {"name": "default"}}], nodes=NODES)
    world = PolicyWorld([policy], [read for read in (read_pod(pod),) if read is not None], {"default": {}})
    (chain,) = build_table(plan_rules(world, "n1")).chains

    def judged_with(name: str, elements: list[Any]) -> list[str]:
        place = {"family": "inet", "table": "kubelab-policies"}
        entries = [{"chain": {**place, "name": name}}, {"map": {**place, "name": "ingress4", "elem": elements}}]
        host = Host("node n1", nft=parse_nft({"nftables": entries if name else []}, "", 4), tables=parse_saved(SAVED))
        found = judge_node(cluster, NodeSnapshot("n1", host, [], [], PROXY), 4, [])
        return [one.what for one in found]

    right = [["10.244.0.2", {"jump": {"target": chain}}]]
    assert judged_with(chain, right) == []
    assert judged_with("", []) == ["table inet kubelab-policies is missing: no policy is enforced"]
    assert judged_with(chain, []) == [f"the policies' map ingress4 does not lead 10.244.0.2 to jump {chain}"]
    assert judged_with("ingress-other", right) == [
        f"the policy chain {chain} (default/deny ingress[0]) is missing",
        "no NetworkPolicy accounts for the chain ingress-other",
    ]
