"""`log`: which answers are of which class, and how a line is written."""

import pytest

from nodeagent.dns.corefile import parse
from nodeagent.dns.message import AXFR, NOERROR, NS, NXDOMAIN, REFUSED, SERVFAIL, A, Answer, Query, Record, a, soa
from nodeagent.dns.querylog import Exchange, log_exchange

NAME = ("web", "test")
ZONE = (soa(("test",), 5, 1),)
RECORD = Record(NAME, A, 5, a("192.0.2.1"))
REFERRAL = Record(("test",), NS, 5, ("ns", "test"))


def lines(text: str, answer: Answer, caplog: pytest.LogCaptureFixture, qtype: int = A) -> list[str]:
    caplog.set_level("INFO")
    [block] = parse(f". {{\n {text}\n}}\n").blocks
    assert block.log is not None
    query = Query(7, 0x0100, NAME, qtype, 1, b"")
    log_exchange(block.log, Exchange(query, 26, answer, b"\0\7\x81\x80", 0.5, ("192.0.2.9", 4000), "udp"))
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("answer", "qtype", "of"),
    [
        pytest.param(Answer(NOERROR, (RECORD,)), A, "success", id="an answer"),
        pytest.param(Answer(NOERROR, authority=ZONE), A, "denial", id="no such type"),
        pytest.param(Answer(NXDOMAIN, authority=ZONE), A, "denial", id="no such name"),
        pytest.param(Answer(NXDOMAIN), A, "error", id="no such name, without an SOA"),
        pytest.param(Answer(NOERROR), A, "success", id="nothing at all"),
        pytest.param(Answer(NOERROR, authority=(REFERRAL,)), A, "success", id="a referral"),
        pytest.param(Answer(SERVFAIL), A, "error", id="a failure"),
        pytest.param(Answer(REFUSED), A, "error", id="a refusal"),
        pytest.param(Answer(NOERROR, (RECORD,)), AXFR, "error", id="a transfer"),
    ],
)
def test_classes(answer: Answer, qtype: int, of: str, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("success", "denial", "error", "all"):
        caplog.clear()
        said = lines(f"log . {{\n class {name}\n }}", answer, caplog, qtype)
        assert len(said) == (name in (of, "all")), name


def test_formats(caplog: pytest.LogCaptureFixture) -> None:
    common = '192.0.2.9:4000 - 7 "A IN web.test. udp 26 false 512" NOERROR qr,rd,ra 4 0.500000000s'
    answer = Answer(NOERROR, (RECORD,))
    assert lines("log", answer, caplog) == [common]
    caplog.clear()
    assert lines('log . "{combined}"', answer, caplog) == [f'{common} "0"']
