"""Every operation that /openapi/v3 describes, with what it forbids: never the server's fault, nothing stored."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.client.config import load_kubeconfig
from tests.hostile.check import SPACE, stored
from tests.hostile.openapi import description
from tests.hostile.operations import counted, described, samples
from tests.hostile.run import run
from tests.integration.apiservers import ApiServer

SEEDS = int(os.environ.get("KUBELAB_OPERATIONS", "4"))
"""How often each operation gets its requests, other ones each time; `make hostile` does it a hundred times."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    """No controllers: what is there stays as it is."""
    server = ApiServer(tmp_path / "data", "sqlite")
    server.start()
    yield server
    if server.alive:
        assert server.stop() == 0, server.log


def _fill(server: ApiServer) -> None:
    for name in (SPACE, "default"):
        server.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        server.request("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    for kind in samples():
        resource = CATALOGUE.by_kind(kind.api_version, kind.kind)
        assert resource is not None
        document = {"apiVersion": kind.api_version, "kind": kind.kind, **kind.body}
        document["metadata"] = {**document.get("metadata", {}), "name": kind.name}
        body = orjson.dumps(document).replace(b"{namespace}", SPACE.encode())
        answer = server.request("POST", resource.path(SPACE if resource.namespaced else None), body)
        assert answer.code in (201, 409), (kind.kind, answer.body)


def test_every_operation(server: ApiServer) -> None:
    _fill(server)
    document = orjson.loads(description(server))
    assert counted(document) > 500
    before = stored(server)
    tls = load_kubeconfig(server.kubeconfig).ssl_context()
    assert tls is not None
    for seed in range(SEEDS):
        attacks = list(described(document, SPACE, random.Random(seed)))
        outcome = run(iter(attacks), len(attacks), server.port, tls, server.memory)
        print(f"seed {seed}: {outcome.sent} requests, {outcome.seconds:.1f} s, {sorted(outcome.codes.items())}")
        assert not outcome.findings, f"seed {seed}: {outcome.findings}"
        assert outcome.sent == len(attacks)
    assert server.alive and "Traceback" not in server.log, server.log[-3000:]
    changed = sorted(stored(server).items() ^ before.items())
    assert not changed
