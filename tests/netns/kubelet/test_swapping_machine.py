"""A machine that swaps: the kubelet does not start on it unless it has been told that it may."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

SOURCE = Path(__file__).resolve().parents[3]
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/dev/vdb\tpartition\t1048572\t0\t-2\n"


def test_a_kubelet_that_was_not_told_of_swap_ends_and_says_why(tmp_path: Path) -> None:
    swaps, config = tmp_path / "swaps", tmp_path / "kubelet.yaml"
    swaps.write_text(SWAPS)
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{tmp_path}/nobody.sock",
    }
    config.write_text(yaml.safe_dump(document))
    # In a mount namespace of its own: /proc/swaps of everybody else stays.
    script = 'mount --make-rprivate / && mount --bind "$1" /proc/swaps && shift && exec "$@"'
    kubelet = [sys.executable, "-m", "nodeagent.kubelet", f"--config={config}", f"--root-dir={tmp_path}/root"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(swaps), *kubelet],
        cwd=SOURCE, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode not in (0, 32), done.stderr
    assert (
        "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false" in done.stderr
    )
    assert not (tmp_path / "root").exists(), "it has done nothing"
