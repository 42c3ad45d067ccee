"""What the kubelet says of itself to the kernel, before anything of it is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SAYS = """
import resource, sys
from nodeagent.kubelet import main
def limits(_):
    print(open("/proc/self/oom_score_adj").read().strip(), *resource.getrlimit(resource.RLIMIT_NOFILE))
    return 0
main.run_daemon = limits
sys.exit(main.main(sys.argv[1:]))
"""


def test_the_score_and_the_open_files_are_the_configurations(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    lines = ("apiVersion: kubelet.config.k8s.io/v1beta1", "kind: KubeletConfiguration", "maxOpenFiles: 700")
    file.write_text("\n".join(lines))
    command = [sys.executable, "-c", _SAYS, f"--config={file}", "--oom-score-adj=600"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["600", "700", "700"]


def test_its_version_is_told() -> None:
    command = [sys.executable, "-m", "nodeagent.kubelet", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "Kubernetes v1.32.0\n"


def test_without_a_runtime_it_ends_and_says_where_it_looked(tmp_path: Path) -> None:
    file, nobody = tmp_path / "config.yaml", tmp_path / "containerd.sock"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n")
    flags = [f"--config={file}", f"--root-dir={tmp_path}", f"--container-runtime-endpoint=unix://{nobody}"]
    command = [sys.executable, "-m", "nodeagent.kubelet", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    dial = f"dial unix {nobody}: connect: no such file or directory"
    assert done.stderr.splitlines()[-1].partition("] ")[2] == (
        '"command failed" err="failed to run Kubelet: validate service connection: validate CRI v1 runtime API for '
        rf"endpoint \"unix://{nobody}\": rpc error: code = Unavailable desc = connection error: desc = "
        rf'\"transport: Error while dialing: {dial}\""'
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_what_is_wrong_with_its_file_is_logged_as_upstream_logs_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: many\n")
    command = [sys.executable, "-m", "nodeagent.kubelet", f"--config={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    [line] = done.stderr.splitlines()
    assert line[0] == "E" and done.returncode == 1
    assert line.partition("] ")[2] == (
        f'"command failed" err="failed to load kubelet config file, path: {file}, error: failed to load Kubelet config '
        f"file {file}, error failed to decode: json: cannot unmarshal string into Go struct field "
        'KubeletConfiguration.maxPods of type int32"'
    )
