"""A webhook that resets every connection harms nobody but itself."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.apiservers import ApiServer

MAPS = "/api/v1/namespaces/default/configmaps"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
WRITES, WRITERS = 600, 12


class Resetting(socketserver.BaseRequestHandler):
    """Ends a connection with RST as soon as it is there."""

    def handle(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture
def resetting() -> Iterator[int]:
    """The port of a server that does."""
    with socketserver.TCPServer(("127.0.0.1", 0), Resetting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    found = ApiServer(tmp_path / "data", "sqlite")
    found.start()
    yield found
    if found.alive:
        found.stop()


def test_every_write_is_answered(server: ApiServer, resetting: int) -> None:
    hook = {
        "name": "resets.example.com",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Ignore",
        "clientConfig": {"url": f"https://127.0.0.1:{resetting}/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
    }
    made = server.request("POST", HOOKS, {"metadata": {"name": "resets"}, "webhooks": [hook]})
    assert made.code == 201, made.body

    def write(number: int) -> int:
        return server.request("POST", MAPS, {"metadata": {"name": f"m{number}"}}).code

    with ThreadPoolExecutor(WRITERS) as writers:
        assert set(writers.map(write, range(WRITES))) == {201}, server.log[-3000:]
    assert len(server.request("GET", MAPS).json["items"]) == WRITES
    assert server.stop() == 0
    failed = 'Failed calling webhook, failing open resets.example.com: failed calling webhook "resets.example.com": '
    assert failed + f'failed to call webhook: Post "https://127.0.0.1:{resetting}/?timeout=10s": ' in server.log
    assert "ad file descriptor" not in server.log
