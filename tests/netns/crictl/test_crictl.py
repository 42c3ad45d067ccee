"""crictl's commands against a real containerd: what is printed, and what became of it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.netns.crictl.conftest import Crictl, Web, container_config, pod_config


def test_ps_is_upstreams_table(crictl: Crictl, web: Web) -> None:
    head, row = crictl.out("ps").splitlines()
    assert head.split() == [
        "CONTAINER",
        "IMAGE",
        "CREATED",
        "STATE",
        "NAME",
        "ATTEMPT",
        "POD",
        "ID",
        "POD",
        "NAMESPACE",
    ]
    assert head.startswith("CONTAINER           IMAGE                              CREATED             ")
    columns = re.split(r"\s{2,}", row)
    assert columns[0] == web.container[:13] and columns[1] == "docker.io/library/busybox:latest"
    assert columns[2].endswith(" ago") and columns[3:6] == ["Running", "main", "0"]
    assert columns[6:] == [web.pod[:13], "web", "default"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--name", "ma.n"], True),
        (["--name=other"], False),
        (["--state", "exited"], False),
        (["--state=Running"], True),
        (["-aq"], True),
        (["-l"], True),
        (["-n", "1"], True),
        (["--label", "io.kubernetes.pod.name=web"], True),
        (["--label", "io.kubernetes.pod.name=db"], False),
        (["--namespace", "^kube"], False),
        (["--image", "busybox"], True),
        (["--image", "registry.k8s.io/pause:3.10"], False),
    ],
)
def test_ps_filters(crictl: Crictl, web: Web, flags: list[str], found: bool) -> None:
    assert crictl.out("ps", "-q", *flags).split() == ([web.container] if found else [])


def test_ps_by_pod_and_id_prefix(crictl: Crictl, web: Web) -> None:
    assert crictl.out("ps", "-q", "-p", web.pod[:10]).split() == [web.container]
    assert crictl.out("ps", "-q", "--id", web.container[:6]).split() == [web.container]


def test_ps_as_json_and_yaml(crictl: Crictl, web: Web) -> None:
    (found,) = crictl.json("ps")["containers"]
    assert found["id"] == web.container and found["podSandboxId"] == web.pod
    assert found["state"] == "CONTAINER_RUNNING" and found["metadata"] == {"name": "main", "attempt": 0}
    assert found["createdAt"].isdecimal() and found["annotations"] == {}
    text = crictl.out("ps", "-o", "yaml")
    assert f"  id: {web.container}\n" in text and 'createdAt: "1' in text


def test_pods(crictl: Crictl, web: Web) -> None:
    head, row = crictl.out("pods").splitlines()
    assert head.split() == ["POD", "ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT", "RUNTIME"]
    assert re.split(r"\s{2,}", row)[2:] == ["Ready", "web", "default", "1", "(default)"]
    assert crictl.out("pods", "-q", "--state", "ready", "--name", "^web$").split() == [web.pod]
    assert crictl.out("pods", "-q", "--state", "notready") == ""
    assert "Status: Ready" in crictl.out("pods", "-v") and "\tapp -> web" in crictl.out("pods", "-v")


def test_inspect(crictl: Crictl, web: Web) -> None:
    found = json.loads(crictl.out("inspect", web.container[:8]))
    assert found["status"]["state"] == "CONTAINER_RUNNING" and found["info"]["pid"] > 1
    assert found["status"]["createdAt"].startswith("20") and found["status"]["finishedAt"] == "0001-01-01T00:00:00Z"
    assert found["status"]["logPath"] == str(web.folder / "logs" / "main.0.log")
    assert "info" not in json.loads(crictl.out("inspect", "-q", web.container))
    pid = crictl.out("inspect", "-o", "go-template", "--template", "{{.info.pid}}", web.container)
    assert int(pid) == found["info"]["pid"]
    assert "State: CONTAINER_RUNNING" in crictl.out("inspect", "-o", "table", web.container)


def test_inspectp(crictl: Crictl, web: Web) -> None:
    found = json.loads(crictl.out("inspectp", web.pod))
    assert found["status"]["network"]["ip"].startswith("10.198.")
    assert found["status"]["metadata"] == {"attempt": 1, "name": "web", "namespace": "default", "uid": "uid-web"}
    assert "runtimeSpec" in found["info"]


def test_images(crictl: Crictl) -> None:
    head, *rows = crictl.out("images").splitlines()
    assert head.split() == ["IMAGE", "TAG", "IMAGE", "ID", "SIZE"]
    names = [re.split(r"\s{2,}", row) for row in rows]
    assert [row[:2] for row in names] == [["docker.io/library/busybox", "latest"], ["registry.k8s.io/pause", "3.10"]]
    assert re.fullmatch(r"[0-9a-f]{13}", names[0][2]) and re.fullmatch(r"[\d.]+[kM]B", names[0][3])
    # containerd passes over the name to filter by, so the flag of crictl's own does it.
    whole = crictl.out("images", "-q", "--filter", "reference=busybox").strip()
    assert whole.startswith("sha256:") and whole[7:20] == names[0][2]
    assert "DIGEST" in crictl.out("images", "--digests")
    status = json.loads(crictl.out("inspecti", "busybox"))["status"]
    assert status["repoTags"] == ["docker.io/library/busybox:latest"] and status["id"] == whole


def test_version_info_and_filesystems(crictl: Crictl) -> None:
    version = crictl.out("version")
    assert "RuntimeName:  containerd\n" in version and "RuntimeApiVersion:  v1\n" in version
    info = json.loads(crictl.out("info"))
    assert {each["type"] for each in info["status"]["conditions"]} >= {"RuntimeReady", "NetworkReady"}
    assert info["config"]["containerd"]["defaultRuntimeName"] == "runc"
    found = json.loads(crictl.out("imagefsinfo"))["status"]["imageFilesystems"]
    assert found[0]["fsId"]["mountpoint"].endswith("overlayfs")


def test_logs(crictl: Crictl, web: Web) -> None:
    done = crictl.run("logs", web.container)
    assert done.stdout == "out\n" and done.stderr == "err\n"
    assert crictl.out("logs", "--tail=0", web.container) == ""
    assert re.match(r"\d{4}-\d\d-\d\dT\S+ out\n", crictl.out("logs", "-t", web.container))
    assert crictl.out("logs", "--since=1h", web.container) == "out\n"
    assert crictl.out("logs", "--since=1ms", web.container) == ""
    # Which of its two lines a container wrote first is its own affair.
    limited = crictl.run("logs", "--limit-bytes=2", web.container)
    assert limited.stdout + limited.stderr in ("ou", "er")
    assert "previous terminated container main not found" in crictl.run("logs", "-p", web.container, code=1).stderr


def test_a_followed_log_ends_with_its_container(crictl: Crictl, web: Web) -> None:
    script = "i=0; while [ $i -lt 8 ]; do echo $i; i=$((i+1)); sleep 0.2; done"
    file = container_config(web.folder, "counter", script)
    container = crictl.out("create", web.pod, str(file), str(web.folder / "web.json")).strip()
    crictl.run("start", container)
    assert crictl.out("logs", "-f", container).split() == [str(number) for number in range(8)]
    assert crictl.out("ps", "-q", "--state", "exited").split() == [container]
    log = web.folder / "logs" / "counter.0.log"
    assert log.exists()
    assert crictl.out("rm", container).strip() == container and not log.exists()


def test_exec(crictl: Crictl, web: Web) -> None:
    done = crictl.run("exec", web.container, "sh", "-c", "echo one; echo two >&2")
    assert (done.stdout, done.stderr) == ("one\n", "two\n")
    failed = crictl.run("exec", web.container, "sh", "-c", "exit 3", code=1)
    assert f"execing command in container {web.container}: command terminated with exit code 3" in failed.stderr
    echoed = crictl.run("exec", "-i", web.container, "cat", input=b"through\n" * 20000)
    assert echoed.stdout == "through\n" * 20000
    assert crictl.out("exec", "-s", web.container, "echo", "-n", "x") == "x\n\n"
    named = crictl.out("exec", web.container, "hostname")
    assert crictl.out("exec", "--name", "main", "hostname") == f"{web.container}:\n{named}"
    missing = crictl.run("exec", web.container, "/no/such", code=1).stderr
    assert "/no/such" in missing and "no such file or directory" in missing


def test_exec_with_a_terminal(crictl: Crictl, web: Web) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    process = subprocess.Popen(crictl.argv("exec", "-it", web.container, "sh"), stdin=slave, stdout=slave, stderr=slave)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 120
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 4096)

    until(b"# ")
    os.write(master, b"stty size; tty\r")
    until(b"33 77")
    until(b"/dev/pts/")
    os.write(master, b"exit 5\r")
    assert process.wait(120) == 1
    until(b"command terminated with exit code 5")
    os.close(master)
    os.close(slave)


def test_port_forward(crictl: Crictl, web: Web) -> None:
    process = subprocess.Popen(crictl.argv("port-forward", web.pod, ":8080"), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 8080\n", line)
        assert port is not None, line
        ask = "wget -q -O - http://127.0.0.1:{}/hostname"
        for _ in range(3):
            done = subprocess.run(
                crictl.machine.command("/bin/busybox", "timeout", "60", "/bin/busybox", *ask.format(port[1]).split()),
                capture_output=True,
                text=True,
            )
            assert done.stdout.strip(), done.stderr
    finally:
        process.terminate()
        process.wait(120)


def test_stats(crictl: Crictl, web: Web) -> None:
    text = crictl.out("stats").removeprefix("\x1b[2J\x1b[H")
    head, row = text.splitlines()
    assert head.split() == ["CONTAINER", "NAME", "CPU", "%", "MEM", "DISK", "INODES", "SWAP"]
    columns = re.split(r"\s{2,}", row)
    assert columns[:2] == [web.container[:13], "main"] and float(columns[2]) >= 0 and columns[3].endswith("B")
    (found,) = crictl.json("stats", web.container)["stats"]
    assert int(found["memory"]["workingSetBytes"]["value"]) > 0


def test_pod_stats(crictl: Crictl, web: Web) -> None:
    (found,) = crictl.json("statsp", web.pod)["stats"]
    assert found["attributes"]["metadata"]["name"] == "web" and int(
        found["linux"]["memory"]["workingSetBytes"]["value"]
    )
    head, row = crictl.out("statsp").removeprefix("\x1b[2J\x1b[H").splitlines()
    assert re.split(r"\s{2,}", head) == ["POD", "POD ID", "CPU %", "MEM"]
    assert re.split(r"\s{2,}", row)[:2] == ["web", web.pod[:13]]


def test_attach_and_update(crictl: Crictl, web: Web) -> None:
    config = container_config(web.folder, "reader", "read line; echo got $line; sleep 1", stdin=True, stdin_once=True)
    container = crictl.out("create", web.pod, str(config), str(web.folder / "web.json")).strip()
    crictl.run("start", container)
    assert crictl.out("update", "--cpu-quota", "20000", "--cpu-period", "100000", container).strip() == container
    spec = json.loads(crictl.out("inspect", container))
    assert spec["status"]["metadata"]["name"] == "reader"
    attached = crictl.run("attach", "-i", container, input=b"a line\n")
    assert attached.stdout == "got a line\n"
    assert crictl.out("logs", container) == "got a line\n"
    crictl.run("rm", "-f", container)


def test_input_from_a_file(crictl: Crictl, web: Web, tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"0123456789" * 10_000)
    with file.open("rb") as stdin:
        done = subprocess.run(crictl.argv("exec", "-i", web.container, "wc", "-c"), stdin=stdin, capture_output=True)
    assert done.stdout == b"100000\n", done.stderr


def test_run_stop_and_remove(crictl: Crictl) -> None:
    folder = crictl.machine.dir / "other"
    (folder / "logs").mkdir(parents=True)
    pod_file = pod_config(folder, "other", crictl.machine.cgroup)
    file = container_config(folder, "sleeper", "trap 'exit 7' TERM; while :; do sleep 0.1; done")
    container = crictl.out("run", "--no-pull", str(file), str(pod_file)).split()[-1]
    pod = crictl.out("pods", "-q", "--name", "^other$").strip()
    running = crictl.run("rm", container, code=1).stderr
    assert f'container \\"{container}\\" is running, please stop it first' in running
    assert crictl.out("stop", "-t", "5", container).strip() == container
    assert json.loads(crictl.out("inspect", container))["status"]["exitCode"] == 7
    assert crictl.out("stopp", pod) == f"Stopped sandbox {pod}\n"
    assert crictl.out("rmp", pod) == f"Removed sandbox {pod}\n"
    assert crictl.out("ps", "-aq", "--name", "sleeper") == ""


def test_a_pod_from_yaml(crictl: Crictl, tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("metadata: {name: yam, namespace: default}\nlinux: {}\n")
    done = crictl.run("runp", str(file))
    assert "cgroup_parent is not set" in done.stderr
    assert f"Removed sandbox {done.stdout.strip()}" in crictl.out("rmp", "-f", done.stdout.strip())


def test_an_image_is_removed_by_name(crictl: Crictl) -> None:
    crictl.machine.ctr("images", "tag", "docker.io/library/busybox:latest", "docker.io/library/extra:1")
    deadline = time.monotonic() + 120
    while "library/extra" not in crictl.out("images"):
        assert time.monotonic() < deadline
    assert "Deleted: docker.io/library/extra:1" in crictl.out("rmi", "docker.io/library/extra:1")
    assert "no such image nowhere" in crictl.run("rmi", "nowhere", code=1).stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["inspect", "nothere"], "get the status of containers: get container status: rpc error: code = NotFound"),
        (["inspectp", "nothere"], "get the status of pod sandboxes: get pod sandbox status: rpc error: code = NotF"),
        (["logs", "nothere"], "rpc error: code = NotFound desc = an error occurred when try to find container"),
        (["start", "nothere"], 'starting the container \\"nothere\\": rpc error: code = NotFound'),
        (["ps", "--state", "odd"], "--state should be one of created, running, exited or unknown"),
        (["exec", "nothere", "ls"], "execing command in container nothere: rpc error: code = NotFound"),
        (["pull", "localhost:1/none/such:1"], "pulling image: rpc error"),
    ],
)  # fmt: skip
def test_complaints(crictl: Crictl, words: list[str], sentence: str) -> None:
    told = crictl.run(*words, code=1).stderr
    assert sentence in told and "level=fatal" in told


def test_a_failed_call_is_logged_as_klog_does(crictl: Crictl) -> None:
    first = crictl.run("inspect", "nothere", code=1).stderr.splitlines()[0]
    assert re.match(
        r'E\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ log\.go:32\] "ContainerStatus from runtime service failed" err="rpc error: '
        r'code = NotFound desc = .*" containerID="nothere"$',
        first,
    )


def test_no_runtime(crictl: Crictl) -> None:
    told = crictl.run("-r", "unix:///run/none.sock", "ps", code=1).stderr
    assert (
        'validate service connection: validate CRI v1 runtime API for endpoint \\"unix:///run/none.sock\\": rpc error: '
        "code = Unavailable desc = connection error" in told
    )


def test_a_runtime_that_says_nothing_is_not_waited_for(crictl: Crictl, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        began = time.monotonic()
        told = crictl.run("-r", f"unix://{path}", "-t", "1s", "pods", code=1).stderr
        assert "code = DeadlineExceeded desc = context deadline exceeded" in told and time.monotonic() - began < 60
