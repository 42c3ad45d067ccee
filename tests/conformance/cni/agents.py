"""Our plugins as they are on a node: kubelab-cni in front, an agent in each node."""

import subprocess
import sys
import threading
from pathlib import Path

from nodeagent.cni import install
from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace, eventually

# Stands for the interpreter of the scripts: tells that one was started, and for what.
_TELLING = """\
#!/bin/sh
[ -z "$CNI_COMMAND" ] || echo "$CNI_COMMAND $KUBELAB_CNI_AGENT" >> {log}
exec {python} "$@"
"""


class Agent:
    """The agent as a process of its own, in a node."""

    def __init__(self, socket: Path, node: Namespace | None) -> None:
        enter = ["nsenter", f"--net={node.path}"] if node else []
        before = socket.stat().st_ino if socket.exists() else None
        self.process = subprocess.Popen([*enter, sys.executable, "-m", "nodeagent.cni.agent", str(socket)])
        eventually("the agent's socket", lambda: socket.exists() and socket.stat().st_ino != before)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class AgentPlugins(Plugins):
    """Executables in `directory`/bin. own_agents: start an agent in each node that is called in."""

    def __init__(self, directory: Path, own_agents: bool = True) -> None:
        super().__init__("kubelab, agent", directory / "bin", "kubelab-bridge")
        self._log, self._agents = directory / "scripts.log", dict[str, Agent]()
        self._own_agents, self._starting = own_agents, threading.Lock()
        telling = directory / "python"
        telling.write_text(_TELLING.format(log=self._log, python=Path(sys.executable).resolve()))
        telling.chmod(0o755)
        assert install.main([str(self.directory), "--python", str(telling)]) == 0

    def socket(self, node: Namespace | None) -> Path:
        return self.directory.parent / f"{node.name if node else 'here'}.sock"

    def environment_in(self, node: Namespace | None) -> dict[str, str]:
        if self._own_agents:
            self.agent(node)
        return {"KUBELAB_CNI_SOCKET": str(self.socket(node))}

    def agent(self, node: Namespace | None) -> Agent:
        """The node's agent, started when there is none yet."""
        name = node.name if node else ""
        with self._starting:
            if name not in self._agents:
                self._agents[name] = Agent(self.socket(node), node)
            return self._agents[name]

    def restart(self, node: Namespace | None) -> None:
        del self._agents[node.name if node else ""]
        self.agent(node)

    def scripts(self) -> list[str]:
        """The calls for which an interpreter was started: command, and what became of it at the agent."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def stop(self) -> None:
        for agent in self._agents.values():
            if agent.process.poll() is None:
                agent.stop()
