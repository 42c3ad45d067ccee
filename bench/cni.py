"""What a pod's network costs: ADD and DEL as a container runtime calls them, against the reference plugins.

Floor: Debian's `bridge` with `host-local` (package containernetworking-plugins), same network, same machine, the calls
taken in turn so that a busy moment meets both. With an agent, as on a node; without, when kube-proxy is down.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure, p50
from nodeagent.cni import install
from nodeagent.netlink import namespaces

REFERENCE = Path("/usr/lib/cni/bridge")
ROUNDS = 60
AIM = 1.0


class Network:
    """One implementation's network on the bench's machine."""

    def __init__(self, name: str, executable: Path, subnet: str, directory: Path, socket: str = "") -> None:
        self.executable, self._socket = executable, socket
        ipam = {"type": "host-local", "dataDir": str(directory), "ranges": [[{"subnet": subnet}]]}
        self.config = json.dumps({
            "cniVersion": "1.0.0", "name": name, "type": "bench", "bridge": name, "isDefaultGateway": True,
            "hairpinMode": True, "mtu": 1500, "ipam": ipam,
            "spoofCheck": True,  # as a lab has it; the reference does not know it, and does less
        }).encode()  # fmt: skip

    def environment(self, command: str, pod: Path) -> dict[str, str]:
        return {
            "CNI_COMMAND": command, "CNI_CONTAINERID": "bench", "CNI_NETNS": str(pod), "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self.executable.parent), "PATH": os.environ["PATH"], "KUBELAB_CNI_SOCKET": self._socket,
        }  # fmt: skip

    def call(self, command: str, pod: Path) -> float:
        """Seconds of one call as a runtime makes it."""
        began = time.perf_counter()
        done = subprocess.run(
            [self.executable], input=self.config, env=self.environment(command, pod), capture_output=True
        )
        elapsed = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"{self.executable} {command}: {done.stdout.decode()}")
        return elapsed


@contextmanager
def namespace(name: str) -> Iterator[Path]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield Path("/run/netns", name)
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def measure() -> list[Figure]:
    if not REFERENCE.exists():
        raise SystemExit("bench cni: no /usr/lib/cni/bridge; install containernetworking-plugins")
    with namespace(f"knet-bench-{os.getpid()}") as node, tempfile.TemporaryDirectory() as scratch:
        descriptor = namespaces.open_namespace(str(node))
        try:
            return namespaces.inside(descriptor, lambda: _measure_inside(Path(scratch)))
        finally:
            os.close(descriptor)


@contextmanager
def agent(socket: Path) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "nodeagent.cni.agent", socket])
    try:
        while not socket.exists():
            if process.poll() is not None:
                raise RuntimeError("the CNI agent does not start")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


def _measure_inside(scratch: Path) -> list[Figure]:
    executables, socket = scratch / "bin", scratch / "cni.sock"
    client = install.compile_client()
    if client is None:
        raise SystemExit("bench cni: no C compiler; install gcc libc6-dev")
    install.install(executables, Path(sys.executable).resolve(), Path(install.__file__).parents[2], client)
    ours, leases = executables / "kubelab-bridge", scratch / "leases"
    networks = {
        "agent": Network("kubelab0", ours, "10.99.1.0/24", leases, str(socket)),
        "alone": Network("kubelab1", ours, "10.99.2.0/24", leases),
        "reference": Network("reference0", REFERENCE, "10.99.3.0/24", leases),
    }
    times: dict[str, list[float]] = {}
    with agent(socket):
        for number in range(ROUNDS):
            for what, network in networks.items():
                with namespace(f"knet-bench-{os.getpid()}-{number}") as pod:
                    for command in ("ADD", "DEL"):
                        times.setdefault(f"{what} {command}", []).append(network.call(command, pod))
    bare = [_start() for _ in range(ROUNDS)]
    floor = {command: p50(times[f"reference {command}"]) * 1000 for command in ("ADD", "DEL")}
    figures = [
        Figure(f"CNI {command}{words}", p50(times[f"{what} {command}"]) * 1000, "ms", "reference", floor[command], aim)
        for what, words, aim in (("agent", "", AIM), ("alone", ", no agent", None))
        for command in ("ADD", "DEL")
    ]
    note = "what every call cost without an agent, if it did nothing"
    return [*figures, Figure("python3 -I -S -c pass", p50(bare) * 1000, "ms", "reference ADD", floor["ADD"], note=note)]


def _start() -> float:
    began = time.perf_counter()
    subprocess.run([str(Path(sys.executable).resolve()), "-I", "-S", "-c", "pass"], check=True, capture_output=True)
    return time.perf_counter() - began
