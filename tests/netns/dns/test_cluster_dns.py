"""Cluster DNS as pods use it: behind the kube-dns ClusterIP, through the service rules, against the real API."""

import asyncio
import ipaddress
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from apimachinery.api.catalogue import ENDPOINTSLICES, SERVICES
from nodeagent.dns import message, reading
from tests.netns.cni.namespaces import PATIENCE, Namespace, eventually
from tests.netns.proxy.conftest import Process, World

ZONE = "svc.cluster.local"
COREFILE = """
.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload 2s 0
}
"""
STUB = """
stub.test {
    hosts {
        192.0.2.44 a.stub.test
    }
}
"""


async def soon(what: str, condition: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, what, condition)


def exchange(client: Namespace, server: str, data: bytes, *, tcp: bool = False) -> bytes:
    def over_udp() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.sendto(data, (server, 53))
            return sock.recv(65535)

    def over_tcp() -> bytes:
        with socket.create_connection((server, 53), PATIENCE) as sock:
            sock.sendall(struct.pack("!H", len(data)) + data)
            file = sock.makefile("rb")
            return file.read(struct.unpack("!H", file.read(2))[0])

    return client.inside(over_tcp if tcp else over_udp)


def ask(
    client: Namespace, server: str, name: str, kind: int = message.A, *, tcp: bool = False
) -> tuple[int, list[str]]:
    """The response code, and the answers' addresses or names."""
    query = message.write_query(random.getrandbits(16), message.parse_name(name), kind)
    answer = reading.read_answer(exchange(client, server, query, tcp=tcp))
    found = []
    for record in answer.records:
        if record.type in (message.A, message.AAAA):
            assert isinstance(record.data, bytes)
            found.append(str(ipaddress.ip_address(record.data)))
        elif record.type == message.SRV:
            _, _, port, target = record.data
            found.append(f"{port} {message.format_name(target)}")
        else:
            found.append(message.format_name(record.data))
    return answer.rcode, found


async def start(world: World, tmp_path: Path) -> tuple[Namespace, str, Process, Namespace]:
    """The DNS server in a pod on node 1 behind kube-dns; returns a client pod on node 2 and the ClusterIP too."""
    for node in world.nodes:
        await soon("the CNI configuration", node.conflist.exists)
    pod, ip = world.nodes[0].pod("dns")
    client, _ = world.nodes[1].pod("client")
    corefile = tmp_path / "Corefile"
    corefile.write_text(COREFILE)
    argv = ["-m", "nodeagent.dns", "--conf", str(corefile), "--kubeconfig", str(world.kubeconfig)]
    process = Process(pod, tmp_path / "dns.log", *argv)
    server = await world.service("kube-dns", [(ip, "node-1")], ports=[{"name": "dns", "port": 53, "protocol": "UDP"}])
    ports = [
        {"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    spec = [{"name": port["name"], "port": 53, "protocol": port["protocol"]} for port in ports]
    await world.client.patch(SERVICES, "kube-dns", {"spec": {"ports": spec}}, "default")
    await world.client.patch(ENDPOINTSLICES, "kube-dns-1", {"ports": ports}, "default")
    kubernetes = f"kubernetes.default.{ZONE}"
    await soon("an answer", lambda: ask(client, server, kubernetes)[1] == ["10.96.0.1"])
    await soon("an answer over TCP", lambda: ask(client, server, kubernetes, tcp=True)[1] == ["10.96.0.1"])
    return client, server, process, pod


@pytest.fixture
async def dns(world: World, tmp_path: Path):
    client, server, process, pod = await start(world, tmp_path)
    yield client, server, pod
    assert process.popen.poll() is None, process.log.read_text()[-3000:]
    process.stop()


async def test_names_of_services(world: World, dns: tuple[Namespace, str, Namespace]) -> None:
    client, server, pod = dns
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    vip = await world.service("web", [("10.244.0.77", "node-1")], ports=ports)
    await world.service("db", [("10.244.0.78", "node-1"), ("10.244.1.79", "node-2")], clusterIP="None", ports=ports)
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "out", "namespace": "default"}}
    await world.client.create(
        SERVICES, {**body, "spec": {"type": "ExternalName", "externalName": f"web.default.{ZONE}"}}
    )
    web = f"web.default.{ZONE}."

    await soon("web", lambda: ask(client, server, web)[1] == [vip])
    assert ask(client, server, f"_http._tcp.{web}", message.SRV)[1][0] == f"80 {web}"
    reversed_ip = ".".join(reversed(vip.split("."))) + ".in-addr.arpa"
    assert ask(client, server, reversed_ip, message.PTR) == (0, [web])
    await soon("db", lambda: set(ask(client, server, f"db.default.{ZONE}")[1]) == {"10.244.0.78", "10.244.1.79"})
    assert ask(client, server, f"10-244-0-78.db.default.{ZONE}")[1] == ["10.244.0.78"]
    await soon("out", lambda: ask(client, server, f"out.default.{ZONE}")[1] == [web, vip])
    assert ask(client, server, "10-244-9-9.default.pod.cluster.local")[1] == ["10.244.9.9"]
    assert ask(client, server, web, message.AAAA) == (message.NOERROR, [])
    assert ask(client, server, f"none.default.{ZONE}") == (message.NXDOMAIN, [])
    await world.client.delete(SERVICES, "web", "default")
    await soon("web is gone", lambda: ask(client, server, web)[0] == message.NXDOMAIN)
    for address in ("127.0.0.1:8080/health", "127.0.0.1:8181/ready"):
        assert pod.run("curl", "-fs", f"http://{address}") == "OK"
    assert "coredns_dns_responses_total" in pod.run("curl", "-fs", "http://127.0.0.1:9153/metrics")


async def test_a_pods_resolver_walks_its_search_path(
    world: World, dns: tuple[Namespace, str, Namespace], tmp_path: Path
) -> None:
    """glibc's resolver with the resolv.conf that the kubelet gives to pods (specification, "Finding names")."""
    client, server, pod = dns
    (tmp_path / "Corefile").write_text(COREFILE + STUB)
    vip = await world.service("web", [("10.244.0.77", "node-1")])
    resolv = tmp_path / "resolv.conf"

    def found(name: str, *, namespace: str = "default", ndots: int = 5) -> list[str]:
        search = f"{namespace}.{ZONE} {ZONE} cluster.local"
        resolv.write_text(f"search {search}\nnameserver {server}\noptions ndots:{ndots} timeout:20\n")
        asked = f"mount --bind {resolv} /etc/resolv.conf && exec getent ahostsv4 {name}"
        lines = client.run("unshare", "--mount", "sh", "-c", asked, check=False).splitlines()
        return sorted({line.split()[0] for line in lines})

    def denials() -> float:
        metrics = pod.run("curl", "-fs", "http://127.0.0.1:9153/metrics")
        told = [line for line in metrics.splitlines() if line.startswith("coredns_dns_responses_total{")]
        return sum(float(line.split()[-1]) for line in told if 'rcode="NXDOMAIN"' in line)

    await soon("web", lambda: found("web") == [vip])
    for name in ("web.default", "web.default.svc", f"web.default.{ZONE}", f"web.default.{ZONE}."):
        assert found(name) == [vip], name
    assert found("web.default", namespace="kube-system") == [vip]
    for name, namespace in (("web", "kube-system"), ("web.", "default"), ("none", "default")):
        assert found(name, namespace=namespace) == [], name

    # A name of elsewhere is looked for in the cluster first, unless it has as many dots as that takes.
    await soon("a stub", lambda: found("a.stub.test") == ["192.0.2.44"])
    for ndots, expected in ((5, 3), (2, 0)):
        before = denials()
        assert found("a.stub.test", ndots=ndots) == ["192.0.2.44"]
        assert denials() - before == expected

    # That a name was denied is not kept when it is one of the cluster's: a Service counts as soon as it is there.
    assert found("late") == []
    late = await world.service("late", [("10.244.0.78", "node-1")])
    await soon("late", lambda: found("late") == [late])


async def test_a_corefile_is_broken_and_mended(
    world: World, dns: tuple[Namespace, str, Namespace], tmp_path: Path
) -> None:
    client, server, pod = dns
    kubernetes, log = f"kubernetes.default.{ZONE}", tmp_path / "dns.log"
    corefile = tmp_path / "Corefile"
    assert ".:53\n[INFO] plugin/reload: Running configuration SHA512 = " in log.read_text()
    corefile.write_text(COREFILE.replace("cache 30", "cahce 30"))
    line = corefile.read_text().splitlines().index("    cahce 30") + 1
    wrong = f"{corefile}:{line} - Error during parsing: Unknown directive 'cahce'"
    failed = "Corefile changed but reload failed: starting with listener file descriptors:"
    told = f"[INFO] Reloading\n[ERROR] Restart failed: {wrong}\n[ERROR] plugin/reload: {failed} {wrong}\n"
    await soon("the complaint", lambda: told in log.read_text())
    assert ask(client, server, kubernetes) == (0, ["10.96.0.1"])
    metrics = ("curl", "-fs", "http://127.0.0.1:9153/metrics")
    await soon("its count", lambda: "coredns_reload_failed_total 0.0" not in pod.run(*metrics))

    # The former zone is gone, another is served.
    corefile.write_text(
        COREFILE.replace("cluster.local", "lab.test") + "stub.test {\n hosts {\n 192.0.2.44 a.stub.test\n }\n}\n"
    )
    await soon("the other zone", lambda: ask(client, server, "kubernetes.default.svc.lab.test") == (0, ["10.96.0.1"]))
    assert ask(client, server, "a.stub.test") == (0, ["192.0.2.44"])
    await soon("its word", lambda: "Reloading complete" in log.read_text())

    # A port that another has: the former configuration goes on.
    taken = pod.serve("taken", 54)
    world.servers.append(taken)
    corefile.write_text(COREFILE.replace(".:53", ".:54"))
    await soon("the complaint", lambda: f"{failed} [Errno" in log.read_text())
    assert ask(client, server, "a.stub.test") == (0, ["192.0.2.44"])
    corefile.write_text(COREFILE)
    await soon("the first zone", lambda: ask(client, server, kubernetes) == (0, ["10.96.0.1"]))


async def test_a_restart_while_the_api_is_away(world: World, tmp_path: Path) -> None:
    """As CoreDNS does: after five seconds it serves what it knows; names of the cluster are a failure, no denial."""
    client, server, process, pod = await start(world, tmp_path)
    assert world.control_plane is not None
    world.control_plane.stop(9)
    process.stop(9)
    corefile = tmp_path / "Corefile"
    corefile.write_text(COREFILE + STUB)
    again = Process(pod, tmp_path / "dns.log", *process.popen.args[3:])
    try:
        await soon("a stub", lambda: ask(client, server, "a.stub.test") == (0, ["192.0.2.44"]))
        assert ask(client, server, f"kubernetes.default.{ZONE}") == (message.SERVFAIL, [])
        assert pod.run("curl", "-s", "http://127.0.0.1:8181/ready") == "kubernetes"
        assert "starting server with unsynced Kubernetes API" in (tmp_path / "dns.log").read_text()
        world.start_control_plane()
        kubernetes = f"kubernetes.default.{ZONE}"
        await soon("the API's names", lambda: ask(client, server, kubernetes) == (0, ["10.96.0.1"]))
    finally:
        again.stop(9)


async def test_a_loop_of_forwards_is_the_end(world: World, tmp_path: Path) -> None:
    pod = Namespace("looping")
    world.extra.append(pod)
    corefile, log = tmp_path / "Corefile", tmp_path / "loop.log"
    corefile.write_text(". {\n loop\n forward . 127.0.0.1\n}\n")
    process = Process(pod, log, "-m", "nodeagent.dns", "--conf", str(corefile))
    try:
        assert await asyncio.to_thread(process.popen.wait, 120) == 1
        assert 'detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting' in log.read_text()
    finally:
        process.stop(9)


async def test_answers_go_on_while_the_api_is_away(world: World, dns: tuple[Namespace, str, Namespace]) -> None:
    client, server, _ = dns
    assert world.control_plane is not None
    world.control_plane.stop(9)
    for _ in range(20):
        assert ask(client, server, f"kubernetes.default.{ZONE}") == (0, ["10.96.0.1"])


async def test_garbage_does_not_stop_it(dns: tuple[Namespace, str, Namespace]) -> None:
    client, server, _ = dns
    chance = random.Random(7)
    good = message.write_query(1, ("kubernetes", "default", "svc", "cluster", "local"), message.A)
    loop = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!HH", 1, 1)

    def rubbish() -> bytes:
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(0, 600))
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data[: chance.randrange(1, len(data) + 1)])

    def pour() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for number in range(5000):
                sock.sendto(rubbish(), (server, 53))
                if number % 100 == 0:
                    sock.sendto(loop, (server, 53))
        for _ in range(20):
            with socket.create_connection((server, 53), PATIENCE) as stream:
                stream.sendall(b"\xff\xff" + chance.randbytes(65535))
                stream.sendall(struct.pack("!H", 3) + b"abc")

    client.inside(pour)
    await soon("an answer", lambda: ask(client, server, f"kubernetes.default.{ZONE}") == (0, ["10.96.0.1"]))
