"""Real parts that conformance suites run against."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

# Seconds. etcd is up in under one; a loaded two-core machine has been seen to take five.
START_DEADLINE = 30.0


class EtcdServer:
    """One real etcd on loopback with its data under `directory`; may be killed and started again on the same data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._client_port, peer_port = _free_ports(2)
        self.endpoint = f"http://127.0.0.1:{self._client_port}"
        peer = f"http://127.0.0.1:{peer_port}"
        self._argv = [
            "etcd", "--name=kubelab-test", f"--data-dir={directory / 'data'}",
            f"--listen-client-urls={self.endpoint}", f"--advertise-client-urls={self.endpoint}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=kubelab-test={peer}", "--logger=zap", "--log-level=warn",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers as healthy; raises with its log when it does not within START_DEADLINE."""
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(self._argv, stdout=output, stderr=output)
        deadline = time.monotonic() + START_DEADLINE
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"etcd did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1) as answer:
                return b'"true"' in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9, by process id; idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """A running etcd shared by the session; tests keep to keys of their own and must not stop it."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_etcd_server(tmp_path: Path) -> Iterator[EtcdServer]:
    """A running, empty etcd for one test, which may kill and start it."""
    server = EtcdServer(tmp_path)
    server.start()
    yield server
    server.kill()
