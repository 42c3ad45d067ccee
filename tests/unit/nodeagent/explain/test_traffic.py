"""Queues, filters and classic BPF, in what kernels of the suites do not have."""

import dataclasses
from typing import Any

import pytest

from nodeagent.cni import spoofing
from nodeagent.explain.frames import Unjudged, build_frame, run_program
from nodeagent.explain.packet import Packet
from nodeagent.explain.snapshot import Host
from nodeagent.explain.traffic import EGRESS, INGRESS, judge_filters, judge_queue
from nodeagent.netlink.links import mac_bytes
from nodeagent.netlink.traffic import INSTRUCTION, TC_ACT_SHOT, TC_ACT_UNSPEC

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
FOUR = Packet("10.244.1.2", "10.96.0.10", "tcp", 53)
SIX = Packet("fd00::2", "fd00::10", "udp", 53)
SHOT, NEXT = TC_ACT_SHOT, TC_ACT_UNSPEC


def instructions(program: bytes) -> list[dict[str, int]]:
    """As `tc -j` prints them."""
    return [
        dict(zip(("code", "jt", "jf", "k"), INSTRUCTION.unpack_from(program, at), strict=True))
        for at in range(0, len(program), INSTRUCTION.size)
    ]


@pytest.mark.parametrize("packet", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_the_check_of_addresses_is_run_as_the_kernel_runs_it(packet: Packet) -> None:
    program = instructions(
        spoofing.render_program(mac_bytes(MAC), [b"\x0a\xf4\x01\x02", b"\xfd" + bytes(14) + b"\x02"])
    )
    assert run_program(program, build_frame(packet, MAC, "")) == NEXT
    assert run_program(program, build_frame(packet, OTHER, "")) == SHOT
    stranger = dataclasses.replace(packet, src="fd00::3" if ":" in packet.src else "10.244.1.3")
    assert run_program(program, build_frame(stranger, MAC, "")) == SHOT


@pytest.mark.parametrize(
    ("program", "returns"),
    [
        # As tcpdump -ddd writes 'tcp port 53': X is the length of the header that is in front of it.
        ([(40, 0, 0, 12), (21, 0, 6, 0x800), (48, 0, 0, 23), (21, 0, 4, 6), (177, 0, 0, 14), (72, 0, 0, 16),
          (21, 0, 1, 53), (6, 0, 0, 262144), (6, 0, 0, 0)], 262144),
        ([(32, 0, 0, 26), (84, 0, 0, 0xFFFFFF00), (21, 0, 1, 0x0AF40100), (6, 0, 0, 1), (6, 0, 0, 0)], 1),
        ([(0, 0, 0, 7), (2, 0, 0, 3), (0, 0, 0, 1), (97, 0, 0, 3), (12, 0, 0, 0), (22, 0, 0, 0)], 8),
        ([(48, 0, 0, 22), (116, 0, 0, 4), (69, 0, 1, 1), (6, 0, 0, 1), (6, 0, 0, 2)], None),  # the lifetime: not known
        ([(128, 0, 0, 0), (6, 0, 0, 1)], None),  # the size
        ([(5, 0, 0, 9)], None),
    ],
    ids=["through X", "masked", "memory and sum", "a byte that nobody knows", "size", "without end"],
)  # fmt: skip
def test_programs(program: list[tuple[int, int, int, int]], returns: int | None) -> None:
    steps = [dict(zip(("code", "jt", "jf", "k"), one, strict=True)) for one in program]
    if returns is None:
        with pytest.raises(Unjudged):
            run_program(steps, build_frame(FOUR, MAC, ""))
    else:
        assert run_program(steps, build_frame(FOUR, MAC, "")) == returns


@pytest.mark.parametrize(
    ("kind", "options", "says", "stops"),
    [
        ("tbf", {"rate": 2_000_000, "burst": 65536, "lat": 50_000}, "", False),
        ("tbf", {"rate": 2_000_000, "burst": 73, "lat": 0}, "never lets a frame of 74 bytes out", True),
        ("tbf", {"rate": 2_000_000, "burst": 65536, "limit": 60}, "never lets a frame of 74 bytes out", True),
        ("tbf", {"rate": 2_000_000, "burst": 1000, "lat": 50_000}, "never lets a full frame of 1514 bytes out", False),
        ("tbf", {"rate": 125, "burst": 65536, "lat": 0}, "a full packet takes 12 seconds", False),
        ("netem", {"delay": {"delay": 0.1}, "loss-random": {"loss": 1}}, "delays by 100 ms and loses 100%", True),
        ("netem", {"delay": {"delay": 0.1}}, "", False),
        ("htb", {}, "", False),
    ],
)
def test_queues(kind: str, options: dict[str, Any], says: str, stops: bool) -> None:
    host = Host("node n1", queues=[{"kind": kind, "dev": "up0", "root": True, "options": options, "drops": 3}])
    judged = judge_queue(host, "up0", FOUR, 1500)
    assert judged is not None and judged.stops is stops and "3 dropped" in judged.counters
    assert says in judged.wrong and bool(judged.wrong) is bool(says) and judged.doubtful is (kind == "htb")
    assert judge_queue(host, "up1", FOUR, 1500) is None


DROP = [{"kind": "gact", "control_action": {"type": "drop"}, "stats": {"packets": 4, "bytes": 90}}]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("matchall", {"actions": DROP}, ["drops it"]),
        ("flower", {"keys": {"eth_type": "ipv4", "ip_proto": "tcp", "dst_port": 53}, "actions": DROP}, ["drops it"]),
        ("flower", {"keys": {"dst_ip": "10.96.0.0/16"}, "actions": DROP}, ["drops it"]),
        ("flower", {"keys": {"dst_ip": "10.97.0.0/16"}, "actions": DROP}, []),
        ("flower", {"keys": {"ip_ttl": 3}, "actions": DROP}, ["cannot be judged from here"]),
        ("u32", {"actions": DROP}, ["cannot be judged from here"]),
        ("matchall", {"actions": [{"kind": "mirred", "mirred_action": "redirect", "to_dev": "ifb0"}]},
         ["leads it through ifb0"]),
    ],
)  # fmt: skip
def test_filters(kind: str, options: dict[str, Any], words: list[str]) -> None:
    body = {"protocol": "all", "pref": 9, "kind": kind}
    host = Host("node n1", filters={("up0", EGRESS): [body, {**body, "options": options}]})
    found = judge_filters(host, "up0", EGRESS, FOUR, build_frame(FOUR, MAC, ""))
    assert [one.text.partition(": ")[2] for one in found] == words
    assert all(one.counters == "4:90" for one in found if "drops" in one.text)
    assert judge_filters(host, "up0", INGRESS, FOUR, build_frame(FOUR, MAC, "")) == []
