"""kube-proxy as a process in both modes: restarts and changes of mode that no request notices, repair, clean-up."""

import functools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.netns.cni.namespaces import Namespace
from tests.netns.proxy.conftest import Node, World
from tests.netns.proxy.test_kube_proxy import asked, soon, two_pods

# Requests that pass while kube-proxy is away, each time. The promise is 3,000: KUBELAB_PROXY_REQUESTS=3000.
AWAY = int(os.environ.get("KUBELAB_PROXY_REQUESTS", "300"))
IPTABLES, NFTABLES = "--proxy-mode=iptables", "--proxy-mode=nftables"


class Load:
    """Requests, one after the other, counted. Any that is not answered is kept in `lost`."""

    def __init__(self, client: Namespace, ip: str) -> None:
        self._client, self._ip = client, ip
        self._stop = threading.Event()
        self.count, self.lost, self.during = 0, list[str](), ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._client.ask(self._ip, 80, timeout=60)
                if " from " not in answer:
                    self.lost.append(f"{self.during}: answer {answer!r}")
            except OSError as error:
                self.lost.append(f"{self.during}: {error!r}")
            self.count += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(120)

    async def more(self, requests: int) -> None:
        until = self.count + requests
        await soon(f"{requests} requests", lambda: self.count >= until, 120 + requests / 10)


def has_iptables(node: Node) -> bool:
    return "KUBE-SVC-" in node.namespace.run("iptables-save", "-t", "nat")


def has_nftables(node: Node) -> bool:
    return "table ip kube-proxy" in node.namespace.run("nft", "list", "tables")


def is_programmed(node: Node, mode: str) -> bool:
    """Whether this process has written the mode's rules, and the other mode's are gone."""
    there, other = (has_nftables, has_iptables) if mode == NFTABLES else (has_iptables, has_nftables)
    written = 'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1'
    return written in node.get(10249, "/metrics")[1] and there(node) and not other(node)


async def test_no_request_is_lost_by_restarts_and_changes_of_mode(world: World) -> None:
    one, two = world.nodes
    (_, first_ip), (client, second_ip) = await two_pods(world)
    vip = await world.service("web", [(first_ip, one.name), (second_ip, two.name)])
    await soon("the ClusterIP", asked(client, vip, 80))
    load = Load(client, vip)
    with load.running():
        for number, mode in enumerate((IPTABLES, NFTABLES, NFTABLES, IPTABLES)):
            load.during = f"{number}, {mode}"
            assert two.process is not None
            two.process.stop(9)
            await load.more(AWAY if mode == NFTABLES else AWAY // 10)
            two.start(flags=(mode,))
            await soon(f"rules with {mode}", functools.partial(is_programmed, two, mode))
            await load.more(50)
    assert load.lost == []
    assert load.count >= 2 * AWAY


async def test_nftables_broken_by_others_is_repaired_within_ten_seconds_and_cleaned_up(world: World) -> None:
    one, two = world.nodes
    (_, first_ip), (client, _) = await two_pods(world)
    assert two.process is not None
    assert two.process.stop() == 0
    two.start(flags=(NFTABLES,))
    vip = await world.service("web", [(first_ip, one.name)])
    await soon("nftables", lambda: is_programmed(two, NFTABLES))
    await soon("the ClusterIP", asked(client, vip, 80))
    assert two.get(10249, "/proxyMode") == (200, "nftables")
    assert elements(two) == [two.ip]  # node ports answer on the node's own address
    for number, words in enumerate(("delete table ip kube-proxy", "flush chain ip kube-proxy nat-prerouting"), 1):
        two.namespace.run("nft", words)
        # Ten seconds are the promise; the rest is for a machine that does ten things at once.
        await soon(f"repaired after {words}", functools.partial(has_repaired, two, number))
        await soon(f"the ClusterIP after {words}", asked(client, vip, 80))
    two.namespace.run("nft", "add", "table", "ip", "mine")
    assert two.process.stop() == 0
    assert two.start(flags=("--cleanup",)).popen.wait(120) == 0
    assert two.namespace.run("nft", "list", "tables").count("mine") == 1
    assert not has_nftables(two) and not has_iptables(two)


def has_repaired(node: Node, times: int) -> bool:
    said = re.search(r'kubelab_proxy_rules_repaired_total\{ip_family="IPv4"\} (\S+)', node.get(10249, "/metrics")[1])
    return said is not None and float(said[1]) >= times


def elements(node: Node) -> list[str]:
    """Of the set of the addresses that node ports answer on."""
    listed = node.namespace.json("nft", "-j", "list", "set", "ip", "kube-proxy", "nodeport-ips")
    return list(next(one["set"] for one in listed["nftables"] if "set" in one).get("elem", []))
