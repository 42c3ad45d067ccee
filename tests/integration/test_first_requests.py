"""What the very first request finds that a server with an empty store hears."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import DEADLINE, Answer

EVENTS = "/api/v1/namespaces/default/events"
# As a kubelet's that waited for the server of its new cluster, and asked again all the time.
EVENT = {
    "metadata": {"name": "worker-1.1", "namespace": "default"},
    "involvedObject": {"kind": "Node", "name": "worker-1", "uid": "worker-1"},
    "reason": "Starting",
    "message": "Starting kubelet.",
    "source": {"component": "kubelet", "host": "worker-1"},
    "type": "Normal",
}


def _heard(server: ApiServer) -> Answer:
    """The answer to the first event that is not refused a connection; asked without a pause."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with suppress(OSError):
            return server.request("POST", EVENTS, EVENT)
    raise AssertionError(server.log)


@pytest.mark.parametrize("turn", range(3))
def test_the_first_event_of_a_node_has_its_namespace(tmp_path: Path, turn: int) -> None:
    server = ApiServer(tmp_path / "data", "sqlite")
    server.argv()  # writes the kubeconfig that asks

    server.launch()
    try:
        answer = _heard(server)
        assert answer.code == 201, answer.body
    finally:
        server.stop()
