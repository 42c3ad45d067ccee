"""A one-process control plane beside a test machine, reached from it over the machine's veth."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apimachinery.client.config import render_kubeconfig
from apimachinery.kit.certs import Authority
from tests.netns.kubelet.agent import DEADLINE, Kubelet, eventually
from tests.netns.kubelet.machine import Machine

_SOURCE = Path(__file__).resolve().parents[3]


class Cluster:
    """The control plane's process, and kubectl against it. folder: of its data; the machine's when None."""

    def __init__(self, machine: Machine, *flags: str, folder: Path | None = None) -> None:
        self.machine, self._flags = machine, flags
        self.dir = folder or machine.dir / "control-plane"
        self.server = f"https://{machine.host_ip}:6443"
        self.admin = self.dir / "admin.kubeconfig"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = ["-m", "controlplane", f"--data-dir={self.dir}", f"--listen={self.machine.host_ip}:6443", *self._flags]
        with (self.machine.dir / "control-plane.log").open("ab") as output:
            self._process = subprocess.Popen([sys.executable, *argv], stdout=output, stderr=output, cwd=_SOURCE)
        eventually(lambda: self.admin.exists() and self.kubectl("get", "--raw=/readyz") == "ok", "the API")
        eventually(lambda: self.kubectl("get", "serviceaccount", "default", "-o=name"), "the default service account")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, how)
            self._process.wait(DEADLINE)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def node_kubeconfig(self, name: str) -> Path:
        """A kubeconfig with the node's own client certificate."""
        authority = Authority.load(self.dir / "pki" / "ca.crt", self.dir / "pki" / "ca.key")
        pair = authority.issue(f"system:node:{name}", orgs=("system:nodes",), client=True)
        path = self.machine.dir / f"{name}.conf"
        path.write_text(
            render_kubeconfig(
                server=self.server,
                ca_data=authority.pair.cert_pem,
                cert_data=pair.cert_pem,
                key_data=pair.key_pem,
                user=f"system:node:{name}",
            )
        )
        return path

    def admin_certificate(self) -> tuple[Path, Path]:
        """(certificate, key) of a cluster administrator, whom a kubelet obeys even without the API."""
        authority = Authority.load(self.dir / "pki" / "ca.crt", self.dir / "pki" / "ca.key")
        pair = authority.issue("breakglass", orgs=("system:masters",), client=True)
        cert, key = self.machine.dir / "breakglass.crt", self.machine.dir / "breakglass.key"
        cert.write_bytes(pair.cert_pem)
        key.write_bytes(pair.key_pem)
        return cert, key

    def whoami(self, token: str) -> str:
        """The user that the API sees behind a token."""
        server = [f"--server={self.server}", f"--certificate-authority={self.dir}/pki/ca.crt", f"--token={token}"]
        asked = [
            "kubectl",
            "--kubeconfig=/dev/null",
            *server,
            "auth",
            "whoami",
            "-o=jsonpath={.status.userInfo.username}",
        ]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout

    def kubectl(self, *argv: str, text: str | None = None, check: bool = True) -> str:
        """kubectl's output, or with check=False also what it says when it fails."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.admin}", *argv], input=text, capture_output=True, text=True, timeout=180
        )
        if done.returncode and check:
            raise AssertionError(f"kubectl {' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout if check else f"{done.stdout}{done.stderr}"

    def apply(self, *objects: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--validate=ignore", "-f", "-", text=json.dumps(listed))

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o=json"))
        return found

    def pod(self, name: str) -> dict[str, Any]:
        return self.get("pod", name)

    def ready(self, name: str, seconds: float = DEADLINE) -> dict[str, Any]:
        """The pod once it is Ready."""
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={seconds:.0f}s")
        return self.pod(name)

    def events(self, name: str) -> list[str]:
        """Reasons of the events about an object, oldest first."""
        listed = json.loads(self.kubectl("get", "events", f"--field-selector=involvedObject.name={name}", "-o=json"))
        return [item["reason"] for item in sorted(listed["items"], key=lambda item: item["metadata"]["name"])]


@contextlib.contextmanager
def started(machine: Machine, *flags: str, folder: Path | None = None) -> Iterator[Cluster]:
    """A control plane that runs."""
    plane = Cluster(machine, *flags, folder=folder)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@contextlib.contextmanager
def joined(cluster: Cluster, kind: type[Kubelet] = Kubelet, **config: Any) -> Iterator[Kubelet]:
    """The machine's kubelet as the node `node`, which is Ready. config: of the kubelet."""
    authority = str(cluster.dir / "pki" / "ca.crt")
    trusting = {"authentication": {"x509": {"clientCAFile": authority}}, **config}
    agent = kind(cluster.machine, "node", cluster.node_kubeconfig("node"), **trusting)
    agent.trust(*cluster.admin_certificate())
    try:
        agent.start()
        # Its server answers before the node is registered, and kubectl does not wait for what is not there yet.
        eventually(lambda: cluster.kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=120s"), "Ready")
        yield agent
    finally:
        agent.stop()
