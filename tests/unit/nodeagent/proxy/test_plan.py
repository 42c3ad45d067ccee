"""The rules of a service port, as the layout of kube-proxy has them."""

from typing import Any

from nodeagent.proxy.iptables.names import endpoint_chain, port_chains
from nodeagent.proxy.iptables.plan import plan_port
from nodeagent.proxy.node import NodeView
from nodeagent.proxy.services import Endpoint, ServicePort

NAME = "ns1/svc1:p80"
SVC, SVL, EXT, _ = port_chains(NAME, "tcp")
VIEW = NodeView(cluster_cidr="10.0.0.0/8")


def port(**fields: Any) -> ServicePort:
    return ServicePort(NAME, "ns1", "svc1", "p80", "tcp", "172.30.0.41", 80, **fields)


def endpoint(ip: str, **fields: Any) -> Endpoint:
    state = {"ready": True, "serving": True, "terminating": False, "local": False, **fields}
    return Endpoint(ip, 80, **state)


def sep(one: Endpoint) -> str:
    return endpoint_chain(NAME, "tcp", str(one))


ONE, TWO, THREE = endpoint("10.180.0.1"), endpoint("10.180.0.2", local=True), endpoint("10.180.0.3")


def test_cluster_ip() -> None:
    plan = plan_port(port(), [ONE, TWO, THREE], VIEW)
    words = '-m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80'
    assert plan.nat_services == [f"{words} -j {SVC}"]
    assert plan.chains[SVC] == (
        f"{words} ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ",
        '-m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -m statistic --mode random --probability 0.3333333333'
        f" -j {sep(ONE)}",
        '-m comment --comment "ns1/svc1:p80 -> 10.180.0.2:80" -m statistic --mode random --probability 0.5000000000'
        f" -j {sep(TWO)}",
        f'-m comment --comment "ns1/svc1:p80 -> 10.180.0.3:80" -j {sep(THREE)}',
    )
    assert plan.chains[sep(ONE)] == (
        '-m comment --comment "ns1/svc1:p80" -s 10.180.0.1 -j KUBE-MARK-MASQ',
        '-m comment --comment "ns1/svc1:p80" -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80',
    )
    assert set(plan.chains) == {SVC, sep(ONE), sep(TWO), sep(THREE)}


def test_no_endpoints() -> None:
    plan = plan_port(port(node_port=30080), [], VIEW)
    assert plan.chains == {} and plan.nat_services == []
    assert plan.filter_services == [
        '-m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j REJECT'
    ]
    assert plan.filter_external == [
        '-m comment --comment "ns1/svc1:p80 has no endpoints" -m addrtype --dst-type LOCAL'
        " -m tcp -p tcp --dport 30080 -j REJECT"
    ]


def test_node_port() -> None:
    plan = plan_port(port(node_port=30080), [ONE], VIEW)
    assert plan.nat_nodeports == [f'-m comment --comment "ns1/svc1:p80" -m tcp -p tcp --dport 30080 -j {EXT}']
    assert plan.chains[EXT] == (
        '-m comment --comment "masquerade traffic for ns1/svc1:p80 external destinations" -j KUBE-MARK-MASQ',
        f"-j {SVC}",
    )


def test_external_policy_local() -> None:
    plan = plan_port(port(node_port=30080, external_local=True), [ONE, TWO], VIEW)
    assert plan.chains[EXT][0].endswith(f"-s 10.0.0.0/8 -j {SVC}")
    assert plan.chains[EXT][-1] == f"-j {SVL}"
    assert plan.chains[SVL] == (f'-m comment --comment "ns1/svc1:p80 -> 10.180.0.2:80" -j {sep(TWO)}',)
    elsewhere = plan_port(port(node_port=30080, external_local=True), [ONE], VIEW)
    assert SVL not in elsewhere.chains
    assert elsewhere.chains[EXT][-1].endswith(f"--src-type LOCAL -j {SVC}")
    assert elsewhere.filter_external[0].endswith("-j DROP")


def test_internal_policy_local_without_local_endpoints_drops() -> None:
    plan = plan_port(port(internal_local=True), [ONE], VIEW)
    assert plan.chains == {}
    assert "has no local endpoints" in plan.filter_services[0] and plan.filter_services[0].endswith("-j DROP")


def test_affinity_rules_come_before_chance() -> None:
    plan = plan_port(port(sticky_seconds=10800), [ONE, TWO], VIEW)
    kinds = ["recent" if "-m recent" in rule else "chance" for rule in plan.chains[SVC][1:]]
    assert kinds == ["recent", "recent", "chance", "chance"]
    assert f"-m recent --name {sep(ONE)} --set " in plan.chains[sep(ONE)][1]


def test_zone_hints_when_all_have_them_and_one_is_ours() -> None:
    here, there = endpoint("10.0.0.1", zones=frozenset("a")), endpoint("10.0.0.2", zones=frozenset("b"))
    view = NodeView(labels={"topology.kubernetes.io/zone": "a"})
    assert set(plan_port(port(), [here, there], view).chains) == {SVC, sep(here)}
    assert len(plan_port(port(), [here, there, ONE], view).chains) == 4
    assert len(plan_port(port(), [here, there], NodeView(labels={"topology.kubernetes.io/zone": "c"})).chains) == 3


def test_large_sets_go_without_endpoint_comments() -> None:
    plan = plan_port(port(), [ONE], NodeView(), comments=False)
    assert "comment" not in "".join(plan.chains[sep(ONE)])
    assert "comment" in plan.nat_services[0]
