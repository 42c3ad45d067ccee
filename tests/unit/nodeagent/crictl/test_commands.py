"""Commands against a runtime that answers what it is told to: what is asked of it, what is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeagent.crictl import codec
from nodeagent.crictl.main import main

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):
    """The runtime answers a call with an error."""


class Runtime(grpc.GenericRpcHandler):
    """Answers by the names of the calls; asked: every call with its request."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]

        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            request = codec.decode(f"{name}Request", body)
            self.asked.append((name, request))
            try:
                found = self.answers[name](request)
            except Refused as error:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))
            return codec.encode(f"{name}Response", found) if found else b""

        return grpc.unary_unary_rpc_method_handler(answer)

    def run(self, *words: str) -> int:
        """Run crictl against this runtime."""
        return main(["-r", self.endpoint, *words])

    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = grpc.server(futures.ThreadPoolExecutor(2))
    found = Runtime(f"unix://{tmp_path}/s")
    made.add_generic_rpc_handlers((found,))
    made.add_insecure_port(found.endpoint)
    made.start()
    yield found
    made.stop(0)


def test_the_parts_of_a_long_line_show_one_time(
    runtime: Runtime, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(
        b"2025-01-01T00:00:00Z stdout P par\n2025-01-01T00:00:01Z stdout F tial\n2025-01-01T00:00:02Z stdout F unfini"
    )
    runtime.answers["ContainerStatus"] = lambda _: {"status": {"id": "1", "log_path": str(log)}}
    assert runtime.run("logs", "-t", "1") == 0
    said = capfdbinary.readouterr().out
    assert said == b"2025-01-01T00:00:00.000000000Z partial\n2025-01-01T00:00:02.000000000Z unfini"
    log.unlink()
    assert runtime.run("logs", "1") == 1
    said = capfdbinary.readouterr().err
    assert f"lstat {log}: no such file or directory".encode() in said
