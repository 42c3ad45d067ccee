"""The order in which addresses are tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.cni.addresses import format_ip, parse_ip, parse_network
from nodeagent.cni.ipam import candidates
from nodeagent.cni.ranges import Range

FIRST = Range(parse_network("10.0.0.0/24"), parse_ip("10.0.0.1"), parse_ip("10.0.0.4"), parse_ip("10.0.0.1"))
SECOND = Range(parse_network("10.0.1.0/24"), parse_ip("10.0.1.7"), parse_ip("10.0.1.8"), parse_ip("10.0.1.1"))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.7", "10.0.1.8"]),
        ("10.0.0.3", ["10.0.0.4", "10.0.1.7", "10.0.1.8", "10.0.0.2", "10.0.0.3"]),
        ("10.0.0.4", ["10.0.1.7", "10.0.1.8", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
        ("10.0.1.8", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.7", "10.0.1.8"]),
        ("192.0.2.1", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.7", "10.0.1.8"]),
    ],
)
def test_behind_the_last_one_first(last: str | None, expected: list[str]) -> None:
    found = candidates([FIRST, SECOND], parse_ip(last) if last else None)
    assert [format_ip(ip) for ip, _ in found] == expected


@given(st.integers(0, 300), st.integers(0, 20))
def test_every_address_once_whatever_was_last(offset: int, size: int) -> None:
    start = int.from_bytes(parse_ip("10.0.0.10"), "big")
    entry = Range(
        parse_network("10.0.0.0/16"), start.to_bytes(4, "big"), (start + size).to_bytes(4, "big"), parse_ip("10.0.0.12")
    )
    found = [ip for ip, _ in candidates([entry], (start - 5 + offset).to_bytes(4, "big"))]
    assert sorted(found) == [
        (start + n).to_bytes(4, "big") for n in range(size + 1) if (start + n).to_bytes(4, "big") != entry.gateway
    ]
