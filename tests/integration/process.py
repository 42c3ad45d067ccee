"""The one-process control plane as people start it, on either store, and kubectl against it."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import orjson

from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.config import ConfigError
from tests.integration.ports import free_port

DEADLINE = 120.0
"""Seconds that a test waits for what takes one or two. A machine may be busy; a condition that comes costs nothing."""
ROOT = Path(__file__).parents[2]


def wait_until(what: str, condition: Any, deadline: float = DEADLINE, *, looks: int = 1) -> Any:
    """The first true result of `condition`, or the last of so many in a row: two, when each server of a pair must have
    done by itself what the condition looks for with one request. Fails loudly when it does not come."""
    end, seen = time.monotonic() + deadline, 0
    while True:
        found = condition()
        seen = seen + 1 if found else 0
        if seen == looks:
            return found
        assert time.monotonic() < end, f"{what}: not within {deadline:g} s"
        time.sleep(0.05)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class ControlPlane:
    """A running `python -m controlplane`."""

    module = "controlplane"

    def __init__(self, directory: Path, store: str) -> None:
        self.directory, self.store, self.port = directory, store, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / f"{directory.name}.log"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "admin.kubeconfig"

    @property
    def alone(self) -> ControlPlane:
        """One server: this, or of a pair the first."""
        return self

    def start(self) -> float:
        """Start and wait for /readyz; the seconds it took."""
        begun = time.monotonic()
        argv = [sys.executable, "-m", self.module, *self.argv()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        wait_until("the control plane is ready", self._ready)
        return time.monotonic() - begun

    def argv(self) -> list[str]:
        """The flags of the process."""
        return ["--data-dir", str(self.directory), "--listen", f"127.0.0.1:{self.port}", "--store", self.store]

    def _ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, self._log.read_text()
        try:
            return self.request("GET", "/readyz", timeout=5).code == 200
        except (OSError, ConfigError):  # no kubeconfig yet, or nobody listens
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(DEADLINE)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def why_ended(self) -> str:
        """How the process ended, for whom it should not have; "" while it runs."""
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f"the control plane has ended with {code}: {self.log[-4000:]}"

    def memory(self) -> float:
        """Resident megabytes (10⁶ bytes)."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise ProcessLookupError(self._process.pid)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        anonymous: bool = False,
        timeout: float = DEADLINE,
    ) -> Answer:
        """One HTTP request as the administrator (or nobody). body: a document, or bytes as they are."""
        connection = self.connect(anonymous=anonymous, timeout=timeout)
        with contextlib.closing(connection):
            data = body if isinstance(body, bytes | None) else orjson.dumps(body)
            sent = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def connect(self, *, anonymous: bool = False, timeout: float = DEADLINE) -> HTTPSConnection:
        """A connection of its own."""
        return self.connection(self.kubeconfig, self.port, anonymous=anonymous, timeout=timeout)

    @staticmethod
    def connection(kubeconfig: Path, port: int, *, anonymous: bool, timeout: float) -> HTTPSConnection:
        """A connection to that port, with the kubeconfig's certificates."""
        config = load_kubeconfig(kubeconfig)
        context = config.ssl_context()
        if anonymous:
            context = ssl.create_default_context(cadata=(config.ca_data or b"").decode())
        return HTTPSConnection("127.0.0.1", port, context=context, timeout=timeout)

    def kubectl(
        self, *argv: str, stdin: str | None = None, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Stock kubectl. A failure fails the test with what kubectl said."""
        with tempfile.TemporaryDirectory(prefix="kubelab-kubectl-") as home:
            environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": home, **(environment or {})}
            done = subprocess.run(
                ["kubectl", *argv], input=stdin, env=environment, capture_output=True, text=True, timeout=2 * DEADLINE
            )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(argv)}: {done.stdout}{done.stderr}{self.why_ended()}"
        return done

    def namespace(self, name: str) -> str:
        """Make it, and wait for what controllers put into every namespace: a test may count. Its name."""
        assert self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}).code == 201
        for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
            wait_until(path, lambda path=path: self.request("GET", f"/api/v1/namespaces/{name}/{path}").code == 200)
        return name

    def get(self, *argv: str) -> Any:
        """`kubectl get … -o json`."""
        return orjson.loads(self.kubectl("get", *argv, "-o", "json").stdout)


@cache
def kubectl_version() -> tuple[int, int]:
    """Of the kubectl that the tests find first on PATH: (1, 32)."""
    argv = ["kubectl", "version", "--client", "-o", "json"]
    shown = subprocess.run(argv, capture_output=True, check=True, timeout=DEADLINE).stdout
    found = re.match(r"v(\d+)\.(\d+)\.", orjson.loads(shown)["clientVersion"]["gitVersion"])
    assert found is not None, shown
    return int(found[1]), int(found[2])


@contextlib.contextmanager
def running_etcd(directory: Path) -> Iterator[str]:
    """A real etcd; its URL."""
    client, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    argv = ["etcd", "--data-dir", str(directory), "--listen-client-urls", client, "--advertise-client-urls", client]
    argv += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    with (directory.parent / "etcd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        port = int(client.rpartition(":")[2])

        def healthy() -> bool:
            assert process.poll() is None, (directory.parent / "etcd.log").read_text()
            connection = HTTPConnection("127.0.0.1", port, timeout=2)
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.request("GET", "/health")
                return b"true" in connection.getresponse().read()
            return False

        wait_until("etcd is healthy", healthy)
        yield client
    finally:
        process.terminate()
        process.wait(DEADLINE)
