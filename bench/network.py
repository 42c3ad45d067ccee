"""What a packet to a ClusterIP costs among 1,000 Services, and how long a changed EndpointSlice takes to lead packets.

Traffic: a machine between client and server has our rules, in turn with one that has kube-proxy's layout, generated
here and loaded by iptables-restore; the Service that is asked is the last one. Programming: a real API server,
kube-proxy as a process, 20 changes a second; a change has arrived when a new connection to the ClusterIP is answered by
the new endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from apimachinery.api.catalogue import ENDPOINTSLICES
from apimachinery.client.rest import wait_ready
from apimachinery.kit.clock import SystemClock
from bench.figure import Figure, p50
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink
from nodeagent.proxy.backend import Backend
from nodeagent.proxy.iptables.command import Iptables
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.nftables.kernel import NftKernel
from nodeagent.proxy.nftables.rules import NftablesRules
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.services import Endpoint, ServicePort
from tests.netns.cni.namespaces import Namespace, Server, connect, eventually
from tests.netns.proxy.conftest import InNamespace, Node, World

SERVICES = int(os.environ.get("KUBELAB_BENCH_SERVICES", "1000"))
REQUESTS, TRANSFERS, MEGABYTES = 1000, 45, 64  # of each mode; MiB of one transfer
CHANGES, RATE = 300, 20  # of one EndpointSlice each; a second
LATENCY_AIM, TRAFFIC_AIM = 1.0, 1.05  # seconds (p99); of kube-proxy's layout
PORTS = (8080, 8081, 8082)  # of the server: three endpoints
SERVER, SINK, CLUSTER = "10.245.0.2", 9090, "10.244.0.0/16"


def measure() -> list[Figure]:
    return [*_traffic(), *(asyncio.run(_programming(mode)) for mode in ("iptables", "nftables"))]


def _ip(number: int) -> str:
    return f"10.96.{number // 250}.{number % 250 + 1}"


_NEW = "-m conntrack --ctstate NEW"
_FILTER = f"""*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT {_NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT {_NEW} -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD {_NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD {_NEW} -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD {_NEW} -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT {_NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT {_NEW} -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def render_layout(size: int) -> str:
    """The tables as kube-proxy 1.32 lays them out in iptables mode; names of chains are shorter."""
    chains, rules = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"], [
        "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
        "-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES",
        "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000",
        "-A KUBE-POSTROUTING -j MASQUERADE --random-fully",
    ]  # fmt: skip
    for number in range(size):
        port = SINK if number == size - 2 else 80
        to, chain = f"-d {_ip(number)}/32 -p tcp -m tcp --dport {port}", f"KUBE-SVC-{number}"
        chains.append(chain)
        rules.append(f'-A KUBE-SERVICES {to} -m comment --comment "default/s{number} cluster IP" -j {chain}')
        rules.append(f"-A {chain} ! -s {CLUSTER} {to} -j KUBE-MARK-MASQ")
        ends = (SINK,) if port == SINK else PORTS
        for left, end in zip(range(len(ends), 0, -1), ends, strict=True):
            chains.append(f"KUBE-SEP-{number}-{end}")
            chance = f"-m statistic --mode random --probability {1 / left:.10f}" if left > 1 else ""
            rules.append(f"-A {chain} {chance} -j {chains[-1]}")
            rules.append(f"-A {chains[-1]} -s {SERVER}/32 -j KUBE-MARK-MASQ")
            rules.append(f"-A {chains[-1]} -p tcp -m tcp -j DNAT --to-destination {SERVER}:{end}")
    rules.append("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
    return _FILTER + "\n".join(["*nat", *(f":{chain} - [0:0]" for chain in chains), *rules, "COMMIT", ""])


class _Way:
    """Client, machine with rules, server; the last Service but one leads to what swallows bytes."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        made = [Namespace(f"kbg-{what}") for what in ("client", "router", "server")]
        for one in made:
            undo.callback(one.delete)
        self.client, self.router, self.server = made
        connect(self.router, self.client, "10.244.1.1/24", "10.244.1.2/24", ("down0", "eth0"))
        connect(self.router, self.server, "10.245.0.1/24", f"{SERVER}/24", ("down1", "eth0"))
        self.client.run("ip", "route", "add", "default", "via", "10.244.1.1")
        self.server.run("ip", "route", "add", "default", "via", "10.245.0.1")
        self.router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for port in PORTS:
            undo.callback(Server(self.server, "here", port, "0.0.0.0", socket.SOCK_STREAM).close)
        sink = self.server.inside(lambda: socket.create_server(("0.0.0.0", SINK)))
        undo.callback(sink.close)
        threading.Thread(target=_swallow, args=(sink,), daemon=True).start()

    async def program(self, mode: str) -> None:
        if mode == "layout":
            self.router.run("iptables-restore", "--noflush", input=render_layout(SERVICES))
            return
        prefix, settings = ["nsenter", f"--net={self.router.path}"], Settings()
        backend: Backend
        if mode == "nftables":
            kernel = NftKernel(4, prefix=prefix, open=lambda: self.router.inside(lambda: Netlink(NETLINK_NETFILTER)))
            backend = NftablesRules(kernel, settings, SystemClock())
        else:
            backend = IptablesRules(Iptables(4, namespace=str(self.router.path)), settings)
        ports = {}
        for number in range(SERVICES):
            sink = number == SERVICES - 2
            port = ServicePort(
                f"default/s{number}", "default", f"s{number}", "", "tcp", _ip(number), SINK if sink else 80
            )
            ends = [Endpoint(SERVER, end, True, True, False, False) for end in ((SINK,) if sink else PORTS)]
            ports[f"default/s{number}"] = [(port, ends)]
        await backend.write(ports, set(ports), NodeView(cluster_cidr=CLUSTER, pod_cidr="10.244.1.0/24"))

    def request(self) -> float:
        began = time.perf_counter()
        self.client.ask(_ip(SERVICES - 1), 80)
        return time.perf_counter() - began

    def transfer(self) -> float:
        """Seconds for MEGABYTES."""
        chunk = bytes(1 << 20)

        def send() -> float:
            with socket.create_connection((_ip(SERVICES - 2), SINK), 10) as connection:
                began = time.perf_counter()
                for _ in range(MEGABYTES):
                    connection.sendall(chunk)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)
                return time.perf_counter() - began

        return self.client.inside(send)


def _swallow(sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = sink.accept()
            with connection:
                while connection.recv(1 << 20):
                    pass


def _traffic() -> list[Figure]:
    modes = ("layout", "iptables", "nftables")
    with contextlib.ExitStack() as undo:
        ways = {mode: _Way(undo) for mode in modes}
        for mode, way in ways.items():
            asyncio.run(way.program(mode))
            way.request()
        requests: dict[str, list[float]] = {mode: [] for mode in modes}
        transfers: dict[str, list[float]] = {mode: [] for mode in modes}
        # One after the other, beginning with another each time: what the machine does besides meets all alike.
        for count, times, work in ((REQUESTS, requests, _Way.request), (TRANSFERS, transfers, _Way.transfer)):
            for turn in range(count):
                for mode in (*modes[turn % 3 :], *modes[: turn % 3]):
                    times[mode].append(work(ways[mode]))
    figures = []
    for mode in modes[1:]:
        floor, name = "kube-proxy's layout by hand", f"{mode}, {SERVICES:,} services"
        ours, hand = (p50(requests[one]) * 1e6 for one in (mode, "layout"))
        figures.append(Figure(f"{name}, a request to the last", ours, "µs", floor, hand, TRAFFIC_AIM))
        ours, hand = (p50(transfers[one]) for one in (mode, "layout"))
        note = f"{MEGABYTES / ours:,.0f} MiB/s against {MEGABYTES / hand:,.0f}"
        figures.append(Figure(f"{name}, {MEGABYTES} MiB", ours, "s", floor, hand, TRAFFIC_AIM, note=note))
    return figures


async def _programming(mode: str) -> Figure:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        try:
            await world.start()
            async with InNamespace(world.api, world.client):
                await wait_ready(world.client, attempts=300)
                await world.register(world.nodes[0])
                world.nodes[0].start(flags=(f"--proxy-mode={mode}",))
                return await _changes(world, world.nodes[0], mode)
        finally:
            world.close()


async def _changes(world: World, node: Node, mode: str) -> Figure:
    await _soon("the CNI configuration", node.conflist.exists)
    client, _ = node.pod("client")
    pods = [node.pod(name) for name in ("a", "b")]
    for (namespace, _), name in zip(pods, ("a", "b"), strict=True):
        world.servers.append(namespace.serve(name, 8080))
    vips: list[str] = [""] * SERVICES
    turns = asyncio.Semaphore(16)

    async def create(number: int) -> None:
        async with turns:
            vips[number] = await world.service(f"s{number}", [(pods[0][1], node.name)])

    await asyncio.gather(*map(create, range(SERVICES)))
    await _soon("the last Service", lambda: client.ask(vips[-1], 80, timeout=1))
    watchers = ThreadPoolExecutor(4 * RATE)  # one for each change that is on its way
    arrived: list[float] = []
    written: list[float] = []

    async def change(number: int) -> None:
        await asyncio.sleep(number / RATE)
        endpoint = {"addresses": [pods[1][1]], "nodeName": node.name, "conditions": {"ready": True}}
        began = time.perf_counter()
        await world.client.patch(ENDPOINTSLICES, f"s{number}-1", {"endpoints": [endpoint]}, "default")
        written.append(time.perf_counter() - began)
        await asyncio.get_running_loop().run_in_executor(watchers, _until_b, client, vips[number])
        arrived.append(time.perf_counter() - began)

    await asyncio.gather(*map(change, range(CHANGES)))
    watchers.shutdown()
    p99 = sorted(arrived)[int(len(arrived) * 0.99) - 1]
    name = f"{mode}, {SERVICES:,} services, {RATE} changes/s, written → live, p99"
    note = f"p50 {p50(arrived) * 1000:.0f} ms of {CHANGES}"
    floor = sorted(written)[int(len(written) * 0.99) - 1]
    return Figure(name, p99, "s", "the API's answer to the write, p99", floor, LATENCY_AIM, absolute=True, note=note)


def _until_b(client: Namespace, vip: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if client.ask(vip, 80, timeout=5).startswith("b "):
                return
        time.sleep(0.005)
    raise TimeoutError(f"the new endpoint of {vip} is not asked")


async def _soon(what: str, condition: Callable[[], object]) -> None:
    await asyncio.to_thread(eventually, what, condition, 120)
