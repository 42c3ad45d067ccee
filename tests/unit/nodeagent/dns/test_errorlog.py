"""`errors` with `consolidate`: failures of one kind are told together."""

import asyncio

import pytest

from nodeagent.dns.corefile import parse
from nodeagent.dns.errorlog import ErrorLog
from nodeagent.dns.message import A, Query

QUERY = Query(7, 0x0100, ("web", "test"), A, 1, b"")


def made(*consolidated: str) -> ErrorLog:
    lines = "".join(f"  consolidate {words}\n" for words in consolidated)
    [block] = parse(f". {{\n errors {{\n  stacktrace\n{lines} }}\n}}\n").blocks
    assert block.errors is not None
    return ErrorLog(block.errors)


async def test_told_together_when_the_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    log = made('10ms ".* i/o timeout$" warning', '1h ".*"')
    async with asyncio.timeout(60):
        for _ in range(2):  # and from the beginning
            caplog.clear()
            for _ in range(3):
                log.tell(2, QUERY, "read udp 192.0.2.1:53: i/o timeout")
            while not caplog.records:
                await asyncio.sleep(0)
            [record] = caplog.records
            assert record.levelname == "WARNING"
            assert record.getMessage() == "3 errors like '.* i/o timeout$' occurred in last 10ms"
    log.close()
    assert len(caplog.records) == 1  # nothing was counted meanwhile


async def test_the_end_tells_what_was_counted(caplog: pytest.LogCaptureFixture) -> None:
    log = made("5m refused$")
    log.tell(2, QUERY, "connection refused")
    log.tell(2, QUERY, "no healthy proxies")
    assert [record.getMessage() for record in caplog.records] == ["2 web.test. A: no healthy proxies"]
    caplog.clear()
    log.close()
    log.tell(2, QUERY, "connection refused")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "1 errors like 'refused$' occurred in last 5m0s"),
        ("ERROR", "2 web.test. A: connection refused"),
    ]
