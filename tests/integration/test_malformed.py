"""A share of the requests that nobody should send (`python -m tests.hostile` sends a hundred thousand): never the
server's fault, nothing stored, no traceback, no growth."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.client.config import load_kubeconfig
from tests.hostile.attacks import request
from tests.hostile.check import attacked
from tests.hostile.wire import Wire
from tests.integration.process import ControlPlane, running_etcd

SHARE = 5_000  # the named ones, and some hundreds that chance makes
SEED = 20250101


@pytest.fixture(params=["sqlite", "etcd"])
def plane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: what it stores is compared."""
    with contextlib.ExitStack() as undo:
        store = undo.enter_context(running_etcd(tmp_path / "etcd")) if request.param == "etcd" else "sqlite"
        started = ControlPlane(tmp_path / "data", store)
        started.start()
        yield started
        if started.alive:
            started.kill()


def test_no_request_is_the_servers_fault(plane: ControlPlane) -> None:
    outcome, problems = attacked(plane, SHARE, SEED)
    assert not problems
    assert outcome.sent == SHARE


def _tls(plane: ControlPlane) -> ssl.SSLContext:
    context = load_kubeconfig(plane.kubeconfig).ssl_context()
    assert context is not None
    return context


def test_a_refused_upgrade_is_the_last_word_of_its_connection(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/nothing/exec?command=sh"
    upgrade = request("POST", path, extra=b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")
    with Wire(control_plane.port, _tls(control_plane)) as wire:
        reply = wire.ask(upgrade + request("GET", "/version"))
        assert reply.code == 404
        assert wire.silent(), "what came after it was not answered"


def test_slow_connections_hold_nobody_up(control_plane: ControlPlane) -> None:
    with contextlib.ExitStack() as undo:
        for number in range(200):
            wire = undo.enter_context(Wire(control_plane.port, _tls(control_plane)))
            wire.say(request("POST", "/api/v1/namespaces", b"{" * 100)[: 20 + number])
        began = time.monotonic()
        assert control_plane.request("GET", "/readyz").code == 200
        assert time.monotonic() - began < 30.0, "the slow ones are cut off after 32 s"
