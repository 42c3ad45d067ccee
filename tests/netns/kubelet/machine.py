"""A node as a network namespace with a real containerd of its own, undone completely by `stop`.

The namespace has a veth to the machine (`host_ip` outside, `node_ip` inside) and the reference bridge plugin's network
for pods. containerd runs in a mount namespace of its own, with a `/run/netns` of its own that ends with it; what must
see its mounts is started by `command`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import oci, remains

_CNI_BIN = Path("/usr/lib/cni")

_CONFIG = """\
version = 2
root = "{dir}/root"
state = "{run}/state"
oom_score = 0
[grpc]
  address = "{run}/containerd.sock"
[ttrpc]
  address = "{run}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{dir}/net.d"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
"""


# A folder whose bin/ has another containerd, ctr, shim and runc than the system's.
_PROGRAMS = os.environ.get("KUBELAB_CONTAINERD", "")
_CLAIMS = Path("/run")
_INDEXES = range(1, 251)


class Machine:
    """One node. folder: where its files go; the system's folder of temporary files when None.

    cni_bin: the folder of the CNI plugins. chained: configurations of plugins that come after the others.
    """

    def __init__(
        self,
        name: str,
        folder: Path | None = None,
        *,
        cni_bin: Path = _CNI_BIN,
        chained: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._cni_bin, self._chained = cni_bin, chained
        self.name = f"klt-{name}-{os.getpid()}"
        index, self._claim = _claim_index()
        self._veth = f"klt{index}"
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=folder))
        # A unix socket's path holds 107 bytes at most, shims included.
        self.run_dir = Path(tempfile.mkdtemp(prefix="klt-", dir="/run"))
        # The root of a pod with users of its own is nobody here, and must get to its own files below.
        for folder in (self.dir, self.run_dir):
            folder.chmod(0o711)
        self.socket = self.run_dir / "containerd.sock"
        self.host_ip, self.node_ip = f"10.199.{index}.1", f"10.199.{index}.2"
        self.pod_cidr = f"10.198.{index}.0/24"
        self.cgroup = f"/{self.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._mounts: int | None = None

    def start(self) -> None:
        """Make the namespace, start containerd, import the images. Raises, with the log's tail, when that fails."""
        remains.sweep()
        self._make_network()
        self._write_config()
        self.start_containerd()
        for build in (oci.build_pause, oci.build_busybox):
            self.ctr("images", "import", str(build(self.dir)))

    def start_containerd(self) -> None:
        log = (self.dir / "containerd.log").open("ab")
        enter = ["unshare", "-m", "--propagation", "unchanged"]
        own = "mount --make-rshared / && mount --make-rprivate /run/netns && mount -t tmpfs netns /run/netns && "
        if self._mounts is not None:
            # What was mounted before it was killed is there still, for it and for the agent.
            enter, own = ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{self._mounts}"], ""
        script = f"exec containerd --config {self.dir}/config.toml"
        self._process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.name}", *enter, "sh", "-c", own + script],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": f"{_PROGRAMS}/bin:{os.environ['PATH']}"} if _PROGRAMS else None,
        )
        deadline = time.monotonic() + 120
        while subprocess.run(self._ctr("version"), capture_output=True).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(
                    "containerd does not answer:\n" + (self.dir / "containerd.log").read_text()[-3000:]
                )
            time.sleep(0.05)
        if self._mounts is None:
            self._mounts = os.open(f"/proc/{self._process.pid}/ns/mnt", os.O_RDONLY)

    def restart_containerd(self) -> None:
        """Start containerd again after its process has been killed, in the mount namespace it had."""
        assert self._process is not None
        self._process.wait()
        self.start_containerd()

    @property
    def containerd_pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self, *argv: str) -> list[str]:
        """`argv` inside the node's network and mount namespaces."""
        return ["nsenter", f"--target={self.containerd_pid}", "--mount", f"--net=/run/netns/{self.name}", *argv]

    def ctr(self, *argv: str) -> str:
        return subprocess.run(self._ctr(*argv), check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """End every container and containerd; remove the namespace, mounts, cgroups and files."""
        for argv in (("tasks", "kill", "-s", "KILL", "--all"),):
            for task in self._lines("tasks", "ls", "-q"):
                subprocess.run(self._ctr(*argv, task), capture_output=True)
        for task in self._lines("tasks", "ls", "-q"):
            subprocess.run(self._ctr("tasks", "rm", "-f", task), capture_output=True)
        for shim in self._shims():
            with contextlib.suppress(ProcessLookupError):
                os.kill(shim, signal.SIGKILL)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._mounts is not None:
            os.close(self._mounts)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
        subprocess.run(["ip", "link", "del", self._veth], capture_output=True)
        remains.remove_cgroups(self.name)
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.run_dir, ignore_errors=True)
        os.close(self._claim)

    def _ctr(self, *argv: str) -> list[str]:
        program = f"{_PROGRAMS}/bin/ctr" if _PROGRAMS else "ctr"
        return [program, "--address", str(self.socket), "--namespace", "k8s.io", *argv]

    def _lines(self, *argv: str) -> list[str]:
        done = subprocess.run(self._ctr(*argv), capture_output=True, text=True)
        return done.stdout.split() if done.returncode == 0 else []

    def _shims(self) -> list[int]:
        needle = f"-address\0{self.socket}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if needle in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found

    def _make_network(self) -> None:
        commands = [
            f"ip netns add {self.name}",
            f"ip link add {self._veth} type veth peer name eth0 netns {self.name}",
            f"ip addr add {self.host_ip}/30 dev {self._veth}",
            f"ip link set {self._veth} up",
            f"ip -n {self.name} addr add {self.node_ip}/30 dev eth0",
            f"ip -n {self.name} link set eth0 up",
            f"ip -n {self.name} link set lo up",
            f"ip -n {self.name} route add default via {self.host_ip}",
        ]
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)

    def _write_config(self) -> None:
        (self.dir / "net.d").mkdir()
        conflist = {
            "cniVersion": "0.4.0",
            "name": "test",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": "cni0",
                    "isGateway": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": self.pod_cidr}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": f"{self.dir}/ipam",
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
                *self._chained,
            ],
        }
        (self.dir / "net.d" / "10-test.conflist").write_text(json.dumps(conflist))
        config = _CONFIG.format(dir=self.dir, run=self.run_dir, cni=self._cni_bin, pause=oci.PAUSE)
        (self.dir / "config.toml").write_text(config)


@contextlib.contextmanager
def started(name: str, folder: Path | None = None, **more: Any) -> Iterator[Machine]:
    """A machine that runs. more: as Machine's."""
    machine = Machine(name, folder, **more)
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()


def _claim_index() -> tuple[int, int]:
    """A number that no other machine has, whoever runs it, and the descriptor whose lock holds it: a process that dies
    gives it back."""
    for index in _INDEXES:
        descriptor = os.open(_CLAIMS / f"klt{index}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not Path(f"/sys/class/net/klt{index}").exists():  # left by one that was killed
                return index, descriptor
        os.close(descriptor)
    raise AssertionError(f"no free index for a machine: {_CLAIMS}/klt*.lock, ip link show")
