"""Mounts that are read-only all the way down (KEP-3857), and how a status tells of each mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containerd2.pods import ask, pod
from tests.netns.kubelet.agent import Kubelet
from tests.netns.kubelet.cluster import Cluster


@pytest.fixture
def shared(kubelet: Kubelet) -> Iterator[Path]:
    """A folder of the node with another file system in it."""
    folder = kubelet.machine.dir / "shared"
    (folder / "below").mkdir(parents=True, exist_ok=True)
    subprocess.run(kubelet.machine.command("mount", "-t", "tmpfs", "inside", str(folder / "below")), check=True)
    yield folder
    subprocess.run(kubelet.machine.command("umount", str(folder / "below")), check=True)


@pytest.mark.parametrize("users", [True, False])
def test_what_is_mounted_below(cluster: Cluster, kubelet: Kubelet, shared: Path, users: bool) -> None:
    volume = {"volume": {"hostPath": {"path": str(shared), "type": "Directory"}}}
    modes = {"/a": {}, "/b": {"recursiveReadOnly": "Disabled"}, "/c": {"recursiveReadOnly": "IfPossible"}}
    modes["/d"] = {"recursiveReadOnly": "Enabled"}
    mounts = {path: {**volume, "readOnly": True, **mode} for path, mode in modes.items()}
    cluster.apply(pod("deep", {**mounts, "/w": volume}, hostUsers=users))
    [status] = cluster.ready("deep")["status"]["containerStatuses"]
    shown = {mount["mountPath"]: mount for mount in status["volumeMounts"]}
    assert [shown[path]["recursiveReadOnly"] for path in mounts] == ["Disabled", "Disabled", "Enabled", "Enabled"]
    assert shown["/c"] == {"name": "v2", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "Enabled"}
    assert shown["/w"] == {"name": "v4", "mountPath": "/w"}
    for path in mounts:
        assert "Read-only file system" in ask(cluster, "deep", f"touch {path}/f")
    written = [
        path for path in (*mounts, "/w") if ask(cluster, "deep", f"touch {path}/below/f && echo made") == "made\n"
    ]
    assert written == ["/a", "/b", "/w"]
