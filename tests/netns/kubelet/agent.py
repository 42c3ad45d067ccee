"""The kubelet as a process on a test machine, and its API as seen by an administrator."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from apimachinery.kit.certs import Authority
from tests.netns.kubelet.machine import Machine

Found = TypeVar("Found")

# Seconds that anything may take on a machine that does ten things at once; costs nothing when it is there sooner.
DEADLINE = 120.0
# What a look may meet while a process is on its way up or down.
_NOT_YET = (LookupError, ValueError, OSError, AssertionError, subprocess.SubprocessError, http.client.HTTPException)

_SOURCE = Path(__file__).resolve().parents[3]


def eventually(look: Callable[[], Found], what: str, seconds: float = DEADLINE) -> Found:
    """What `look` returns once it is true. Raises AssertionError, saying `what` did not come, after `seconds`."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
            if found:
                return found
            last = found
        except _NOT_YET as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come in {seconds} s; last seen: {last!r}")


class Kubelet:
    """One kubelet; its files are in `machine.dir`. program: what Python is to run. flags: more."""

    program: tuple[str, ...] = ("-m", "nodeagent.kubelet")
    flags: tuple[str, ...] = ()

    def __init__(
        self,
        machine: Machine,
        name: str = "node",
        kubeconfig: Path | None = None,
        bootstrap: Path | None = None,
        **config: Any,
    ) -> None:
        self.machine, self.name = machine, name
        self._kubeconfig, self._bootstrap = kubeconfig, bootstrap
        self._process: subprocess.Popen[bytes] | None = None
        self.manifests = machine.dir / "manifests"
        self.root = machine.dir / "kubelet"
        self.logs = machine.dir / "logs"
        self.output = machine.dir / "kubelet.log"
        self.manifests.mkdir(exist_ok=True)
        self._context = self._make_certificates()
        document = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "staticPodPath": str(self.manifests),
            "podLogsDir": str(self.logs / "pods"),
            "cgroupRoot": machine.cgroup,
            "containerRuntimeEndpoint": f"unix://{machine.socket}",
            "authentication": {"x509": {"clientCAFile": str(machine.dir / "client-ca.crt")}},
            # A test machine may be as full as it likes.
            "evictionHard": {"memory.available": "1Mi"},
            "failSwapOn": False,
            **config,
        }
        (machine.dir / "kubelet.yaml").write_text(yaml.safe_dump(document))

    def start(self, seconds: float = DEADLINE) -> None:
        """Start it; returns when its server answers, or at once when `seconds` is 0."""
        argv = [sys.executable, *self.program, *self.flags, f"--config={self.machine.dir}/kubelet.yaml"]
        argv += [f"--hostname-override={self.name}", f"--node-ip={self.machine.node_ip}", f"--root-dir={self.root}"]
        if self._kubeconfig is not None:
            argv.append(f"--kubeconfig={self._kubeconfig}")
        if self._bootstrap is not None:
            argv.append(f"--bootstrap-kubeconfig={self._bootstrap}")
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self.machine.command("env", f"PYTHONPATH={_SOURCE}", *argv), stdout=output, stderr=output
            )
        if seconds:
            eventually(lambda: self.get("/healthz") == b"ok", "the kubelet's server", seconds)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ended(self, seconds: float = DEADLINE) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its exit code."""
        if self._process is None or self._process.poll() is not None:
            return 0
        os.kill(self._process.pid, how)
        return self._process.wait(DEADLINE)

    def trust(self, cert: Path, key: Path) -> None:
        """Ask with this client certificate from now on."""
        self._context = _anonymous()
        self._context.load_cert_chain(cert, key)

    def get(self, path: str, *, credentials: bool = True, token: str = "", method: str = "GET") -> bytes:
        """Ask port 10250. Raises urllib.error.HTTPError for refusals."""
        context = self._context if credentials and not token else _anonymous()
        request = urllib.request.Request(f"https://{self.machine.node_ip}:10250{path}", method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            return bytes(answer.read())

    def refusal(self, path: str, *, credentials: bool = True, token: str = "") -> tuple[int, str]:
        """(status, body) of a request that is refused."""
        try:
            body = self.get(path, credentials=credentials, token=token)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        raise AssertionError(f"{path} was not refused but answered {body[:200]!r}")

    def pods(self) -> dict[str, dict[str, Any]]:
        """What the kubelet says of its pods, by name."""
        return {pod["metadata"]["name"]: pod for pod in json.loads(self.get("/pods"))["items"]}

    def container(self, pod: str, index: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.pods()[pod]["status"]["containerStatuses"][index]
        return found

    def running(self, pod: str, seconds: float = DEADLINE) -> dict[str, Any]:
        """The status of the pod's first container once it runs."""

        def look() -> dict[str, Any] | None:
            status = self.container(pod)
            return status if "running" in status["state"] else None

        found = eventually(look, f"running pod {pod}", seconds)
        assert found is not None
        return found

    def relists(self) -> int:
        """How often it has listed what the runtime has; in between it knows of ends by events alone."""
        (line,) = re.findall(r"(?m)^kubelet_pleg_relist_duration_seconds_count (\S+)$", self.get("/metrics").decode())
        return int(float(line))

    def restarted_by_event(self, pod: str) -> bool:
        """Kill the pod's first container, wait for the restart; whether no listing can have told of the end."""
        before, listed = self.container(pod), self.relists()
        self.machine.ctr("tasks", "kill", "-s", "KILL", before["containerID"].partition("://")[2])
        eventually(lambda: self.container(pod)["restartCount"] == before["restartCount"] + 1, f"the restart of {pod}")
        return self.relists() == listed

    def log(self, pod: str, query: str = "", container: str = "main", namespace: str = "default") -> str:
        return self.get(f"/containerLogs/{namespace}/{pod}/{container}{query}").decode()

    def static(self, name: str, spec: dict[str, Any], **metadata: Any) -> str:
        """Write a manifest; returns the pod's name as the kubelet calls it."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
        temporary = self.manifests / f".{name}"
        temporary.write_text(json.dumps(pod))
        temporary.rename(self.manifests / f"{name}.yaml")
        return f"{name}-{self.name}"

    def remove_static(self, name: str) -> None:
        (self.manifests / f"{name}.yaml").unlink()

    def _make_certificates(self) -> ssl.SSLContext:
        folder = self.machine.dir
        authority = Authority.create("test-client-ca")
        (folder / "client-ca.crt").write_bytes(authority.pair.cert_pem)
        pair = authority.issue("admin", orgs=("system:masters",), client=True)
        (folder / "admin.crt").write_bytes(pair.cert_pem)
        (folder / "admin.key").write_bytes(pair.key_pem)
        context = _anonymous()
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        return context


def _anonymous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def busybox(script: str, **more: Any) -> dict[str, Any]:
    """A container `main` that runs a shell script from the image that is there."""
    return {
        "name": "main",
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **more,
    }
