"""What every call without an agent pays for, and what may call at all."""

import subprocess
import sys
from pathlib import Path

from nodeagent.cni import agent, install

ROOT = Path(install.__file__).parents[2]
# Each brings in tens of others, and an emulated machine takes a second for them.
DEAR = {"json", "re", "socket", "logging", "threading", "subprocess", "typing", "pathlib", "contextlib", "ipaddress"}


def test_a_plugin_imports_nothing_dear() -> None:
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    code = start + "from nodeagent.cni import main, bridge, portmap, bandwidth, spoofing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, check=True)
    assert DEAR & set(done.stdout.decode().split()) == set()


def test_the_agent_knows_every_plugin_that_is_installed() -> None:
    assert agent.PLUGINS.keys() == install.PLUGINS.keys()


def test_without_a_compiler_the_scripts_start_python_themselves(tmp_path: Path) -> None:
    install.install(tmp_path, Path("/usr/bin/python3"), ROOT)
    assert {path.name for path in tmp_path.iterdir()} == install.PLUGINS.keys()
    assert (tmp_path / "loopback").read_text().startswith("#!/usr/bin/python3 -IS\n")


def test_with_one_they_start_the_executable(tmp_path: Path) -> None:
    client = install.compile_client()
    assert client is not None and client.startswith(b"\x7fELF")
    assert len(install.install(tmp_path, Path("/usr/bin/python3"), ROOT, client)) == len(install.PLUGINS) + 1
    assert install.install(tmp_path, Path("/usr/bin/python3"), ROOT, client) == []
    assert (tmp_path / "loopback").read_text().startswith(f"#!{tmp_path}/kubelab-cni /usr/bin/python3\n")
