"""A whole control plane of separate processes, ours or the peer's: API server, scheduler, controller manager."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from apimachinery.client.config import render_kubeconfig
from bench import bytecode
from bench.api_rows import prepare
from bench.api_server import PEER, Credentials, Server, cpu_of, memory_of, ours

SCHEDULER, CONTROLLERS = "kube-scheduler", "kube-controller-manager"
_OURS = {SCHEDULER: "controlplane.scheduler", CONTROLLERS: "controlplane.controllers"}
_USERS = {SCHEDULER: "system:kube-scheduler", CONTROLLERS: "system:kube-controller-manager"}
# The peer's own rate limits, far out of the way: with the default ones they are what is measured.
_UNLIMITED = ["--kube-api-qps=5000", "--kube-api-burst=5000"]


@dataclass(frozen=True, slots=True)
class Components:
    """What runs: the API server, and the pids of the other two."""

    server: Server
    pids: dict[str, int]

    def cpu(self) -> float:
        """Seconds of processor time that the three have used."""
        return self.server.cpu() + sum(map(cpu_of, self.pids.values()))

    def cpu_of(self, *names: str) -> float:
        """The same, of SCHEDULER or CONTROLLERS."""
        return sum(cpu_of(self.pids[name]) for name in names)

    def memory_of(self, *names: str) -> float:
        """Resident megabytes (10⁶ bytes) of SCHEDULER or CONTROLLERS."""
        return sum(memory_of(self.pids[name]) for name in names)


def missing() -> list[Path]:
    """What `bench/peer.sh kube-apiserver kube-controller-manager kube-scheduler` has not built."""
    return [path for path in (PEER, PEER.with_name(SCHEDULER), PEER.with_name(CONTROLLERS)) if not path.exists()]


@contextmanager
def running(store: str, directory: Path, credentials: Credentials, *, notes: bool = True) -> Iterator[Components]:
    """The three, on a store of their own, with the namespace and the rights of `prepare`; ended with the block.

    store: as for `Server`; "peer" runs the real ones. notes: whether ours take them, for `kubelab trace`."""
    with ExitStack() as undo:
        server = undo.enter_context(Server(store, directory, credentials, notes=notes))
        server.start()
        prepare(server)
        pids = {}
        for name in (CONTROLLERS, SCHEDULER):
            argv = [str(PEER.with_name(name))] if store == "peer" else ours(_OURS[name], notes=notes)
            process = _start(name, argv, server, directory, credentials)
            undo.callback(_end, process)
            pids[name] = process.pid
        yield Components(server, pids)


def _start(
    name: str, argv: list[str], server: Server, directory: Path, credentials: Credentials
) -> subprocess.Popen[bytes]:
    config, at = directory / f"{name}.conf", credentials.directory
    pair = credentials.issue(_USERS[name])
    config.write_text(
        render_kubeconfig(
            server=f"https://127.0.0.1:{server.address[1]}",
            ca_data=(at / "ca.crt").read_bytes(),
            user=_USERS[name],
            cert_data=pair.cert_pem,
            key_data=pair.key_pem,
        )
    )
    peer = server.store == "peer"
    argv = [*argv, f"--kubeconfig={config}", "--leader-elect=false", "--secure-port=0"]
    if peer:
        argv += [*_UNLIMITED, "--port=0"]
    if name == CONTROLLERS:
        keys = [f"--service-account-private-key-file={at}/sa.key", f"--root-ca-file={at}/ca.crt"]
        # The simulated nodes send no heartbeats.
        argv += ["--use-service-account-credentials", *keys, "--node-monitor-grace-period=1h"]
    variables = None if peer else bytecode.environment(*(f"{module}.wire" for module in _OURS.values()))
    with (directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen(argv, env=variables, stdout=log, stderr=log)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
