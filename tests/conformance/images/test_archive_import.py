"""A real containerd takes our archives under their names, with the digests that we computed."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.images.containers import OciImage


@pytest.fixture
def ctr(tmp_path: Path) -> Iterator[list[str]]:
    """The client's command line for a containerd of its own; it ends with the test."""
    socket = tmp_path / "c.sock"
    config = tmp_path / "config.toml"
    config.write_text(
        "version = 2\n"
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'root = "{tmp_path}/root"\nstate = "{tmp_path}/state"\n'
        f'[grpc]\n  address = "{socket}"\n[ttrpc]\n  address = "{socket}.ttrpc"\n'
        f'[plugins."io.containerd.internal.v1.opt"]\n  path = "{tmp_path}/opt"\n'
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(["containerd", "--config", config], stdout=output, stderr=output)
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io"]
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([*command, "version"], capture_output=True, check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"containerd did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield command
    finally:
        daemon.terminate()
        daemon.wait(30)


def test_containerd_imports_and_unpacks_our_archive(ctr: list[str], pause_image: OciImage) -> None:
    subprocess.run([*ctr, "images", "import", pause_image.archive], check=True, capture_output=True)
    listing = subprocess.run([*ctr, "images", "list"], check=True, capture_output=True, text=True).stdout
    row = next(line for line in listing.splitlines() if line.startswith("registry.k8s.io/pause:3.10 "))
    assert pause_image.digest in row
    assert "linux/amd64" in row
    checked = subprocess.run([*ctr, "images", "check"], check=True, capture_output=True, text=True).stdout
    assert "complete" in checked
    snapshots = subprocess.run([*ctr, "snapshots", "list"], check=True, capture_output=True, text=True).stdout
    assert "Committed" in snapshots
