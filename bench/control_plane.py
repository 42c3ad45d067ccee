"""The one-process control plane: how long until /readyz says ok, and what it holds in memory then."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apimachinery.client.config import load_kubeconfig
from bench import bytecode
from bench.figure import Figure, p50

ROUNDS = 5
DEADLINE = 30.0  # seconds
LIBRARIES = "aiohttp.web", "uvloop", "orjson", "cryptography.x509", "yaml", "prometheus_client"
IMPORTS = f"import {', '.join(LIBRARIES)}"
PARTS = "controlplane.allinone.wire", "controlplane.scheduler.wire", "controlplane.controllers.wire"


def measure() -> list[Figure]:
    starts, idle = zip(*(_start() for _ in range(ROUNDS)), strict=True)
    imports = p50([_seconds(sys.executable, "-c", IMPORTS) for _ in range(ROUNDS)])
    bare = p50([_bare_memory() for _ in range(3)])
    floor = "interpreter and libraries alone"
    return [
        Figure("start to /readyz ok, p50", p50(starts), "s", floor, imports, 1.0, absolute=True),
        Figure("resident memory when ready and idle, p50", p50(idle), "MB", floor, bare, 120, absolute=True),
    ]


def _start() -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = Path(tempfile.mkdtemp(prefix="kubelab-bench-"))
    # A first run makes the certificates, once in the life of a cluster; the start is what comes after.
    try:
        _run(directory, port)
        return _run(directory, port)
    finally:
        shutil.rmtree(directory)


def _run(directory: Path, port: int) -> tuple[float, float]:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "controlplane", "--data-dir", str(directory), "--listen", f"127.0.0.1:{port}"],
        env=bytecode.environment(*PARTS, *LIBRARIES),
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _ready(directory, port):
            if process.poll() is not None or time.perf_counter() - begun > DEADLINE:
                raise SystemExit(f"the control plane was not ready after {DEADLINE:g} s (exit code {process.poll()})")
            time.sleep(0.005)
        seconds = time.perf_counter() - begun
        time.sleep(5)  # let controllers sync: the figure is of an idle one, not of one that starts
        return seconds, _resident(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _ready(directory: Path, port: int) -> bool:
    try:
        config = load_kubeconfig(directory / "admin.kubeconfig")
        context = config.ssl_context()
        assert context is not None
        plain = socket.create_connection(("127.0.0.1", port), 1)
        with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            tls.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return tls.recv(64).startswith(b"HTTP/1.1 200")
    except Exception:
        return False


def _seconds(*argv: str) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, env=bytecode.environment(*PARTS, *LIBRARIES), check=True)
    return time.perf_counter() - begun


def _bare_memory() -> float:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS}; print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    memory = _resident(process.pid)
    process.communicate(b"\n")
    return memory


def _resident(pid: int) -> float:
    """Megabytes (10⁶ bytes) of resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)
