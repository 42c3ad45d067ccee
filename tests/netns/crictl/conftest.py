"""A real containerd, and crictl as the provisioner starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet.machine import Machine

_SOURCE = Path(__file__).resolve().parents[3]
_PROGRAM = "import sys; sys.path.insert(0, {!r}); from nodeagent.crictl.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class Crictl:
    """crictl on a machine, in its network."""

    machine: Machine

    def argv(self, *words: str) -> list[str]:
        config = str(self.machine.dir / "crictl.yaml")
        program = _PROGRAM.format(str(_SOURCE))
        return self.machine.command(sys.executable, "-IS", "-c", program, f"--config={config}", *words)

    def run(self, *words: str, input: bytes | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it; raises AssertionError with its output when it ends with another code."""
        done = subprocess.run(self.argv(*words), input=input, capture_output=True, timeout=120)
        text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert text.returncode == code, f"crictl {' '.join(words)}: {text.returncode}\n{text.stdout}\n{text.stderr}"
        return text

    def out(self, *words: str) -> str:
        return self.run(*words).stdout

    def json(self, *words: str) -> Any:
        """What a command says with `-o json`; flags come before arguments."""
        return json.loads(self.out(words[0], "-o", "json", *words[1:]))


@pytest.fixture(scope="session")
def crictl() -> Iterator[Crictl]:
    node = Machine("crictl")
    try:
        node.start()
        (node.dir / "crictl.yaml").write_text(
            f"# as the provisioner writes it\nruntime-endpoint: unix://{node.socket}\n"
            f"image-endpoint: unix://{node.socket}\ntimeout: 30\ndebug: false\n"
        )
        yield Crictl(node)
    finally:
        node.stop()


def pod_config(folder: Path, name: str, cgroup: str, **more: Any) -> Path:
    """A pod-config file."""
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "attempt": 1}
    labels = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default", "app": name}
    document = {"metadata": metadata, "log_directory": str(folder / "logs"), "labels": labels, **more}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**document, "linux": {"cgroup_parent": f"{cgroup}/{name}"}}))
    return path


def container_config(folder: Path, name: str, script: str, **more: Any) -> Path:
    """A container-config file."""
    document = {
        "metadata": {"name": name},
        "image": {"image": "docker.io/library/busybox:latest"},
        "command": ["sh", "-c", script],
        "log_path": f"{name}.0.log",
        "labels": {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default"},
        "linux": {},
        **more,
    }
    path = folder / f"{name}-container.json"
    path.write_text(json.dumps(document))
    return path


@dataclass(frozen=True, slots=True)
class Web:
    """A running pod with one container."""

    pod: str
    container: str
    folder: Path


@pytest.fixture(scope="session")
def web(crictl: Crictl) -> Web:
    folder = crictl.machine.dir / "web"
    (folder / "logs").mkdir(parents=True)
    pod_file = pod_config(folder, "web", crictl.machine.cgroup)
    pod = crictl.out("runp", str(pod_file)).strip()
    script = "echo out; echo err >&2; httpd -p 8080 -h /etc; trap 'exit 7' TERM; while :; do sleep 0.1; done"
    container = crictl.out("create", pod, str(container_config(folder, "main", script)), str(pod_file)).strip()
    assert crictl.out("start", container).strip() == container
    log, deadline = folder / "logs" / "main.0.log", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") == 2):
        assert time.monotonic() < deadline, "its two lines"
        time.sleep(0.05)
    return Web(pod, container, folder)
