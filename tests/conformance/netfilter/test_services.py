"""What a service proxy does to packets, whatever programs the kernel: the same suite for every back end."""

import asyncio
import ipaddress

import pytest

from nodeagent.netlink import conntrack
from nodeagent.netlink.links import AF_INET
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink
from nodeagent.proxy.traffic import ZONE_LABEL
from tests.conformance.netfilter.cluster import PORT, Cluster, Node
from tests.conformance.netfilter.modes import NftablesMode
from tests.netns.cni.namespaces import eventually

VIP, OTHER_VIP = "10.96.0.50", "10.96.0.51"
BALANCER = "203.0.113.7"


def names(answers: list[str]) -> set[str]:
    return {answer.split()[0] for answer in answers}


async def test_cluster_ip_from_nodes_and_pods_with_the_pods_own_address(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    client = cluster.nodes[0].pod("client")
    await cluster.service("web", [one, two], clusterIP=VIP)
    answers = [client.ask(VIP, 80) for _ in range(30)]
    assert names(answers) == {"one", "two"}
    assert {answer.split()[-1] for answer in answers} == {client.ip}
    for node in cluster.nodes:
        assert names([node.namespace.ask(VIP, 80) for _ in range(30)]) == {"one", "two"}


async def test_a_pod_reaches_itself_through_its_service(cluster: Cluster) -> None:
    pod = cluster.nodes[0].pod("one")
    await cluster.service("web", [pod], clusterIP=VIP)
    assert pod.ask(VIP, 80) == "one from 10.244.1.1"


async def test_node_port_on_every_node_from_everywhere(cluster: Cluster) -> None:
    one = cluster.nodes[0].pod("one")
    client = cluster.nodes[1].pod("client")
    await cluster.service("web", [one], clusterIP=VIP, type="NodePort", nodePort=30080)
    for ip in ("192.0.2.1", "192.0.2.2"):
        assert cluster.outside.ask(ip, 30080).startswith("one from ")
        assert client.ask(ip, 30080).startswith("one from ")
        for node in cluster.nodes:
            assert node.namespace.ask(ip, 30080).startswith("one from ")
    for node in cluster.nodes:
        if node.mode.localhost_node_ports:
            assert node.namespace.ask("127.0.0.1", 30080).startswith("one from ")
        else:
            with pytest.raises(ConnectionRefusedError):
                node.namespace.ask("127.0.0.1", 30080)


async def test_without_endpoints_refused_at_once(cluster: Cluster) -> None:
    client = cluster.nodes[0].pod("client")
    await cluster.service("web", [], clusterIP=VIP, type="NodePort", nodePort=30080)
    for ask in (client.ask, cluster.nodes[0].namespace.ask):
        with pytest.raises(ConnectionRefusedError):
            ask(VIP, 80)
    with pytest.raises(ConnectionRefusedError):
        cluster.outside.ask("192.0.2.1", 30080)


async def test_endpoints_come_and_go(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    client = cluster.nodes[0].pod("client")
    await cluster.service("web", [], clusterIP=VIP)
    for pods in ([one], [one, two], [two], []):
        await cluster.service("web", pods, clusterIP=VIP)
        if pods:
            assert names([client.ask(VIP, 80) for _ in range(20)]) == {pod.name for pod in pods}
    with pytest.raises(ConnectionRefusedError):
        client.ask(VIP, 80)


async def test_session_affinity(cluster: Cluster) -> None:
    pods = [cluster.nodes[0].pod(name) for name in ("a", "b", "c")]
    clients = [cluster.nodes[1].pod(f"client{number}") for number in range(4)]
    await cluster.service("web", pods, clusterIP=VIP, sessionAffinity="ClientIP")
    kept = [client.ask(VIP, 80) for client in clients]
    for node in cluster.nodes:
        node.mode.backend.holds = False  # as after a restart
    await cluster.sync()
    for client, answer in zip(clients, kept, strict=True):
        assert {client.ask(VIP, 80) for _ in range(10)} == {answer}
    await cluster.service("web", pods, clusterIP=VIP, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    for client in clients:
        assert len(names([client.ask(VIP, 80) for _ in range(10)])) == 1


async def test_external_traffic_policy_local_keeps_the_client_address(cluster: Cluster) -> None:
    one = cluster.nodes[0].pod("one")
    client = cluster.nodes[1].pod("client")
    await cluster.service("web", [one], clusterIP=VIP, type="NodePort", nodePort=30080, externalTrafficPolicy="Local")
    assert cluster.outside.ask("192.0.2.1", 30080) == "one from 192.0.2.9"
    with pytest.raises(TimeoutError):
        cluster.outside.ask("192.0.2.2", 30080, timeout=1)
    # Pods and the node itself are served as if the traffic had gone out and come back.
    assert client.ask("192.0.2.2", 30080).startswith("one from ")
    assert cluster.nodes[1].namespace.ask("192.0.2.2", 30080).startswith("one from ")


async def test_internal_traffic_policy_local(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    near = cluster.nodes[0].pod("near")
    await cluster.service("web", [one, two], clusterIP=VIP, internalTrafficPolicy="Local")
    assert names([near.ask(VIP, 80) for _ in range(20)]) == {"one"}
    await cluster.service("web", [two], clusterIP=VIP)
    with pytest.raises(TimeoutError):
        near.ask(VIP, 80, timeout=1)


async def test_hints_keep_traffic_in_its_zone_while_every_endpoint_has_one(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    near, far = cluster.nodes[0].pod("near"), cluster.nodes[1].pod("far")
    for node, zone in zip(cluster.nodes, ("a", "b"), strict=True):
        node.proxier.node_changed({ZONE_LABEL: zone}, node.ip, node.subnet)
    await cluster.service("web", [one, two], clusterIP=VIP, zones={"one": "a", "two": "b"})
    assert names([near.ask(VIP, 80) for _ in range(20)]) == {"one"}
    assert names([far.ask(VIP, 80) for _ in range(20)]) == {"two"}
    await cluster.service("web", [one, two], clusterIP=VIP, zones={"one": "a"})
    for client in (near, far):
        assert names([client.ask(VIP, 80) for _ in range(30)]) == {"one", "two"}


async def test_terminating_endpoints_serve_only_while_there_is_no_other(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    client = cluster.nodes[0].pod("client")
    leaving = {"ready": False, "serving": True, "terminating": True}
    await cluster.service("web", [one, two], clusterIP=VIP, conditions={"one": leaving})
    assert names([client.ask(VIP, 80) for _ in range(20)]) == {"two"}
    await cluster.service("web", [one, two], clusterIP=VIP, conditions={"one": leaving, "two": leaving})
    assert names([client.ask(VIP, 80) for _ in range(20)]) == {"one", "two"}
    gone = {"ready": False, "serving": False, "terminating": True}
    await cluster.service("web", [one, two], clusterIP=VIP, conditions={"one": gone, "two": gone})
    with pytest.raises(ConnectionRefusedError):
        client.ask(VIP, 80)


async def test_external_ips_and_a_load_balancer_with_source_ranges(cluster: Cluster) -> None:
    one = cluster.nodes[0].pod("one")
    for ip in (BALANCER, "203.0.113.8"):
        cluster.outside.run("ip", "route", "add", ip, "via", "192.0.2.2")
    spec = {"clusterIP": VIP, "type": "LoadBalancer", "externalIPs": ["203.0.113.8"]}
    status = {"loadBalancer": {"ingress": [{"ip": BALANCER}]}}
    await cluster.service("web", [one], status=status, **spec)
    assert cluster.outside.ask(BALANCER, 80).startswith("one from ")
    assert cluster.outside.ask("203.0.113.8", 80).startswith("one from ")
    await cluster.service("web", [one], status=status, loadBalancerSourceRanges=["198.51.100.0/24"], **spec)
    with pytest.raises(TimeoutError):
        cluster.outside.ask(BALANCER, 80, timeout=1)
    await cluster.service("web", [one], status=status, loadBalancerSourceRanges=["192.0.2.0/24"], **spec)
    assert cluster.outside.ask(BALANCER, 80).startswith("one from ")


async def test_udp_follows_its_endpoints_on_the_same_port(cluster: Cluster) -> None:
    await udp_follows(cluster, VIP)


async def udp_follows(cluster: Cluster, vip: str) -> None:
    one, two = cluster.nodes[1].pod("one"), cluster.nodes[1].pod("two")
    client = cluster.nodes[0].pod("client")
    await cluster.service("dns", [one], clusterIP=vip, protocol="UDP")
    assert client.ask_udp(vip, 80, source=5353).startswith("one from ")
    await cluster.service("dns", [two], clusterIP=vip, protocol="UDP")
    # Without forgetting the tracked connection this would go on asking the endpoint that left.
    assert client.ask_udp(vip, 80, source=5353).startswith("two from ")


async def test_who_asked_before_there_were_rules_stands_in_nobodys_way(cluster: Cluster) -> None:
    one, client = cluster.nodes[1].pod("one"), cluster.nodes[0].pod("client")
    cluster.outside.run("ip", "route", "add", "blackhole", f"{VIP}/32")  # what is not translated is lost without a word
    await cluster.sync()
    with pytest.raises(OSError, match="timed out"):
        client.ask(VIP, 80, timeout=0.5, source=("", 5353))
    waiting = asyncio.ensure_future(asyncio.to_thread(client.ask, VIP, 80, timeout=60, source=("", 5354)))
    await asyncio.to_thread(eventually, "its attempt", lambda: attempts(cluster.nodes[0]) == 2, 60)
    await cluster.service("web", [one], clusterIP=VIP)
    # Without forgetting it, the tracked attempt would lead the next one from this port past the rules.
    assert client.ask(VIP, 80, source=("", 5353)).startswith("one from ")
    assert (await waiting).startswith("one from ")  # TCP repeats itself, and arrives


def attempts(node: Node) -> int:
    """Tracked connections to the ClusterIP."""
    with node.namespace.inside(lambda: Netlink(NETLINK_NETFILTER)) as netlink:
        flows = conntrack.list_flows(netlink, AF_INET, {conntrack.IPPROTO_TCP})
    return sum(flow.destination == ipaddress.ip_address(VIP).packed for flow in flows)


async def test_pods_go_out_with_the_nodes_address_and_to_pods_with_their_own(cluster: Cluster) -> None:
    client, other = cluster.nodes[0].pod("client"), cluster.nodes[1].pod("other")
    server = cluster.outside.serve("outside", 80)
    await cluster.sync()
    try:
        assert client.ask("192.0.2.9", 80) == "outside from 192.0.2.1"
        assert client.ask(other.ip, PORT) == f"other from {client.ip}"
    finally:
        server.close()


async def test_a_flush_is_seen_and_repaired(cluster: Cluster) -> None:
    one = cluster.nodes[0].pod("one")
    node = cluster.nodes[1]
    await cluster.service("web", [one], clusterIP=VIP)
    assert await node.proxier.verify()
    before = node.mode.rules()
    for breakage in node.mode.breakages:
        node.namespace.run(*breakage)
        assert not await node.proxier.verify(), breakage
        await settled(node)
        assert node.mode.rules() == before, breakage
        assert await node.proxier.verify()
        assert node.namespace.ask(VIP, 80).startswith("one from ")


async def test_foreign_rules_survive_everything(cluster: Cluster) -> None:
    node, one = cluster.nodes[0], cluster.nodes[0].pod("one")
    foreign = (
        "*nat\n:MINE - [0:0]\n:KUBELET-MINE - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 9 -j MINE\n"
        "-A MINE -j RETURN\nCOMMIT\n*filter\n-A INPUT -s 203.0.113.99/32 -j DROP\nCOMMIT\n"
    )
    if isinstance(node.mode, NftablesMode):
        foreign = (
            "add table ip mine\nadd chain ip mine c\nadd rule ip mine c tcp dport 9 return\n"
            "add table ip6 kube-proxy\nadd chain ip6 kube-proxy service-a/b/tcp/\n"
        )
    node.mode.load(foreign)
    before = node.mode.rules()
    await cluster.service("web", [one], clusterIP=VIP, type="NodePort", nodePort=30080)
    node.namespace.run(*node.mode.breakages[2])
    assert not await node.proxier.verify()
    await cluster.sync()
    assert before <= node.mode.rules()
    for _ in range(2):
        await node.mode.clean_up()
        assert node.mode.rules() == before


async def test_a_deleted_service_leaves_no_chain(cluster: Cluster) -> None:
    one, node = cluster.nodes[0].pod("one"), cluster.nodes[0]
    await cluster.sync()
    before = node.mode.rules()
    await cluster.service("web", [one], clusterIP=VIP, type="NodePort", nodePort=30080, sessionAffinity="ClientIP")
    assert len(node.mode.rules() - before) > 5
    await cluster.delete("web")
    await settled(node)
    assert node.mode.rules() == before
    assert await node.proxier.verify()


async def test_what_an_earlier_proxy_left_is_taken_over(cluster: Cluster) -> None:
    one, node = cluster.nodes[0].pod("one"), cluster.nodes[0]
    node.mode.load(node.mode.leftover)
    await cluster.service("web", [one], clusterIP=VIP)
    await settled(node)
    assert "AAAAAAAA" not in "".join(node.mode.rules())
    assert await node.proxier.verify()


async def test_only_what_changed_is_written(cluster: Cluster) -> None:
    one, two = cluster.nodes[0].pod("one"), cluster.nodes[1].pod("two")
    await cluster.service("web", [one], clusterIP=VIP)
    await cluster.service("other", [one], clusterIP=OTHER_VIP)
    written = cluster.nodes[0].mode.written
    written.clear()
    await cluster.service("web", [one], clusterIP=VIP)
    assert "".join(written) == ""
    await cluster.service("web", [one, two], clusterIP=VIP)
    text = "".join(written)
    assert two.ip in text
    assert not any(words in text for words in ("default/other", "KUBE-SERVICES", "*filter", "service-ips", "add map"))


async def test_connections_survive_a_full_rewrite(cluster: Cluster) -> None:
    one = cluster.nodes[1].pod("one")
    client = cluster.nodes[0].pod("client")
    await cluster.service("web", [one], clusterIP=VIP)
    for _ in range(5):
        cluster.nodes[0].mode.backend.holds = False  # as after a restart
        await cluster.sync()
        assert client.ask(VIP, 80) == f"one from {client.ip}"


async def settled(node: Node) -> None:
    """Sync until the proxier asks for no other."""
    while (seconds := await node.proxier.sync()) is not None:
        await asyncio.sleep(seconds)
