"""kube-proxy as a process, against the real API: rules, routes, CNI configuration, and bad luck."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import ENDPOINTSLICES, NEW_EVENTS, NODES, SERVICES
from tests.netns.cni.namespaces import WAIT, Namespace, eventually
from tests.netns.proxy.conftest import Node, World


async def soon(what: str, condition: Callable[[], object], seconds: float = WAIT) -> None:
    """Like `eventually`, with the loop running meanwhile."""
    await asyncio.to_thread(eventually, what, condition, seconds)


async def two_pods(world: World) -> list[tuple[Namespace, str]]:
    pods = []
    for node in world.nodes:
        await soon("the CNI configuration", node.conflist.exists)
        namespace, ip = node.pod(f"pod-on-{node.name}")
        world.servers.append(namespace.serve(node.name, 8080))
        pods.append((namespace, ip))
    return pods


def routes_of(node: Node) -> dict[str, str]:
    found = node.namespace.json("ip", "-j", "route", "show", "proto", "76")
    return {route["dst"]: route["gateway"] for route in found}


def asked(client: Namespace, ip: str, port: int) -> Callable[[], bool]:
    return lambda: " from " in client.ask(ip, port, timeout=1)


def rejects(node: Node, rejected: bool) -> bool:
    return ("web has no endpoints" in node.namespace.run("iptables-save")) is rejected


async def test_the_journey_of_a_packet(world: World) -> None:
    one, two = world.nodes
    (first, first_ip), (second, second_ip) = await two_pods(world)
    nodes = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in (await world.client.list(NODES))["items"]}

    await soon("routes", lambda: routes_of(one) == {nodes["node-2"]: two.ip} and routes_of(two))
    assert first.ask(second_ip, 8080) == f"node-2 from {first_ip}"

    spec = {"type": "NodePort"}
    vip = await world.service("web", [(first_ip, one.name), (second_ip, two.name)], **spec)
    port = (await world.client.get(SERVICES, "web", "default"))["spec"]["ports"][0]["nodePort"]
    for namespace in (first, second, one.namespace, two.namespace):
        await soon("the ClusterIP", asked(namespace, vip, 80))
        assert {namespace.ask(vip, 80).split()[0] for _ in range(20)} == {"node-1", "node-2"}
    for ip in (one.ip, two.ip):
        assert world.api.ask(ip, port).startswith("node-")

    for name, rejected in ((None, True), ("web", False)):  # the slice is given away, and back
        label = {"metadata": {"labels": {"kubernetes.io/service-name": name}}}
        await world.client.patch(ENDPOINTSLICES, "web-1", label, "default", kind="merge")
        await soon(f"the slice of {name}", partial(rejects, one, rejected))

    await world.client.delete(SERVICES, "web", "default")
    await world.client.delete(ENDPOINTSLICES, "web-1", "default")
    await soon("no chain of it", lambda: "default/web" not in one.namespace.run("iptables-save"))


async def test_flushed_rules_and_removed_routes_are_back_within_ten_seconds_with_the_api_away(world: World) -> None:
    one, two = world.nodes
    (_, first_ip), (second, _) = await two_pods(world)
    vip = await world.service("web", [(first_ip, one.name)])
    await soon("the ClusterIP", asked(second, vip, 80))
    await soon("routes", lambda: routes_of(one) and routes_of(two))
    routes = routes_of(two)

    assert world.control_plane is not None
    world.control_plane.stop(9)
    assert second.ask(vip, 80).startswith("node-1")

    for table in ("nat", "filter"):
        two.namespace.run("iptables", "-t", table, "-F")
    two.namespace.run("ip", "route", "flush", "proto", "76")
    await soon("the ClusterIP again", asked(second, vip, 80))
    await soon("the routes again", lambda: routes_of(two) == routes)

    assert two.process is not None
    assert two.process.stop() == 0
    assert second.ask(vip, 80).startswith("node-1")  # traffic needs no proxy

    two.start()  # and one that starts while the API is away does no harm
    await soon("it runs", lambda: "the server" in two.process.log.read_text() or two.get(10249, "/healthz")[0] == 200)
    assert second.ask(vip, 80).startswith("node-1")


async def test_a_node_that_leaves_takes_its_route_along(world: World) -> None:
    one, two = world.nodes
    await soon("routes", lambda: routes_of(one))
    one.namespace.run("ip", "route", "add", "203.0.113.0/24", "via", two.ip)
    await world.client.delete(NODES, two.name)
    await soon("no route", lambda: routes_of(one) == {})
    assert one.namespace.json("ip", "-j", "route", "show", "203.0.113.0/24")


async def test_side_doors(world: World) -> None:
    node = world.nodes[0]
    await soon("healthz", lambda: node.get(10256, "/healthz")[0] == 200)
    assert json.loads(node.get(10256, "/healthz")[1]).keys() == {"lastUpdated", "currentTime", "nodeEligible"}
    assert node.get(10249, "/healthz") == (200, "ok")
    assert node.get(10249, "/proxyMode") == (200, "iptables")
    await soon("a sync", lambda: 'rules_iptables_total{ip_family="IPv4",table="nat"}' in node.get(10249, "/metrics")[1])


async def told(world: World, selector: str) -> dict[str, Any]:
    """The event of kube-proxy that the selector finds."""
    async with asyncio.timeout(WAIT):
        while True:
            selected = f"reportingController=kube-proxy,{selector}"
            listed = await world.client.list(NEW_EVENTS, "default", field_selector=selected)
            if listed["items"]:
                return listed["items"][0]
            await asyncio.sleep(0.1)


async def test_it_says_that_it_starts_and_that_a_port_is_taken(world: World) -> None:
    one, _ = world.nodes
    started = await told(world, f"regarding.name={one.name}")
    assert started["regarding"] == {"kind": "Node", "name": one.name, "uid": one.name}
    assert (started["reason"], started["action"], started["type"]) == ("Starting", "StartKubeProxy", "Normal")

    port = 31999
    other = one.namespace.serve("somebody else", port)
    world.servers.append(other)
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port}
    await world.service("web", [("10.244.9.9", one.name)], **spec)
    failed = await told(world, "regarding.name=web")
    assert failed["regarding"] == {"kind": "Service", "namespace": "default", "name": "web", "uid": "default/web"}
    assert (failed["reason"], failed["action"], failed["type"]) == (
        "FailedToStartServiceHealthcheck",
        "Listen",
        "Warning",
    )
    assert failed["note"] == (
        f'node {one.name} failed to start healthcheck "default/web" on port {port}: '
        f"listen tcp 0.0.0.0:{port}: bind: address already in use"
    )


async def test_health_check_node_port(world: World) -> None:
    one, two = world.nodes
    (_, first_ip), _ = await two_pods(world)
    await world.service("web", [(first_ip, one.name)], type="LoadBalancer", externalTrafficPolicy="Local")
    port = (await world.client.get(SERVICES, "web", "default"))["spec"].get("healthCheckNodePort")
    if port is None:
        pytest.fail("the API server gave no healthCheckNodePort")
    await soon("one answers", lambda: one.get(port, "/")[0] == 200)
    await soon("the other refuses", lambda: two.get(port, "/")[0] == 503)
    assert json.loads(one.get(port, "/")[1]) == {
        "service": {"namespace": "default", "name": "web"}, "localEndpoints": 1, "serviceProxyHealthy": True,
    }  # fmt: skip
    said = one.namespace.run("curl", "-s", "-D-", "-o/dev/null", f"http://127.0.0.1:{port}/").lower()
    assert "content-type: application/json\r\n" in said
    assert "x-content-type-options: nosniff" in said and "x-load-balancing-endpoint-weight: 1" in said


async def test_health_checks_answer_where_node_ports_do(world: World) -> None:
    one = world.nodes[0]
    assert one.process is not None
    one.process.stop(9)
    one.start(flags=("--nodeport-addresses", "192.0.2.0/24"))
    port = 31000
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port}
    await world.service("web", [("10.244.9.9", one.name)], **spec)
    await soon("the server", lambda: f" {one.ip}:{port} " in one.namespace.run("ss", "-Hltn", f"sport = {port}"))
    assert one.namespace.run("ss", "-Hltn", f"sport = {port}").count("LISTEN") == 1


async def test_cleanup_leaves_nothing_of_ours_and_all_of_others(world: World) -> None:
    node = world.nodes[0]
    node.namespace.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "203.0.113.1", "-j", "RETURN")
    await soon("rules", lambda: "KUBE-SERVICES" in node.namespace.run("iptables-save", "-t", "nat"))
    await soon("routes", lambda: routes_of(node))
    assert node.process is not None
    assert node.process.stop() == 0
    assert node.start(flags=("--cleanup",)).popen.wait(120) == 0
    saved = node.namespace.run("iptables-save")
    assert "KUBE" not in saved
    assert "203.0.113.1" in saved
    assert routes_of(node) == {}


async def test_its_title_is_the_real_ones(world: World) -> None:
    process = world.nodes[0].process
    assert process is not None

    proc = Path("/proc", str(process.popen.pid))
    await soon("the title", lambda: proc.joinpath("cmdline").read_bytes().startswith(b"kube-proxy --kubeconfig="))
    assert proc.joinpath("comm").read_text() == "kube-proxy\n"
