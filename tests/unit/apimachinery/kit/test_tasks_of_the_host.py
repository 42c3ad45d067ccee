"""A daemon that the host does not let start says so in one line; any other exception keeps its traceback."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from apimachinery.kit.tasks import run_daemon


def test_a_taken_port_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:

        async def main(stop: asyncio.Event) -> None:
            await asyncio.start_server(lambda *_: None, *taken.getsockname())

        with caplog.at_level(logging.ERROR):
            assert run_daemon(main) == 1
    (record,) = caplog.records
    assert "address already in use" in record.getMessage() and record.exc_info is None


def test_a_defect_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def main(stop: asyncio.Event) -> None:
        raise ConnectionResetError("nobody caught it")

    assert run_daemon(main) == 1
    assert caplog.records[0].exc_info is not None


def test_of_the_loops_errors_only_bytes_for_a_closed_connection_are_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main(stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        closed = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
        loop.call_exception_handler({"message": "Fatal error on SSL protocol", "exception": closed})
        loop.call_exception_handler({"message": "another", "exception": RuntimeError("a defect")})

    with caplog.at_level(logging.WARNING):
        assert run_daemon(main) == 0
    (record,) = caplog.records
    assert record.getMessage().startswith("another") and record.exc_info
