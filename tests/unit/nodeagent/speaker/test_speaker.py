"""ARP frames, and which addresses a node answers for."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.kit.config import ConfigError
from apimachinery.meta.cloud import ANNOUNCED_BY
from nodeagent.proxy.config import parse
from nodeagent.speaker.arp import BROADCAST, parse_question, render_announcements, render_answer
from nodeagent.speaker.language import Question
from nodeagent.speaker.plan import plan_announced

MAC, HIS = bytes.fromhex("525400000001"), bytes.fromhex("525400000002")
IP, HIS_IP = bytes([10, 0, 0, 200]), bytes([10, 0, 0, 1])
# "Who has 10.0.0.200? Tell 10.0.0.1", as on the wire.
ASKED = bytes.fromhex("ffffffffffff525400000002080600010800060400015254000000020a0000010000000000000a0000c8")
ANSWERED = bytes.fromhex("525400000002525400000001080600010800060400025254000000010a0000c85254000000020a000001")
POOL = (ipaddress.IPv4Address("10.0.0.200"), ipaddress.IPv4Address("10.0.0.209"))

POOL_V6 = (ipaddress.IPv6Address("fd00::1"), ipaddress.IPv6Address("fd00::2"))


def test_a_question_and_its_answer() -> None:
    question = parse_question(ASKED + bytes(18))  # Ethernet pads to sixty bytes
    assert question == Question(HIS, HIS_IP, IP)
    assert render_answer(question, MAC) == ANSWERED
    assert parse_question(ANSWERED) is None


def test_announcements() -> None:
    request, reply = render_announcements(IP, MAC)
    assert request[:6] == reply[:6] == BROADCAST
    assert parse_question(request) == Question(MAC, IP, IP)
    assert request[20:22] == b"\0\1" and reply[20:22] == b"\0\2"


@given(st.binary(max_size=80))
def test_any_frame_may_come(frame: bytes) -> None:
    parse_question(frame)


def _service(ip: str, node: str = "me", kind: str = "LoadBalancer") -> dict[str, Any]:
    return {
        "metadata": {"annotations": {ANNOUNCED_BY: node}},
        "spec": {"type": kind},
        "status": {"loadBalancer": {"ingress": [{"ip": ip}]}},
    }


def test_only_what_the_node_was_given_and_the_range_holds() -> None:
    services = [
        _service("10.0.0.200"), _service("10.0.0.201", node="other"), _service("10.0.0.202", kind="ClusterIP"),
        _service("10.0.0.1"), _service("10.0.0.210"), _service("fd00::1"), _service("what"), {"metadata": {}},
        {"metadata": {"annotations": {ANNOUNCED_BY: "me"}}, "spec": {"type": "LoadBalancer"}, "status": {}},
    ]  # fmt: skip
    assert plan_announced(services, "me", POOL) == {ipaddress.IPv4Address("10.0.0.200")}
    assert plan_announced(services, "me", POOL_V6) == {ipaddress.IPv6Address("fd00::1")}


def test_the_flag() -> None:
    flags = ["--kubeconfig=/x", "--hostname-override=n"]
    assert parse(flags).announce == ()
    assert parse([*flags, "--announce-addresses=10.0.0.200-10.0.0.209"]).announce == (POOL,)
    assert parse([*flags, "--announce-addresses=10.0.0.200-10.0.0.209,fd00::1-fd00::2"]).announce == (POOL, POOL_V6)
    for wrong in ("10.0.0.200", "10.0.0.209-10.0.0.200", "a-b", "10.0.0.1-fd00::2", "fd00::1-fd00::2,fd00::5-fd00::6"):
        with pytest.raises(ConfigError, match="--announce-addresses"):
            parse([*flags, f"--announce-addresses={wrong}"])
