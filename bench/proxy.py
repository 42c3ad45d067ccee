"""What Services cost in the kernel's rules, in both modes: all of them at once, and one endpoint that changes.

Each Service has three endpoints. Floors, taken in the same run in network namespaces of their own: the bare command
(`iptables-restore`, `nft -f`) fed with the same text, without anything of ours around it; where netlink messages are
sent instead, what the kernel takes for the same messages.
"""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvloop

from apimachinery.cache.lister import Lister
from apimachinery.kit import collector
from apimachinery.kit.clock import SystemClock
from apimachinery.meta.endpoints import SERVICE_NAME
from bench.figure import Figure, p50
from nodeagent.netlink import namespaces
from nodeagent.netlink.nf_tables import NFNL_SUBSYS_NFTABLES
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink, Request
from nodeagent.proxy import services
from nodeagent.proxy.backend import Backend
from nodeagent.proxy.iptables.command import Iptables
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.nftables.kernel import NftKernel
from nodeagent.proxy.nftables.rules import NftablesRules
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.proxier import SLICES_OF_SERVICE, Proxier

SIZES = tuple(int(size) for size in os.environ.get("KUBELAB_BENCH_SERVICES", "100,1000,5000").split(","))
CHANGES = 10  # of one endpoint, each in another Service
LARGE = 5000  # Services of which a full write is taken once
AGAIN = 3000  # Services that are written in further full writes of a smaller number, each beside its floor
FULL_AIM, CHANGE_AIM = 1.2, 5.0  # of the bare command; milliseconds on top of it
COMMANDS = {
    "iptables": ("iptables-nft-restore", "-w", "5", "--noflush", "--counters"),
    "iptables-legacy": ("iptables-legacy-restore", "-w", "5", "--noflush", "--counters"),
    "nftables": ("nft", "-f", "-"),
}


Call = str | Sequence[Request]
"""What a back end wrote: the input of a command, or netlink messages."""


class Written:
    """Passes what a back end writes on to the kernel and keeps it."""

    def __init__(self, mode: str, namespace: str) -> None:
        prefix = ["nsenter", f"--net={namespace}"]
        self.calls: list[Call] = []
        self.backend: Backend
        if mode == "nftables":
            nft = self._nft = NftKernel(4, prefix=prefix, open=lambda: _inside(namespace))
            self.present = nft.present
            self.backend = NftablesRules(self, Settings(), SystemClock())
        else:
            self._iptables = Iptables(4, backend=COMMANDS[mode][0].split("-")[1], namespace=namespace)
            self.save = self._iptables.save
            self.backend = IptablesRules(self, Settings())

    async def apply(self, pieces: Iterable[str]) -> None:
        await self._nft.apply(self._kept(pieces))

    async def restore(self, pieces: Iterable[str]) -> None:
        await self._iptables.restore(self._kept(pieces))

    def _kept(self, pieces: Iterable[str]) -> Iterator[str]:
        kept = []
        for piece in pieces:
            kept.append(piece)
            yield piece
        self.calls.append("".join(kept))

    def transact(self, requests: Sequence[Request]) -> None:
        self.calls.append(requests)
        self._nft.transact(requests)


def measure() -> list[Figure]:
    return [figure for size in SIZES for mode in COMMANDS for figure in uvloop.run(_measure(mode, size))]


async def _measure(mode: str, size: int) -> list[Figure]:
    fulls = [await _full(mode, size) for _ in range(AGAIN // size if size < LARGE else 0)]
    with _namespace("ours") as ours, _namespace("bare") as bare:
        written, slice_lister = Written(mode, ours), Lister()
        proxier = _proxier(written.backend, size, slice_lister)
        fulls.append((await _timed(proxier), sum(_bare(mode, bare, call) for call in written.calls)))
        changes, floors = [], []
        for number in range(CHANGES):
            written.calls.clear()
            endpoint_slice = _slice(number * (size // CHANGES), 2)
            slice_lister.put(endpoint_slice)
            proxier.slice_changed(endpoint_slice)
            changes.append(await _timed(proxier))
            floors.append(sum(_bare(mode, bare, call) for call in written.calls if call))
    name, command = f"{mode}, {size:,} services", COMMANDS[mode][0]
    change = f"bare {command}" if mode != "nftables" else "the kernel alone"
    extra = p50([ours - bare for ours, bare in zip(changes, floors, strict=True)]) * 1000
    full, floor = (p50(list(times)) for times in zip(*fulls, strict=True))
    return [
        Figure(f"{name}, all", full, "s", f"bare {command}", floor, FULL_AIM),
        Figure(
            f"{name}, one endpoint", p50(changes) * 1000, "ms", change, p50(floors) * 1000,
            p50(floors) * 1000 + CHANGE_AIM, absolute=True, note=f"{extra:.1f} ms on top of it",
        ),
    ]  # fmt: skip


async def _full(mode: str, size: int) -> tuple[float, float]:
    """Seconds of ours and of the bare command, each in a namespace where nothing was written before."""
    with _namespace("ours") as ours, _namespace("bare") as bare:
        written = Written(mode, ours)
        seconds = await _timed(_proxier(written.backend, size, Lister()))
        return seconds, sum(_bare(mode, bare, call) for call in written.calls)


def _proxier(backend: Backend, size: int, slice_lister: Lister) -> Proxier:
    """slice_lister: to be filled."""
    service_lister = Lister()
    slice_lister.add_index(SLICES_OF_SERVICE, lambda one: filter(None, (services.slice_service(one),)))
    gc.collect()
    with collector.loading():  # as the daemon does
        for number in range(size):
            service_lister.put(_service(number))
            slice_lister.put(_slice(number, 3))
    view = NodeView(cluster_cidr="10.244.0.0/16", pod_cidr="10.244.1.0/24", node_ip="192.0.2.1")
    return Proxier("node-1", service_lister, slice_lister, backend, 4, view, SystemClock(), lambda _: 0)


async def _timed(proxier: Proxier) -> float:
    """Seconds until the kernel has the rules; connections that are stale by them are looked for afterwards."""
    began = time.monotonic()
    await proxier.sync()
    assert proxier.last_sync is not None
    return proxier.last_sync - began


def _bare(mode: str, namespace: str, call: Call) -> float:
    """Seconds that the same takes with nothing of ours around it."""
    if isinstance(call, str):
        argv = ["nsenter", f"--net={namespace}", *COMMANDS[mode]]
        began = time.perf_counter()
        subprocess.run(argv, input=call.encode(), check=True)
        return time.perf_counter() - began
    with _inside(namespace) as netlink:
        began = time.perf_counter()
        netlink.transact(NFNL_SUBSYS_NFTABLES, call)
        return time.perf_counter() - began


def _service(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"service-{number}", "namespace": "default"},
        "spec": {"clusterIP": f"10.96.{number // 250}.{number % 250 + 1}", "ports": [{"name": "http", "port": 80}]},
    }


def _slice(number: int, endpoints: int) -> dict[str, Any]:
    labels = {SERVICE_NAME: f"service-{number}"}
    return {
        "metadata": {"name": f"service-{number}-x", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"10.244.{number // 80}.{number % 80 * 3 + one + 2}"], "conditions": {"ready": True}}
            for one in range(endpoints)
        ],
    }


def _inside(namespace: str) -> Netlink:
    descriptor = namespaces.open_namespace(namespace)
    try:
        return namespaces.inside(descriptor, lambda: Netlink(NETLINK_NETFILTER))
    finally:
        os.close(descriptor)


@contextmanager
def _namespace(what: str) -> Iterator[str]:
    name = f"knet-bench-{os.getpid()}-{what}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield f"/run/netns/{name}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
