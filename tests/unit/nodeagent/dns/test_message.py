import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.dns import message, reading
from nodeagent.dns.message import NOERROR, SRV, A, Answer, BadMessage, Record, parse_name


def _query(name: str, qtype: int = A, id_: int = 7) -> bytes:
    return message.write_query(id_, parse_name(name), qtype)


def test_a_query_survives_the_wire() -> None:
    query = message.parse_query(_query("Web.Default.svc.cluster.local."))
    assert (query.id, query.name, query.type) == (7, ("web", "default", "svc", "cluster", "local"), A)
    assert (query.edns, query.udp_size) == (True, 1232)


def test_an_answer_decodes_to_what_was_written() -> None:
    query = message.parse_query(_query("a.b.c"))
    records = (
        Record(("a", "b", "c"), A, 30, message.a("10.0.0.1")),
        Record(("a", "b", "c"), A, 30, message.a("10.0.0.2")),
    )
    data = message.write_answer(query, Answer(NOERROR, records), 512)
    assert reading.read_answer(data).records == records
    # Names are pointers to the question: 16 octets a record.
    assert len(data) == 12 + len(query.raw_question) + 2 * 16 + 11


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    query = message.parse_query(_query("a.b"))
    records = tuple(Record(("a", "b"), A, 30, message.a(f"10.0.0.{i}")) for i in range(100))
    data = message.write_answer(query, Answer(NOERROR, records), 512)
    assert reading.is_truncated(data)
    # As many as fit: 16 octets each.
    assert len(reading.read_answer(data).records) == (512 - 11 - 12 - len(query.raw_question)) // 16
    assert not reading.is_truncated(message.write_answer(query, Answer(NOERROR, records)))


def test_additional_records_are_left_out_without_a_word() -> None:
    query = message.parse_query(_query("a.b"))
    one = Record(("a", "b"), A, 30, message.a("10.0.0.1"))
    data = message.write_answer(query, Answer(NOERROR, (one,), additional=(one,) * 100), 512)
    assert not reading.is_truncated(data)
    assert reading.read_answer(data).records == (one,)


def test_a_later_version_of_edns_is_told_that_it_is() -> None:
    data = bytearray(_query("a.b"))
    data[-6] = 0
    data[-5] = 1  # the version, in the OPT record's life
    query = message.parse_query(bytes(data))
    assert query.version == 1
    assert reading.read_answer(message.write_answer(query, Answer(message.BADVERS))).rcode == message.BADVERS


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Record(("a", "b"), message.CNAME, 5, ("c", "b")), id="CNAME"),
        pytest.param(Record(("a", "b"), SRV, 5, (1, 2, 3, ("c", "b"))), id="SRV"),
        pytest.param(Record(("a", "b"), message.MX, 5, b"\0\5\1c\1b\0"), id="MX"),
        pytest.param(message.soa(("a", "b"), 5, 7), id="SOA"),
        pytest.param(Record(("a", "b"), 257, 5, b"\0\5issue"), id="a type that is not known"),
    ],
)
def test_records_of_every_type_survive(record: Record) -> None:
    query = message.parse_query(_query("a.b"))
    answer = Answer(NOERROR, (record,), authoritative=False)
    assert reading.read_answer(message.write_answer(query, answer)) == answer


def test_srv_targets_are_not_compressed() -> None:
    query = message.parse_query(_query("a.b", SRV))
    data = message.write_answer(query, Answer(NOERROR, (Record(("a", "b"), SRV, 5, (0, 100, 80, ("a", "b"))),)), 512)
    assert b"\x00\x00\x00\x64\x00\x50\x01a\x01b\x00" in data


def test_the_question_keeps_its_spelling() -> None:
    data = bytearray(_query("web.test"))
    data[13:16] = b"WeB"
    assert b"\x03WeB\x04test" in message.write_answer(message.parse_query(bytes(data)), Answer())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 11, id="shorter than a header"),
        pytest.param(struct.pack("!6H", 1, 0, 1, 0, 0, 0), id="no question"),
        pytest.param(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", id="a pointer to itself"),
        pytest.param(struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x3fa", id="a label cut off"),
        pytest.param(
            struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
            id="too long",
        ),
        pytest.param(struct.pack("!6H", 1, 0x8000, 1, 0, 0, 0) + b"\0\0\1\0\1", id="an answer"),
        pytest.param(struct.pack("!6H", 1, 0, 2, 0, 0, 0) + b"\0\0\1\0\1" * 2, id="two questions"),
    ],
)
def test_bad_messages_are_refused(data: bytes) -> None:
    with pytest.raises(BadMessage):
        message.parse_query(data)


def test_a_pointer_loop_in_an_answer_is_refused() -> None:
    data = struct.pack("!6H", 1, 0x8000, 0, 1, 0, 0) + b"\xc0\x0c"
    with pytest.raises(BadMessage, match="backwards"):
        reading.read_answer(data)


@given(st.binary(max_size=600))
def test_garbage_is_refused_or_parsed_never_more(data: bytes) -> None:
    try:
        query = message.parse_query(data)
    except BadMessage:
        message.write_error(data, message.FORMERR)
    else:
        message.write_answer(query, Answer())


@given(st.binary(min_size=12, max_size=600))
def test_garbage_from_other_servers(data: bytes) -> None:
    try:
        reading.read_answer(data)
    except BadMessage:
        pass
