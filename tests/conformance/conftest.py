"""Real parts that conformance suites run against."""

import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from apimachinery.kit.certs import Authority
from tests.integration.ports import free_port

# Seconds. etcd is up in under one; a loaded two-core machine has been seen to take five.
START_DEADLINE = 120.0


class EtcdServer:
    """One real etcd on loopback with its data under `directory`; may be killed and started again on the same data.

    With an `authority` it speaks TLS and asks for client certificates of it; `directory` then holds ca.crt, client.crt
    and client.key."""

    def __init__(self, directory: Path, authority: Authority | None = None) -> None:
        self.directory = directory
        client_port, peer_port = free_port(), free_port()
        self.endpoint = f"{'https' if authority else 'http'}://127.0.0.1:{client_port}"
        peer = f"http://127.0.0.1:{peer_port}"
        self._argv = [
            "etcd", "--name=kubelab-test", f"--data-dir={directory / 'data'}",
            f"--listen-client-urls={self.endpoint}", f"--advertise-client-urls={self.endpoint}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=kubelab-test={peer}", "--logger=zap", "--log-level=warn",
        ]  # fmt: skip
        self._tls: ssl.SSLContext | None = None
        if authority:
            self._argv += self._write_certificates(authority)
        self._process: subprocess.Popen[bytes] | None = None

    def _write_certificates(self, authority: Authority) -> list[str]:
        ca, cert, key = (self.directory / name for name in ("ca.crt", "server.crt", "server.key"))
        ca.write_bytes(authority.pair.cert_pem)
        server = authority.issue("etcd", ips=["127.0.0.1"], server=True)
        cert.write_bytes(server.cert_pem)
        key.write_bytes(server.key_pem)
        client = authority.issue("kube-apiserver-etcd-client", client=True)
        (self.directory / "client.crt").write_bytes(client.cert_pem)
        (self.directory / "client.key").write_bytes(client.key_pem)
        self._tls = ssl.create_default_context(cafile=ca)
        self._tls.load_cert_chain(self.directory / "client.crt", self.directory / "client.key")
        return [f"--cert-file={cert}", f"--key-file={key}", f"--trusted-ca-file={ca}", "--client-cert-auth"]

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
            with urllib.request.urlopen(f"{self.endpoint}/health", timeout=1, context=self._tls) as answer:
                return b'"true"' in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9, by process id; idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


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
