"""Policy rules and routes, as the kernel would look them up."""

import pytest

from nodeagent.explain.packet import Packet
from nodeagent.explain.routing import address_type, look_up, source_address
from nodeagent.explain.snapshot import Address, Host, parse_flows

HOST = Host(
    "node n",
    addresses=[Address("up0", "192.0.2.1", 24), Address("cni0", "10.244.0.1", 24)],
    rules=[
        {"priority": 0, "src": "all", "table": "local"},
        {"priority": 10, "src": "10.244.9.0", "srclen": 24, "table": "50"},
        {"priority": 11, "src": "all", "fwmark": "0x1", "fwmask": "0xf", "action": "unreachable"},
        {"priority": 12, "src": "all", "iif": "vpn0", "table": "50"},
        {"priority": 32766, "src": "all", "table": "main"},
    ],
    routes=[
        {"dst": "default", "gateway": "192.0.2.9", "dev": "up0"},
        {"dst": "10.244.0.0/24", "dev": "cni0", "prefsrc": "10.244.0.1"},
        {"dst": "10.244.1.0/24", "gateway": "192.0.2.2", "dev": "up0", "metric": 20},
        {"dst": "10.244.1.0/24", "gateway": "192.0.2.3", "dev": "up0", "metric": 10},
        {"dst": "10.244.2.0/24", "dev": "gone0", "flags": ["dead"]},
        {"type": "blackhole", "dst": "10.250.0.0/16"},
        {"dst": "default", "gateway": "10.0.0.1", "dev": "vpn0", "table": "50"},
        {"type": "local", "dst": "192.0.2.1", "dev": "up0", "table": "local"},
        {"type": "broadcast", "dst": "192.0.2.255", "dev": "up0", "table": "local"},
        {"type": "local", "dst": "127.0.0.0/8", "dev": "lo", "table": "local"},
    ],
)


@pytest.mark.parametrize(
    ("dst", "said", "kind", "via"),
    [
        ("10.244.0.7", {}, "unicast", "cni0"),
        ("10.244.1.7", {}, "unicast", "192.0.2.3"),
        ("10.244.2.7", {}, "unicast", "192.0.2.9"),
        ("8.8.8.8", {}, "unicast", "192.0.2.9"),
        ("192.0.2.1", {}, "local", "up0"),
        ("127.0.0.5", {}, "local", "lo"),
        ("10.250.1.1", {}, "blackhole", ""),
        ("8.8.8.8", {"src": "10.244.9.4"}, "unicast", "10.0.0.1"),
        ("8.8.8.8", {"iif": "vpn0"}, "unicast", "10.0.0.1"),
        ("8.8.8.8", {"mark": 0x31}, "unreachable", ""),
    ],
)
def test_look_up(dst: str, said: dict[str, object], kind: str, via: str) -> None:
    packet = Packet(**{"src": "10.0.0.9", "dst": dst, "protocol": "tcp", "dport": 80, **said})
    route = look_up(HOST, packet)
    assert route is not None
    assert (route.kind, route.gateway or route.device) == (kind, via)


@pytest.mark.parametrize(
    ("rule", "port", "text"),
    [
        ({"dport": 80, "table": "50"}, 80, "default via 10.0.0.1 dev vpn0 (table 50 by ip rule 9)"),
        ({"dport": 81, "table": "50"}, 80, "default via 192.0.2.9 dev up0"),
        ({"dport_start": 80, "dport_end": 90, "ipproto": "tcp", "action": "prohibit"}, 90,
         "prohibit from all (by ip rule 9)"),
        ({"dport_start": 80, "dport_end": 90, "ipproto": "udp", "table": "50"}, 90, "default via 192.0.2.9 dev up0"),
        ({"table": "main", "suppress_prefixlen": 0}, 80, "default via 192.0.2.9 dev up0"),
        ({"table": "50", "suppress_prefixlen": 0}, 80, "default via 192.0.2.9 dev up0"),
        ({"not": None, "dport": 80, "table": "50"}, 80, "default via 192.0.2.9 dev up0"),
    ],
)  # fmt: skip
def test_policy_rules(rule: dict[str, object], port: int, text: str) -> None:
    rules = [HOST.rules[0], {"priority": 9, "src": "all", **rule}, HOST.rules[-1]]
    route = look_up(Host("node n", rules=rules, routes=HOST.routes), Packet("10.0.0.9", "8.8.8.8", "tcp", port))
    assert route is not None and route.text == text


def test_no_route() -> None:
    assert look_up(Host("node n", rules=HOST.rules), Packet("", "8.8.8.8", "tcp", 80)) is None


def test_types_and_sources_of_addresses() -> None:
    assert [address_type(HOST, ip) for ip in ("192.0.2.1", "192.0.2.255", "224.0.0.1", "8.8.8.8", "")] == [
        "local", "broadcast", "multicast", "unicast", "unspec",
    ]  # fmt: skip
    assert source_address(HOST, "cni0", "10.244.0.8") == "10.244.0.1"
    assert source_address(HOST, "up0", "8.8.8.8") == "192.0.2.1"
    assert source_address(HOST, "gone0", "8.8.8.8") == ""


def test_tracked_connections() -> None:
    (flow,) = parse_flows(
        "ipv4     2 udp      17 25 src=10.244.0.2 dst=10.96.0.10 sport=4000 dport=53 [UNREPLIED] src=10.244.1.5"
        " dst=10.244.0.2 sport=5353 dport=4000 mark=0 zone=0 use=2\nipv4 2 icmp 1 29 src=1.1.1.1 dst=2.2.2.2 type=8\n"
    )
    assert (flow.protocol, flow.sport, flow.dport, flow.reply_src, flow.reply_sport) == (
        "udp",
        4000,
        53,
        "10.244.1.5",
        5353,
    )
    assert flow.unreplied
