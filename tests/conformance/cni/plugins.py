"""Calling a CNI plugin as a container runtime does."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.netns.cni.namespaces import Namespace


@dataclass(frozen=True)
class Answer:
    """How a plugin answered: exit code, and what it printed on stdout."""

    code: int
    text: str

    @property
    def value(self) -> Any:
        return json.loads(self.text)

    @property
    def result(self) -> Any:
        assert self.code == 0, self.text
        return self.value

    @property
    def error(self) -> Any:
        assert self.code != 0, f"no refusal: {self.text}"
        assert {"code", "msg"} <= self.value.keys(), self.text
        return self.value


@dataclass
class Plugins:
    """One implementation: the directory with its executables, and what they are called."""

    name: str
    directory: Path
    bridge: str
    host_local: str = "host-local"
    portmap: str = "portmap"
    loopback: str = "loopback"
    environment: dict[str, str] = field(default_factory=lambda: {"KUBELAB_CNI_SOCKET": ""})  # no agent

    def environment_in(self, node: Namespace | None) -> dict[str, str]:
        """What the runtime of that node adds to the environment."""
        return self.environment

    def call(
        self,
        executable: str,
        command: str | None,
        config: dict[str, Any] | str,
        *,
        node: Namespace | None = None,
        **environment: str,
    ) -> Answer:
        """Run it in `node`; environment: `container`, `netns`, `interface`, `args`; the usual ones are filled in."""
        env = {"PATH": os.environ["PATH"], "CNI_PATH": str(self.directory), **self.environment_in(node)}
        if command is not None:
            env["CNI_COMMAND"] = command
        given = {"container": "pod-1", "interface": "eth0", **environment}
        names = {"container": "CNI_CONTAINERID", "netns": "CNI_NETNS", "interface": "CNI_IFNAME", "args": "CNI_ARGS"}
        env |= {names[key]: value for key, value in given.items() if value}
        argv = [str(self.directory / executable)]
        if node is not None:
            argv = ["nsenter", f"--net={node.path}", *argv]
        data = config if isinstance(config, str) else json.dumps(config)
        done = subprocess.run(argv, input=data.encode(), env=env, capture_output=True, timeout=60)
        return Answer(done.returncode, done.stdout.decode())
