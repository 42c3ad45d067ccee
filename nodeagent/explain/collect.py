"""`python -m nodeagent.explain.collect [--family 4] [IP…]`, run on a node: prints what its kernel holds, as JSON.

Of the pods there, everything about those that hold one of the addresses, and the addresses of all. Nothing is changed.
It blocks, and works in threads' namespaces: a process of its own, which ends when it has printed.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Any

from nodeagent.netlink import links, namespaces
from nodeagent.netlink.wire import Netlink

Json = dict[str, Any]

VERSION = 1
NETNS = Path("/run/netns")
PROXY_METRICS = "http://127.0.0.1:10249"
_TIMEOUT = 60.0  # seconds for one command: large rule sets on an emulated processor
_SYSCTLS = (
    "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables", "net.ipv4.ip_forward",
)  # fmt: skip
_PER_LINK = ("forwarding", "rp_filter", "accept_local", "route_localnet", "src_valid_mark")
_LISTENING = "0A"


class Collector:
    """family: 4 or 6. ips: the addresses whose pods are looked into."""

    def __init__(self, family: int, ips: Sequence[str]) -> None:
        self._family = family
        self._ips = {str(ipaddress.ip_address(ip)) for ip in ips}

    def node(self) -> Json:
        """Everything, of the namespace in which the process is and of its pods."""
        attached, asked, others = [], [], set[int]()
        for number, name in self._pod_namespaces():
            try:
                held = self._inside(name, _addresses)
            except OSError:
                continue  # ended meanwhile
            attached.append({"id": number, "netns": name, **held})
            if self._ips & set(held["addresses"]):
                asked.append((number, name))
            else:
                others.add(number)
        host, pods = self.host(others), []
        for number, name in asked:
            try:
                pods.append({**self._inside(name, self.host), "netns": name, "id": number})
            except OSError:
                continue
        found = {"version": VERSION, "host": host, "attached": attached, "pods": pods, "proxy": _proxy()}
        other = 10 - self._family
        if any(_carried_by(link) == other for link in host["links"]):
            found["carrier"] = Collector(other, ()).host({number for number, _ in asked} | others)
        return found

    def host(self, others: Set[int] = frozenset()) -> Json:
        """One network namespace: that of the calling thread. others: those of pods that are not looked into."""
        problems: list[str] = []

        def text(*argv: str) -> str:
            try:
                done = subprocess.run(argv, capture_output=True, timeout=_TIMEOUT, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                problems.append(f"{argv[0]}: {error}")
                return ""
            if done.returncode:
                problems.append(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()[:500]}")
            return done.stdout.decode(errors="replace")

        def read(*argv: str) -> Any:
            try:
                return json.loads(text(*argv) or "[]")
            except ValueError as error:  # some kinds of filters, by some versions of tc
                problems.append(f"{' '.join(argv)}: {error}")
                return []

        flag = f"-{self._family}"
        shown = read("ip", "-j", "-d", "link", "show")
        bridged = [link for link in shown if _kind(link) in ("bridge", "vxlan")]
        queues = read("tc", "-s", "-j", "qdisc", "show")
        return {
            "links": shown,
            "addresses": read("ip", "-j", flag, "address", "show"),
            "routes": read("ip", "-j", flag, "route", "show", "table", "all"),
            "rules": read("ip", "-j", flag, "rule", "show"),
            "neighbours": read("ip", "-j", flag, "neigh", "show"),
            "fdb": read("bridge", "-j", "fdb", "show") if bridged else [],
            "vlans": read("bridge", "-j", "vlan", "show") if any(map(_filters_vlans, bridged)) else [],
            "queues": queues,
            "filters": [
                (device, direction, read("tc", "-s", "-j", "filter", "show", "dev", device, direction))
                for device, direction in _filtered(shown, queues, others)
            ],
            "sysctls": self._sysctls([str(link["ifname"]) for link in shown]),
            "listeners": [*_listeners("tcp"), *_listeners("tcp6"), *_listeners("udp"), *_listeners("udp6")],
            "iptables": self._iptables(text),
            "nft": json.loads(text("nft", "-j", "list", "ruleset") or "{}"),
            "nft_text": text("nft", "-a", "list", "ruleset"),
            "conntrack": _conntrack(text),
            "recent": _recent(),
            "problems": problems,
        }

    def _iptables(self, text: Callable[..., str]) -> str:
        """Of both back ends. That of iptables-legacy is asked only where it has tables: asking would make them."""
        name, listing = ("iptables", "ip_tables_names") if self._family == 4 else ("ip6tables", "ip6_tables_names")
        found = text(f"{name}-nft-save", "-c")
        if _read(f"/proc/thread-self/net/{listing}").strip():
            found += text(f"{name}-legacy-save", "-c")
        return found

    def _sysctls(self, names: Sequence[str]) -> dict[str, str]:
        family = "ipv4" if self._family == 4 else "ipv6"
        wanted = [*_SYSCTLS]
        for link in ("all", *names):
            wanted += [f"net/{family}/conf/{link}/{key}" for key in _PER_LINK]
        found = {}
        for name in wanted:
            # A link's name may hold dots: such a path is written with slashes.
            path = name if "/" in name else name.replace(".", "/")
            if value := _read(f"/proc/sys/{path}").strip():
                found[name] = value
        return found

    def _pod_namespaces(self) -> list[tuple[int, str]]:
        """Of every veth of ours, the namespace of its other end: its number here, and its name."""
        done = subprocess.run(["ip", "-j", "netns", "list-id"], capture_output=True, timeout=_TIMEOUT, check=False)
        known = json.loads(done.stdout or b"[]")
        return [(int(one["nsid"]), str(one["name"])) for one in known if one.get("name")]

    @staticmethod
    def _inside(name: str, work: Callable[[], Any]) -> Any:
        descriptor = namespaces.open_namespace(str(NETNS / name))
        try:
            return namespaces.inside(descriptor, work)
        finally:
            os.close(descriptor)


def _addresses() -> dict[str, list[str]]:
    """Those of the calling thread's namespace, and the hardware addresses."""
    with Netlink() as netlink:
        own = [link for link in links.list_links(netlink) if not link.flags & links.IFF_LOOPBACK]
        ips = [address.ip for link in own for address in links.list_addresses(netlink, link.index)]
        return {"addresses": [str(ipaddress.ip_address(ip)) for ip in ips], "macs": [link.mac for link in own]}


def _filtered(shown: Sequence[Json], queues: Sequence[Json], others: Set[int]) -> list[tuple[str, str]]:
    """Interfaces and directions with filters. Not the ports of others: on a full node they are a hundred commands."""
    unasked = {str(link["ifname"]) for link in shown if link.get("link_netnsid") in others}
    found = []
    for queue in queues:
        if (kind := queue.get("kind")) in ("ingress", "clsact") and queue["dev"] not in unasked:
            found.append((str(queue["dev"]), "ingress"))
            if kind == "clsact":
                found.append((str(queue["dev"]), "egress"))
    return found


def _kind(link: Json) -> str:
    return str((link.get("linkinfo") or {}).get("info_kind", ""))


def _carried_by(link: Json) -> int:
    """The family of a VXLAN interface's own address; 0 for another interface."""
    data = (link.get("linkinfo") or {}).get("info_data") or {}
    return (4 if data.get("local") else 6) if _kind(link) == "vxlan" else 0


def _filters_vlans(link: Json) -> bool:
    return bool(((link.get("linkinfo") or {}).get("info_data") or {}).get("vlan_filtering"))


def _listeners(name: str) -> list[tuple[str, str, int]]:
    """Sockets that take connections, or datagrams from anybody: (protocol, address, port)."""
    found = []
    for line in _read(f"/proc/thread-self/net/{name}").splitlines()[1:]:
        words = line.split()
        address, _, port = words[1].partition(":")
        if name.startswith("tcp") and words[3] != _LISTENING:
            continue
        if name.startswith("udp") and not words[2].startswith("0" * len(address)):
            continue
        found.append((name[:3], _hex_address(address), int(port, 16)))
    return found


def _hex_address(text: str) -> str:
    """As /proc/net/tcp has it: 32-bit words in the machine's own order."""
    data = bytes.fromhex(text)
    words = [int.from_bytes(data[at : at + 4], "big").to_bytes(4, sys.byteorder) for at in range(0, len(data), 4)]
    parsed = ipaddress.ip_address(b"".join(words))
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _conntrack(text: Callable[..., str]) -> str:
    if Path("/proc/thread-self/net/nf_conntrack").exists():
        return _read("/proc/thread-self/net/nf_conntrack")
    return text("conntrack", "-L", "-o", "extended")


def _recent() -> dict[str, list[str]]:
    """Who is remembered by the match `recent`: session affinity, by the name of its list."""
    directory = Path("/proc/thread-self/net/xt_recent")
    if not directory.is_dir():
        return {}
    return {
        path.name: [line.split()[0].removeprefix("src=") for line in _read(path).splitlines() if line]
        for path in directory.iterdir()
    }


def _proxy() -> Json | None:
    """kube-proxy's configuration, as it says itself; None where it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{PROXY_METRICS}/configz", timeout=5) as answer:
            found: Json = json.loads(answer.read())
    except (OSError, ValueError):
        return None
    return found


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nodeagent.explain.collect")
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("ips", nargs="*")
    args = parser.parse_args(argv)
    json.dump(Collector(args.family, args.ips).node(), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
