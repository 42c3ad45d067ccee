"""HPACK against the examples of RFC 7541, appendix C, and against malformed blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.kit.hpack import Decoder, HpackError, indexed, literal

FIRST = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "www.example.com"}
SECOND = {**FIRST, "cache-control": "no-cache"}
THIRD = {
    ":method": "GET", ":scheme": "https", ":path": "/index.html", ":authority": "www.example.com",
    "custom-key": "custom-value",
}  # fmt: skip
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
PACKED = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)


@pytest.mark.parametrize("blocks", [PLAIN, PACKED], ids=["plain", "packed"])
def test_three_requests_of_one_connection(blocks: tuple[str, ...]) -> None:
    decoder = Decoder()
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == [FIRST, SECOND, THIRD]


def test_answers_with_a_table_of_256_bytes() -> None:
    """Appendix C.6."""
    decoder = Decoder()
    decoder.decode(b"\x3f\xe1\x01")
    first = (
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    )
    assert decoder.decode(bytes.fromhex(first))[":status"] == "302"
    assert decoder.decode(bytes.fromhex("4883640effc1c0bf")) == {
        ":status": "307",
        "cache-control": "private",
        "date": "Mon, 21 Oct 2013 20:13:21 GMT",
        "location": "https://www.example.com",
    }


def test_a_block_means_what_the_table_makes_of_it() -> None:
    decoder = Decoder()
    decoder.decode(bytes.fromhex(PLAIN[0]))
    assert decoder.decode(b"\xbe") == decoder.decode(b"\xbe") == {":authority": "www.example.com"}
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(b"\xbe") == {"a": "b"}


def test_a_table_of_no_size_holds_nothing() -> None:
    decoder = Decoder()
    decoder.decode(b"\x20\x40\x01a\x01b")
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")


def test_what_the_table_has_no_room_for_drives_the_rest_out() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")
    assert decoder.decode(b"\x40\x01x\x7f\xa1\x1f" + b"y" * 4128) == {"x": "y" * 4128}
    with pytest.raises(HpackError):
        decoder.decode(b"\xbe")


def test_our_own_headers() -> None:
    block = (
        indexed(":method", "POST") + literal(":path", "/a/B") + literal("te", "trailers") + literal("user-agent", "k")
    )
    assert Decoder().decode(block) == {":method": "POST", ":path": "/a/B", "te": "trailers", "user-agent": "k"}
    with pytest.raises(ValueError, match="too long"):
        literal("te", "x" * 127)


@given(st.binary(max_size=40))
def test_any_block_is_headers_or_malformed(block: bytes) -> None:
    try:
        headers = Decoder().decode(block)
    except HpackError:
        return
    assert all(isinstance(value, str) for value in headers.values())
