"""The servers that `bench api` compares, each a process of its own with a store of its own: ours, and the peer."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from apimachinery.kit.certs import Authority, KeyPair, new_key, public_pem
from apimachinery.kit.certs import key_pem as pem_of
from bench import bytecode
from bench.api_load import Connection, drive, request
from bench.storage import running_etcd

PEER = Path("build/peer/bin/kube-apiserver")
DEADLINE = 60.0
_STORES = "controlplane.apiserver.storage"
_MODULES = ("controlplane.apiserver.wire", f"{_STORES}.sqlite", f"{_STORES}.etcd")
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class Credentials:
    """The certificates of one run: an authority, a server, an administrator, and the one the load comes from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = authority = Authority.create("bench")
        (directory / "ca.crt").write_bytes(authority.pair.cert_pem)
        for name, pair in {
            "server": authority.issue("kube-apiserver", dns=["localhost"], ips=["127.0.0.1"], server=True),
            "admin": authority.issue("admin", orgs=["system:masters"], client=True),
            "load": authority.issue("load", client=True),
        }.items():
            (directory / f"{name}.crt").write_bytes(pair.cert_pem)
            (directory / f"{name}.key").write_bytes(pair.key_pem)
        key = new_key()
        (directory / "sa.key").write_bytes(pem_of(key))
        (directory / "sa.pub").write_bytes(public_pem(key))

    def client(self, name: str) -> ssl.SSLContext:
        """A client's side of TLS."""
        context = ssl.create_default_context(cafile=str(self.directory / "ca.crt"))
        context.load_cert_chain(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        return context

    def issue(self, user: str) -> KeyPair:
        """A client certificate for another user."""
        return self._authority.issue(user, client=True)

    def flags(self, port: int) -> list[str]:
        """What both servers are told; the flags are upstream's."""
        at = self.directory
        return [
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
            f"--tls-cert-file={at}/server.crt", f"--tls-private-key-file={at}/server.key",
            f"--client-ca-file={at}/ca.crt", f"--service-account-key-file={at}/sa.pub",
            f"--service-account-signing-key-file={at}/sa.key", "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/12",
        ]  # fmt: skip


class Server:
    """A running server. `start` from nothing; as a context manager it is ended with what belongs to it.

    store: "etcd", "sqlite", or "peer" for the real kube-apiserver on an etcd.
    """

    def __init__(self, store: str, directory: Path, credentials: Credentials, *flags: str, notes: bool = True) -> None:
        """flags: said to the server besides the usual ones. notes: whether ours takes them, for `kubelab trace`."""
        self.store, self._directory, self._credentials = store, directory, credentials
        self._more, self._notes = flags, notes
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = probe.getsockname()
        self._undo = ExitStack()
        self._flags: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir()
        if self.store == "sqlite":
            self._flags = [f"--storage-sqlite={self._directory}/store.db", *self._more]
        else:
            endpoint = self._undo.enter_context(running_etcd(self._directory / "etcd"))
            self._flags = [f"--etcd-servers={endpoint}", *self._more]
            _wait_port(int(endpoint.rpartition(":")[2]))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._undo.close()

    def start(self) -> float:
        """Seconds from exec to the first /readyz that says ok."""
        argv, variables = ours("controlplane.apiserver", notes=self._notes), bytecode.environment(*_MODULES)
        if self.store == "peer":
            argv = [str(PEER), f"--cert-dir={self._directory}"]
        context = self._credentials.client("admin")
        with (self._directory / "log").open("ab") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                [*argv, *self._flags, *self._credentials.flags(self.address[1])],
                env=variables, stdout=log, stderr=log,
            )  # fmt: skip
        while not self._ready(context):
            if self._process.poll() is not None or time.perf_counter() - began > DEADLINE:
                raise SystemExit(f"{self.store} is not ready: {(self._directory / 'log').read_text()[-2000:]}")
            time.sleep(0.01)
        return time.perf_counter() - began

    def stop(self) -> None:
        """SIGTERM; waits for the end."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @contextmanager
    def beside(self) -> Iterator[Server]:
        """Another process on the same port and store, not started."""
        other = Server(self.store, self._directory, self._credentials)
        other.address, other._flags = self.address, self._flags
        yield other
        other.stop()

    def pin(self, core: int) -> None:
        """Let it run on one core only."""
        assert self._process is not None
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})

    def connect(self, count: int, name: str = "load") -> list[Connection]:
        """So many connections of one client."""
        context = self._credentials.client(name)
        return [Connection(self.address, context) for _ in range(count)]

    def cpu(self) -> float:
        """Seconds of processor time that the server has used."""
        assert self._process is not None
        return cpu_of(self._process.pid)

    def memory(self, what: str = "VmRSS") -> float:
        """Resident megabytes (10⁶ bytes): VmRSS now, VmHWM at most so far."""
        assert self._process is not None
        return memory_of(self._process.pid, what)

    def admin(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One request of the administrator. Raises RuntimeError when it is refused."""
        (connection,) = self.connect(1, "admin")
        drive([connection], [request(method, path, body)])
        answer = connection.body()
        connection.close()
        return answer

    def _ready(self, context: ssl.SSLContext) -> bool:
        try:
            connection = Connection(self.address, context)
            try:
                return drive([connection], [request("GET", "/readyz")]).count == 1
            finally:
                connection.close()
        except (OSError, RuntimeError):
            return False


def ours(module: str, *, notes: bool) -> list[str]:
    """How a component of ours is started. notes: whether it takes any."""
    return [sys.executable, "-m", *([] if notes else ["bench.untold"]), module]


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has used, all its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) * _TICK


def memory_of(pid: int, what: str = "VmRSS") -> float:
    """Resident megabytes (10⁶ bytes): VmRSS now, VmHWM at most so far. Raises ProcessLookupError."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


def _wait_port(port: int) -> None:
    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as plain:
                plain.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b"true" in plain.recv(4096)
        except OSError:
            return False

    _wait(answers)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("etcd does not become healthy")
        time.sleep(0.01)
