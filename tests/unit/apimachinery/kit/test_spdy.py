"""SPDY/3.1 frames against the draft's layout, byte for byte, and whatever a peer may send."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.kit import spdy


def test_the_dictionary_is_the_one_of_the_draft() -> None:
    # Every SPDY/3 header block begins with 78 bb e3 c6 a7 c2: zlib's header and the dictionary's checksum.
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2
    block = spdy.Codec().syn_stream(1, {"streamtype": "error"})[18:]
    assert block.startswith(bytes.fromhex("78bbe3c6a7c2"))


def test_frames_have_the_layout_of_the_draft() -> None:
    assert spdy.data(5, b"ab", fin=True) == bytes.fromhex("00000005 01000002") + b"ab"
    assert spdy.rst_stream(3) == bytes.fromhex("80030003 00000008 00000003 00000005")
    assert spdy.ping(b"\0\0\0\1") == bytes.fromhex("80030006 00000004 00000001")
    head = spdy.Codec().syn_stream(7, {})[:18]
    assert head[:4] == bytes.fromhex("80030001") and head[8:18] == bytes.fromhex("00000007 00000000 0000")


@given(
    st.lists(st.dictionaries(st.text("abcdefghij-", min_size=1), st.text("xyz ÿ"), max_size=5), max_size=5),
    st.binary(max_size=3000),
    st.integers(1, 700),
)
def test_what_one_end_sends_the_other_reads_in_any_pieces(
    blocks: list[dict[str, str]], payload: bytes, piece: int
) -> None:
    ours, theirs = spdy.Codec(), spdy.Codec()
    sent = b"".join(ours.syn_stream(2 * n + 1, block) for n, block in enumerate(blocks))
    sent += ours.syn_reply(9, {"a": "b"}) + spdy.data(9, payload) + spdy.data(9, b"", fin=True)
    frames = [frame for at in range(0, len(sent), piece) for frame in theirs.feed(sent[at : at + piece])]
    assert [frame.headers for frame in frames[: len(blocks)]] == blocks
    assert frames[-3].headers == {"a": "b"} and frames[-3].kind == spdy.SYN_REPLY
    assert frames[-2] == spdy.Frame(0, 9, False, payload) and frames[-1].fin


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack("!II", 0x80020001, 4) + b"\0\0\0\1", id="another version"),
        pytest.param(struct.pack("!II", 0x80030002, 2) + b"\0\0", id="too short"),
        pytest.param(struct.pack("!II", 1, 0xFFFFFF), id="too large"),
        pytest.param(struct.pack("!II", 0x80030002, 9) + b"\0\0\0\1hello", id="no header block"),
    ],
)
def test_what_is_no_spdy_is_refused(sent: bytes) -> None:
    with pytest.raises(spdy.ProtocolError):
        spdy.Codec().feed(sent)


def test_a_header_block_that_unpacks_to_a_flood_is_refused() -> None:
    flood = spdy.Codec().syn_stream(1, {"a": "x" * 5_000_000})
    assert len(flood) < 20_000
    with pytest.raises(spdy.ProtocolError):
        spdy.Codec().feed(flood)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(sent: bytes) -> None:
    try:
        spdy.Codec().feed(sent)
    except spdy.ProtocolError:
        pass
