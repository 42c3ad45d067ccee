"""The plugins under test, and a machine with pods for them to attach."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cni import install
from tests.conformance.cni.agents import AgentPlugins
from tests.conformance.cni.plugins import Plugins
from tests.netns.cni.namespaces import Namespace

REFERENCE = Path("/usr/lib/cni")  # Debian's containernetworking-plugins


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Plugins:
    directory = tmp_path_factory.mktemp("bin")
    assert install.main([str(directory), "--python", sys.executable]) == 0
    return Plugins("kubelab", directory, "kubelab-bridge")


@pytest.fixture(scope="session")
def reference() -> Plugins:
    assert (REFERENCE / "bridge").exists(), "install containernetworking-plugins"
    return Plugins("reference", REFERENCE, "bridge")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Plugins]:
    """Ours, asking an agent; fails when a call was carried out without it."""
    plugins = AgentPlugins(tmp_path)
    yield plugins
    plugins.stop()
    assert plugins.scripts() == []


@pytest.fixture(params=["ours", "agent", "reference"])
def plugins(request: pytest.FixtureRequest) -> Plugins:
    return request.getfixturevalue(request.param)


@pytest.fixture
def make() -> Iterator[Callable[[str], Namespace]]:
    made: list[Namespace] = []

    def one(what: str) -> Namespace:
        made.append(Namespace(what))
        return made[-1]

    yield one
    for namespace in made:
        namespace.delete()


@pytest.fixture
def node(make: Callable[[str], Namespace]) -> Namespace:
    return make("node")


@pytest.fixture
def pod(make: Callable[[str], Namespace]) -> Namespace:
    return make("pod")


@pytest.fixture
def ipam(tmp_path: Path) -> dict[str, Any]:
    return {"type": "host-local", "dataDir": str(tmp_path / "leases"), "ranges": [[{"subnet": "10.99.1.0/24"}]]}


@pytest.fixture
def config(plugins: Plugins, ipam: dict[str, Any]) -> dict[str, Any]:
    """A network as a lab's node has it."""
    return {
        "cniVersion": "1.0.0",
        "name": "kubelab",
        "type": plugins.bridge,
        "bridge": "cni0",
        "isDefaultGateway": True,
        "forceAddress": True,
        "hairpinMode": True,
        "mtu": 1400,
        "ipam": ipam,
    }


@pytest.fixture
def leases(ipam: dict[str, Any]) -> Callable[[], dict[str, str]]:
    """The lease files by address."""
    directory = Path(ipam["dataDir"], "kubelab")

    def read() -> dict[str, str]:
        if not directory.exists():
            return {}
        files = (path for path in directory.iterdir() if path.name[0].isdigit())
        return {path.name: path.read_bytes().decode() for path in files}

    return read
