"""kube-proxy as a node starts it answers the plugins, whether or not there is an API server."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cni.agents import AgentPlugins
from tests.netns.cni.namespaces import Namespace, eventually

# Nobody listens on port 1.
_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: proxy, user: {}}]
contexts: [{name: proxy, context: {cluster: lab, user: proxy}}]
current-context: proxy
"""


@pytest.fixture
def plugins(tmp_path: Path) -> AgentPlugins:
    return AgentPlugins(tmp_path, own_agents=False)


@pytest.fixture
def proxy(plugins: AgentPlugins, node: Namespace, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = tmp_path / "proxy.conf"
    config.write_text(_KUBECONFIG)
    process = subprocess.Popen([
        "nsenter", f"--net={node.path}", sys.executable, "-m", "nodeagent.kube_proxy", f"--kubeconfig={config}",
        "--hostname-override=node-1", "--cluster-cidr=10.99.0.0/16", "--cni-conf-dir=",
        f"--cni-socket={plugins.socket(node)}",
    ])  # fmt: skip
    eventually("its socket", plugins.socket(node).exists)
    yield process
    process.kill()
    process.wait()


def test_a_pod_is_attached_by_kube_proxy_while_the_api_is_away(
    plugins: AgentPlugins, proxy: subprocess.Popen[bytes], config: dict[str, Any], node: Namespace, pod: Namespace
) -> None:
    def call(command: str) -> int:
        return plugins.call(plugins.bridge, command, config, node=node, netns=str(pod.path)).code

    assert (call("ADD"), call("DEL")) == (0, 0)
    assert plugins.scripts() == []
    proxy.terminate()
    assert proxy.wait(timeout=120) == 0
    assert not plugins.socket(node).exists()
    assert call("ADD") == 0
    assert plugins.scripts() == ["ADD none"]
