"""Answers of HTTP/1.1, cut anywhere."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.client.http_answer import HEAD_MAX, Answer, BadAnswer, Lines, unpacked

_BODY = b"one\r\n0\r\n\r\ntwo\n" * 3
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# What arrives, its status and body, and whether the connection serves on.
ANSWERS = {
    "length": (b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY, 201, _BODY, True),
    "no body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-LENGTH:0\r\n\r\n", 200, b"", True),
    "close": (b"HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 409, b"{}", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "interim": (
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        200,
        b"x",
        True,
    ),
    "chunks": (_CHUNKED + b"3\r\none\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n", 200, b"one0123456789", True),
    "trailers": (_CHUNKED + b"1\r\nx\r\n0\r\nExpires: never\r\nA: b\r\n\r\n", 200, b"x", True),
    "length beside chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        200,
        b"x",
        True,
    ),
}


@pytest.mark.parametrize(("data", "status", "body", "keeps"), ANSWERS.values(), ids=ANSWERS)
@given(cuts=st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(
    data: bytes, status: int, body: bytes, keeps: bool, cuts: list[int]
) -> None:
    answer, found, at = Answer(), b"", 0
    for cut in [*sorted(cuts), len(data)]:
        found += answer.feed(data[at:cut])
        at = max(at, min(cut, len(data)))
        assert answer.ended is (at == len(data)) or not data[at:].strip()
    assert answer.head is not None
    assert (answer.head.status, found, answer.ended, answer.keeps) == (status, body, True, keeps)


def test_the_end_of_the_connection_is_the_end_of_a_body_without_a_length() -> None:
    answer = Answer()
    assert answer.feed(b"HTTP/1.1 200 OK\r\n\r\nab") + answer.feed(b"c") == b"abc"
    assert not answer.ended
    answer.end()
    assert answer.ended
    assert not answer.keeps


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", _CHUNKED + b"2\r\nab"]
)
def test_an_answer_that_is_cut_off_is_told(data: bytes) -> None:
    answer = Answer()
    answer.feed(data)
    with pytest.raises(BadAnswer, match="before its answer was complete"):
        answer.end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_MAX + 1),
        _CHUNKED + b"x\r\n",
        _CHUNKED + b"-2\r\nab\r\n",
        _CHUNKED + b"1" * 2000,
        _CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        Answer().feed(data)


def test_what_comes_after_an_answer_ends_the_connection() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n")
    assert answer.ended
    assert not answer.keeps


@given(text=st.text("ab\n", max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_lines_are_the_same_however_they_are_cut(text: str, cuts: list[int]) -> None:
    data, lines, found, at = text.encode(), Lines(100), list[bytes](), 0
    for cut in [*sorted(cuts), len(data)]:
        found += lines.feed(data[at:cut])
        at = max(at, min(cut, len(data)))
    found += lines.end()
    expected = data.split(b"\n")
    assert found == (expected[:-1] if not expected[-1] else expected)


def test_a_line_without_an_end_is_refused() -> None:
    lines = Lines(10)
    assert lines.feed(b"0123456789") == []
    with pytest.raises(BadAnswer, match="more than 10 bytes"):
        lines.feed(b"x")


def test_gzip() -> None:
    assert unpacked(gzip.compress(b"list")) == b"list"
    with pytest.raises(BadAnswer, match="no gzip"):
        unpacked(b"list")
