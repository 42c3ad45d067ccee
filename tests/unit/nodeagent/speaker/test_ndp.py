"""Neighbour Discovery: solicitations as the kernel sends them, and what is answered."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.speaker.language import Question
from nodeagent.speaker.ndp import checksum, parse_question, render_announcements, render_answer, solicited_node

MAC, HIS = bytes.fromhex("525400000001"), bytes.fromhex("525400000002")
IP, HIS_IP = ipaddress.IPv6Address("fd00:60::200").packed, ipaddress.IPv6Address("fd00:60::1").packed
# "Who has fd00:60::200? Tell fd00:60::1", as on the wire.
ASKED = bytes.fromhex(
    "3333ff000200 525400000002 86dd"
    "6000000000203aff fd000060000000000000000000000001 ff0200000000000000000001ff000200"
    "8700 2886 00000000 fd000060000000000000000000000200 0101525400000002"
)


def _with(offset: int, *values: int) -> bytes:
    return ASKED[:offset] + bytes(values) + ASKED[offset + len(values) :]


def test_a_question_and_its_answer() -> None:
    assert parse_question(ASKED) == Question(HIS, HIS_IP, IP)
    answer = render_answer(Question(HIS, HIS_IP, IP), MAC)
    assert (answer[:6], answer[6:12]) == (HIS, MAC)
    assert (answer[22:38], answer[38:54]) == (IP, HIS_IP)
    assert answer[54:56] == bytes([136, 0]) and answer[58:62] == bytes([0x60, 0, 0, 0])  # solicited, override
    assert answer[62:78] == IP and answer[78:] == bytes([2, 1]) + MAC
    assert checksum(IP, HIS_IP, answer[54:]) == 0
    assert parse_question(answer) is None


def test_who_has_no_address_yet_is_answered_with_all() -> None:
    answer = render_answer(Question(HIS, bytes(16), IP), MAC)
    assert answer[:6] == bytes.fromhex("333300000001")
    assert answer[38:54] == ipaddress.IPv6Address("ff02::1").packed
    assert answer[58] == 0x20  # not solicited


def test_announcements() -> None:
    [told] = render_announcements(IP, MAC)
    assert told[:6] == bytes.fromhex("333300000001")
    assert (told[21], told[54], told[58]) == (255, 136, 0x20)
    assert told[62:78] == IP and told[78:] == bytes([2, 1]) + MAC
    assert checksum(IP, ipaddress.IPv6Address("ff02::1").packed, told[54:]) == 0


def test_the_group_of_an_address() -> None:
    assert solicited_node(IP) == "ff02::1:ff00:200"


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(_with(21, 254), id="a router passed it on"),
        pytest.param(_with(56, 0, 0), id="another checksum"),
        pytest.param(_with(54, 136), id="an advertisement"),
        pytest.param(_with(20, 17), id="UDP"),
        pytest.param(_with(12, 8, 0), id="IPv4"),
        pytest.param(_with(18, 255, 255), id="longer than it is"),
        pytest.param(ASKED[:70], id="cut off"),
    ],
)
def test_what_is_no_question(frame: bytes) -> None:
    assert parse_question(frame) is None


@given(st.binary(max_size=120))
def test_any_frame_may_come(tail: bytes) -> None:
    parse_question(tail)
    parse_question(ASKED[:54] + tail)
