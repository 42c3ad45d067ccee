"""Machines as namespaces of this host: own network, mounts and host name, a real containerd, one shared kernel.

Fast to make, and many fit; they have no kernel, disk or clock of their own. The files are the host's, below a layer of
the machine's own: what it writes, deletes and renames is its alone, and gone with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from apimachinery.kit.files import write_atomic
from apimachinery.kit.started import started_at
from provisioner.drivers.base import CodeArchive, Local, Report, State
from provisioner.drivers.hostfacts import check_disk, check_ipv6, check_routes, read_facts
from provisioner.drivers.lab_disks import unplug_loops
from provisioner.drivers.netns_processes import (
    kill_namespace,
    kill_network,
    mount_namespace,
    remove_cgroups,
)
from provisioner.drivers.netns_programs import missing_programs
from provisioner.drivers.netns_shell import NetnsShell
from provisioner.drivers.netns_store import copy_store, ensure_store
from provisioner.errors import LabError
from provisioner.home import LabHome
from provisioner.images import ensure_oci_images
from provisioner.images.recipes import RECIPES
from provisioner.rendering import render
from provisioner.shell import Shell, ShellError
from provisioner.spec import MIB, CloudProvider, Lab, Machine
from provisioner.units.client import ask
from provisioner.units.supervisor import SOCKET

#: The machine's alone, empty at first but for the images. No layers, because containerd's own lie on the one, and
#: what is below /run ends with the machine.
_PRIVATE = (
    "/var/lib/containerd",
    "/var/lib/docker-registry",
    "/var/lib/kubelet",
    "/run/containerd",
    "/run/kubelab",
    "/run/keepalived",
    "/run/netns",
    "/run/lock",
)
#: Empty at first, too: what the host has there is hidden.
_HIDDEN = (
    "/etc/systemd/system/multi-user.target.wants",  # the host's own choice of services
    "/tmp",
    "/var/lib/cni",
    "/var/lib/etcd",
    "/var/log/containers",
    "/var/log/pods",
    "/var/tmp",
)
#: What a machine's own files take of the host's disk until the lab is ready: etcd's, containerd's and the code.
_FIRST_USE = 128 * MIB
_START_DEADLINE = 20.0


class NetnsDriver:
    """One lab's machines. Its bridge is ``kl-LAB``, its namespaces ``kubelab-LAB-MACHINE``."""

    def __init__(self, lab: Lab, home: LabHome) -> None:
        self._lab, self._home = lab, home
        self._bridge = f"kl-{lab.name}" if len(lab.name) <= 12 else f"kl-{_short(lab.name)}"
        self._store: Path | None = None

    @property
    def about(self) -> str:
        return "network namespaces of this host: a containerd each, one kernel for all"

    def problems(self) -> list[str]:
        if os.geteuid() != 0:
            return ["driver: netns needs root"]
        found = missing_programs()
        facts = read_facts(self._home.home)
        absent = [machine for machine in self._lab.machines if self.state(machine) is State.ABSENT]
        if problem := check_disk(facts, _FIRST_USE * len(absent)):
            found.append(problem)
        lab = self._lab
        networks = {"network": lab.network, "networkv6": lab.network_v6}
        if lab.cloud_provider is CloudProvider.EXTERNAL:
            networks |= {"podCIDR": lab.pod_cidr, "podCIDRv6": lab.pod_cidr_v6}  # the host gets routes to pods
        return [*found, *check_ipv6(lab, facts), *check_routes(facts, self._bridge, **networks)]

    def prepare(self, report: Report) -> str:
        images = ensure_oci_images(self._home.home, report)
        self._store = ensure_store(self._home.home, images, report)
        self._home.kubectl.unlink(missing_ok=True)
        self._home.kubectl.symlink_to(shutil.which("kubectl") or "/usr/bin/kubectl")
        return self._store.name

    def ensure_network(self) -> bool:
        if _has_link(self._bridge):
            return False
        _ip(
            f"link add {self._bridge} type bridge forward_delay 0",
            f"address add {self._lab.gateway}/{self._lab.network.prefixlen} dev {self._bridge}",
            f"link set {self._bridge} up",
        )
        if self._lab.network_v6 is not None:
            _ip(f"address add {self._lab.gateway_v6}/{self._lab.network_v6.prefixlen} dev {self._bridge} nodad")
        return True

    def ensure_machine(self, machine: Machine, code: CodeArchive | None = None) -> bool:
        if self.state(machine) is not State.ABSENT:
            return False
        if self._store is None:
            raise RuntimeError("prepare() comes before ensure_machine()")
        # What a broken-off run left has no marker, and is of unknown content; a folder deleted by hand, processes.
        self.power_off(machine)
        node = self._node(machine)
        shutil.rmtree(node, ignore_errors=True)
        copy_store(self._store, node / "root")
        config = node / "upper/etc/containerd/config.toml"
        write_atomic(config, render("netns-containerd.toml.j2"))
        registry = RECIPES / "guest/files/etc/docker/registry/config.yml"
        write_atomic(node / "upper/etc/docker/registry/config.yml", registry.read_bytes())
        for folder in _HIDDEN:
            hiding = node / f"upper{folder}"
            hiding.mkdir(parents=True)
            os.setxattr(hiding, "trusted.overlay.opaque", b"y")
            if folder.endswith("/tmp"):
                hiding.chmod(0o1777)
        wants = node / "upper/etc/systemd/system/multi-user.target.wants"
        (wants / "containerd.service").symlink_to("/lib/systemd/system/containerd.service")
        write_atomic(node / "made", "")
        return True

    def start(self, machine: Machine) -> bool:
        if self._pid(machine) is not None:
            return False
        if self.state(machine) is State.ABSENT:
            raise LabError(f"{machine.name}: there is no such machine", advice="kubelab up makes it.")
        self.power_off(machine)
        node = self._node(machine)
        for volatile in ("run/containerd", "run/kubelab", "run/keepalived", "run/netns"):
            shutil.rmtree(node / "root" / volatile, ignore_errors=True)
        self._add_network(machine)
        script = render(
            "netns-boot.sh.j2",
            node=node,
            machine=machine.name,
            # Of an environment in the host's own folders (/usr) there is no need, and it would open them.
            shared=[self._home.home, RECIPES.parent, *([sys.prefix] if sys.prefix != sys.base_prefix else [])],
            private=_PRIVATE,
            venv=sys.prefix,
            python=sys.executable,
            source=RECIPES.parent,
        )
        with (node / "console.log").open("ab") as console:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self._namespace(machine)}", "unshare", "--mount", "--uts",
                 "--propagation", "private", "sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True, cwd="/",
            )  # fmt: skip
        # Reaped by this process only while it lives; later by init.
        own = mount_namespace(os.getpid())
        deadline = time.monotonic() + _START_DEADLINE
        while (namespace := mount_namespace(process.pid)) in (own, None):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = " / ".join(self.console_tail(machine, 3))
                raise LabError(f"{machine.name}: its namespaces cannot be made: {tail}", advice="kubelab doctor")
            time.sleep(0.01)
        record = {"pid": process.pid, "started": started_at(process.pid), "namespace": namespace}
        write_atomic(node / "process.json", json.dumps(record))
        return True

    def connect(self, machine: Machine, timeout: float, stop: Callable[[], bool] = lambda: False) -> Shell:
        socket = self._node(machine) / "root/run/kubelab" / SOCKET
        deadline = time.monotonic() + timeout
        while True:
            if self._pid(machine) is None:
                raise ShellError(f"{machine.name}: it is {self.state(machine)} instead of running")
            try:
                ask(socket, "daemon-reload", [], timeout=5.0)
                return NetnsShell(machine.name, lambda: self._pid(machine), stop)
            except OSError as error:
                if time.monotonic() > deadline or stop():
                    raise ShellError(f"{machine.name}: its supervisor does not answer: {error}") from error
            time.sleep(0.05)

    def halt(self, machine: Machine, timeout: float = 60.0) -> None:
        if self._pid(machine) is not None:
            try:
                ask(self._node(machine) / "root/run/kubelab" / SOCKET, "poweroff", [], timeout=timeout)
            except OSError:
                pass  # it does not answer: the plug is pulled below all the same
        self.power_off(machine)

    def power_off(self, machine: Machine) -> None:
        record = self._record(machine)
        if record is not None:
            kill_namespace(int(record["namespace"]))
            (self._node(machine) / "process.json").unlink(missing_ok=True)
        namespace = Path("/run/netns", self._namespace(machine))
        kill_network(namespace)
        remove_cgroups(self._cgroup(machine))
        # Not left to the end of its namespace, which the kernel takes its time for.
        if _has_link(self._veth(machine)):
            _ip(f"link delete {self._veth(machine)}")
        if namespace.exists():
            _ip(f"netns delete {namespace.name}")

    def destroy(self, machine: Machine) -> None:
        self.power_off(machine)
        shutil.rmtree(self._node(machine), ignore_errors=True)

    def destroy_network(self) -> None:
        if _has_link(self._bridge):
            _ip(f"link delete {self._bridge}")
        remove_cgroups(f"/kubelab-{self._lab.name}")
        unplug_loops(self._home.root / "volumes")

    def state(self, machine: Machine) -> State:
        if not (self._node(machine) / "made").exists():
            return State.ABSENT
        if self._pid(machine) is not None:
            return State.RUNNING
        return State.OFF if self._record(machine) is None else State.CRASHED

    def local(self, machine: Machine) -> Local:
        return Local(self._cgroup(machine), str(Path(sys.executable).resolve()))

    def whereabouts(self, machine: Machine) -> tuple[str, str]:
        return str(self._node(machine)), ""

    def console_tail(self, machine: Machine, lines: int = 20) -> Sequence[str]:
        node = self._node(machine)
        logs = [node / "console.log", *sorted((node / "root/run/kubelab/logs").glob("*.log"))]
        found: list[str] = []
        for log in logs:
            if log.exists():
                found += log.read_text(errors="replace").splitlines()[-lines:]
        return found[-lines:]

    def _cgroup(self, machine: Machine) -> str:
        return f"/kubelab-{self._lab.name}/{machine.name}"

    def _node(self, machine: Machine) -> Path:
        return self._home.machine_dir(machine.name)

    def _namespace(self, machine: Machine) -> str:
        return f"kubelab-{self._lab.name}-{machine.name}"

    def _veth(self, machine: Machine) -> str:
        """The host's end of the machine's cable."""
        return f"kl{_short(f'{self._home.root}/{machine.name}')}"

    def _record(self, machine: Machine) -> dict[str, str | int] | None:
        try:
            record: dict[str, str | int] = json.loads((self._node(machine) / "process.json").read_text())
        except FileNotFoundError:
            return None
        return record

    def _pid(self, machine: Machine) -> int | None:
        """The supervisor's process id, when it is still that process."""
        record = self._record(machine)
        if record is None or started_at(int(record["pid"])) != record["started"]:
            return None
        return int(record["pid"])

    def _add_network(self, machine: Machine) -> None:
        namespace, veth = self._namespace(machine), self._veth(machine)
        addresses = self._lab.with_prefix(machine)
        _ip(
            f"netns add {namespace}",
            f"link add {veth} type veth peer name eth0 address {machine.mac} netns {namespace}",
            f"link set {veth} master {self._bridge} up",
        )
        _ip(
            "link set lo up",
            "link set eth0 up",
            *(f"address add {address} dev eth0{' nodad' if ':' in address else ''}" for address in addresses),
            *(f"route add default via {gateway}" for gateway in self._lab.gateways),
            namespace=namespace,
        )


def _has_link(name: str) -> bool:
    return Path(f"/sys/class/net/{name}").exists()


def _ip(*commands: str, namespace: str | None = None) -> None:
    """Run ip commands, in a namespace when one is named. Raises ``LabError``."""
    prefix = ["ip"] if namespace is None else ["ip", "-netns", namespace]
    for command in commands:
        done = subprocess.run([*prefix, *command.split()], capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(f"ip {command}: {done.stderr.decode(errors='replace').strip()}", advice="kubelab doctor")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
