"""exec, attach, run, cp and debug: stock kubectl and other clients' WebSockets, through our API server to real pods."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import websocket

from apimachinery.client.config import load_kubeconfig
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.streams.kubectl import PODS, TRANSPORTS, run, terminal

# As upstream, the server begins with an empty message, for clients that wait for one. A slow kubectl reads it before it
# has made its streams, says so, and loses nothing.
_UNKNOWN = re.compile(rb"^E.* Unknown stream id 1, discarding message\n", re.MULTILINE)


@TRANSPORTS
def test_exec(cluster: Cluster, web: dict[str, Any], environment: dict[str, str]) -> None:
    def execute(*argv: str, data: bytes | None = None, stdin: bool = False) -> tuple[int, bytes, bytes]:
        flags = ["-i"] if stdin else []
        done = run(cluster, "exec", *flags, "web", "-c", "main", "--", *argv, environment=environment, data=data)
        return done.returncode, done.stdout, _UNKNOWN.sub(b"", done.stderr)

    assert execute("sh", "-c", "echo o; echo e >&2") == (0, b"o\n", b"e\n")
    code, _, told = execute("sh", "-c", "exit 42")
    assert (code, told) == (42, b"command terminated with exit code 42\n")
    payload = os.urandom(5_000_000)
    assert execute("cat", data=payload, stdin=True) == (0, payload, b"")
    assert execute("wc", "-c", data=b"", stdin=True) == (0, b"0\n", b"")
    code, _, told = execute("nosuch")
    assert code == 126 or code == 1
    assert b"executable file not found" in told
    code, out, _ = execute("sh", "-c", "cat > /dev/null; echo ended", data=b"x" * 100_000, stdin=True)
    assert (code, out) == (0, b"ended\n"), "the end of stdin reaches the process"
    long = "a" * 100_000
    assert execute("echo", long) == (0, f"{long}\n".encode(), b""), "the command goes in the address, all the way"


def test_which_protocol_kubectl_ends_up_with(cluster: Cluster, web: dict[str, Any]) -> None:
    told = run(cluster, "exec", "-v=8", "web", "-c", "main", "--", "true").stderr
    assert b"101 Switching Protocols" in told and b"v5.channel.k8s.io" in told and b"SPDY" not in told


@TRANSPORTS
def test_refusals(cluster: Cluster, web: dict[str, Any], environment: dict[str, str]) -> None:
    def told(*argv: str) -> str:
        done = run(cluster, *argv, environment=environment)
        assert done.returncode == 1
        return done.stderr.decode()

    assert 'pods "nobody" not found' in told("exec", "nobody", "--", "true")
    assert "container x is not valid for pod web" in told("exec", "web", "-c", "x", "--", "true")
    assert "container x is not valid for pod web" in told("logs", "web", "-c", "x")
    listed = "a container name must be specified for pod web, choose one of: [main side]"
    query = f"{PODS}/web/log"
    assert listed in told("get", "--raw", query)


def test_exec_into_a_container_that_has_ended(cluster: Cluster, kubelet: Kubelet) -> None:
    spec = {"containers": [busybox("echo done")], "restartPolicy": "Never"}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ended"}, "spec": spec})
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ended", "--timeout=120s")
    # kubectl itself refuses a completed pod; the server's word is asked for directly.
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(cluster, f"{PODS}/ended/exec?command=true&stdout=true", ["v4.channel.k8s.io"])
    assert refused.value.status_code == 500 and 'container not found ("main")' in str(refused.value)
    channel = connect(cluster, f"{PODS}/ended/exec?command=true&stdout=true", ["v5.channel.k8s.io"])
    told = json.loads(frames(channel)[3])
    message = 'Internal error occurred: unable to upgrade connection: container not found ("main")'
    assert (told["code"], told["message"]) == (500, message)


@TRANSPORTS
def test_a_shell_on_a_terminal(cluster: Cluster, web: dict[str, Any], environment: dict[str, str]) -> None:
    with terminal(cluster, "exec", "-it", "web", "-c", "main", "--", "sh", environment=environment) as shell:
        shell.until("# ")
        shell.resize(41, 123)

        def size() -> tuple[str, ...]:
            return shell.ask("stty size\n", r"(\d+) (\d+)\r\n").groups()

        eventually(lambda: size() == ("41", "123"), "the new size")
        shell.type("tty; echo $((6*7))\n")
        shell.until(r"/dev/pts/\d+\r\n42\r\n")
        shell.type("sleep 1000\n")
        shell.until("sleep 1000\r\n")

        eventually(lambda: shell.ask("\x03", "# "), "the prompt")
        shell.type("exit 7\n")
        assert shell.wait() == 7


# --- the WebSocket protocols, as other clients speak them


def connect(cluster: Cluster, path: str, protocols: list[str]) -> websocket.WebSocket:
    config = load_kubeconfig(cluster.admin)
    channel = websocket.WebSocket(sslopt={"context": config.ssl_context()})
    channel.settimeout(60)
    url = f"{cluster.server.replace('https', 'wss')}{path}"
    channel.connect(url, subprotocols=protocols)
    return channel


def transport(channel: websocket.WebSocket) -> socket.socket:
    assert channel.sock is not None
    return channel.sock


def frames(channel: websocket.WebSocket) -> dict[int, bytes]:
    """What came on each channel until the connection's end; base64 forms name the channel by a digit."""
    found: dict[int, bytes] = {}
    while True:
        code, data = channel.recv_data()
        if code == websocket.ABNF.OPCODE_CLOSE:
            return found
        number, payload = data[0], data[1:]
        if "base64" in (channel.getsubprotocol() or ""):
            number, payload = int(chr(number)), base64.b64decode(payload)
        found[number] = found.get(number, b"") + payload


EXEC = f"{PODS}/web/exec?" + urllib.parse.urlencode(
    [("container", "main"), ("stdin", "1"), ("stdout", "1"), ("stderr", "1"), ("command", "sh")]
)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
def test_the_channels(cluster: Cluster, web: dict[str, Any], protocol: str) -> None:
    channel = connect(cluster, EXEC, [protocol])
    assert channel.getsubprotocol() == protocol
    script = b"echo o; echo e >&2; exit 3\n"
    if "base64" in protocol:
        channel.send("0" + base64.b64encode(script).decode())
    else:
        channel.send_binary(b"\0" + script)
    found = frames(channel)
    assert (found[1], found[2]) == (b"o\n", b"e\n")
    told = json.loads(found[3])
    assert told["reason"] == "NonZeroExitCode" and told["details"]["causes"][0]["message"] == "3"


@pytest.mark.parametrize("protocol", ["binary.k8s.io", "base64.binary.k8s.io"])
def test_a_log(cluster: Cluster, web: dict[str, Any], protocol: str) -> None:
    eventually(lambda: "err" in cluster.kubectl("logs", "web", "-c", "main"), "the last line")
    channel = connect(cluster, f"{PODS}/web/log?container=main", [protocol])
    found = b""
    while (message := channel.recv_data())[0] != websocket.ABNF.OPCODE_CLOSE:
        found += base64.b64decode(message[1]) if "base64" in protocol else message[1]
    assert (channel.getsubprotocol(), found) == (protocol, b"out\nerr\n")


def test_closing_one_half_in_v5(cluster: Cluster, web: dict[str, Any]) -> None:
    channel = connect(cluster, EXEC.replace("command=sh", "command=wc&command=-c"), ["v5.channel.k8s.io"])
    for _ in range(3):
        channel.send_binary(b"\0" + b"x" * 100_000)
    channel.send_binary(b"\xff\0")
    channel.send_binary(b"\0late")  # not delivered: stdin is closed
    found = frames(channel)
    assert found[1] == b"300000\n" and json.loads(found[3])["status"] == "Success"


def test_a_client_that_goes_away_ends_its_process(cluster: Cluster, kubelet: Kubelet, web: dict[str, Any]) -> None:
    channel = connect(cluster, EXEC.replace("command=sh", "command=cat"), ["v5.channel.k8s.io"])
    container = web["status"]["containerStatuses"][0]["containerID"].partition("://")[2]

    def cats() -> int:
        listed = cluster.kubectl("exec", "web", "-c", "main", "--", "ps", "-o", "args")
        return listed.split("\n").count("cat")

    eventually(lambda: cats() == 1, f"cat in {container}")
    transport(channel).close()
    eventually(lambda: cats() == 0, "the end of cat")


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_a_slow_reader_holds_a_fast_writer_back(cluster: Cluster, web: dict[str, Any], protocol: str) -> None:
    """A gigabyte is offered; what nobody reads stays in the process, not in our memory."""
    path = EXEC.replace("command=sh", "command=head&command=-c&command=1073741824&command=/dev/zero")
    assert cluster.pid is not None
    before = resident(cluster.pid)
    channel = connect(cluster, path, [protocol])
    transport(channel).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    received, highest = 0, 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        received += len(channel.recv_data()[1])
        highest = max(highest, resident(cluster.pid))
        time.sleep(0.01)  # the slow reader itself
    assert 0 < received < 200_000_000
    transport(channel).close()
    assert highest - before < 40_000_000, f"{(highest - before) / 1e6:.0f} MB more"


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    text = Path(f"/proc/{pid}/statm").read_text().split()
    return int(text[1]) * os.sysconf("SC_PAGE_SIZE")


# --- attach, run, cp, debug


@TRANSPORTS
def test_attach_and_run(cluster: Cluster, kubelet: Kubelet, environment: dict[str, str]) -> None:
    name = f"shell{len(environment)}"
    image = ["--image=busybox", "--image-pull-policy=IfNotPresent"]
    argv = ["run", "-it", "--rm", name, *image, "--", "sh"]
    with terminal(cluster, *argv, environment=environment) as shell:
        shell.until("pressing enter")
        eventually(lambda: shell.ask("echo $((40+2))\n", "42\r\n"), "the shell")
        shell.type("exit\n")
        shell.until(f'pod "{name}" deleted')
        assert shell.wait() == 0
    piped = run(cluster, "run", "-i", "--rm", f"{name}-p", *image, "--restart=Never", "--", "cat", data=b"through\n")
    assert b"through\n" in piped.stdout and piped.returncode == 0, piped
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-a"},
            "spec": {"containers": [busybox("exec sh", stdin=True, tty=True)], "terminationGracePeriodSeconds": 1},
        }
    )
    cluster.ready(f"{name}-a")
    with terminal(cluster, "attach", "-it", f"{name}-a", environment=environment) as shell:
        eventually(lambda: shell.ask("echo $((20+2))\n", "22\r\n"), "the shell")
    cluster.kubectl("delete", "pod", f"{name}-a", "--timeout=120s")


def test_cp(cluster: Cluster, web: dict[str, Any], tmp_path: Path) -> None:
    payload = os.urandom(3_000_000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "big").write_bytes(payload)
    (tmp_path / "in" / "small").write_text("s")
    cluster.kubectl("cp", str(tmp_path / "in"), "web:/tmp/copied", "-c", "main")
    cluster.kubectl("cp", "web:/tmp/copied/big", str(tmp_path / "big"), "-c", "main")
    cluster.kubectl("cp", "web:/tmp/copied", str(tmp_path / "all"), "-c", "main")
    assert (tmp_path / "big").read_bytes() == payload and (tmp_path / "all" / "small").read_text() == "s"


def test_debug(cluster: Cluster, web: dict[str, Any]) -> None:
    argv = ["debug", "-it", "web", "--image=busybox", "--image-pull-policy=IfNotPresent", "--target=main"]
    with terminal(cluster, *argv, "--profile=general", "-c", "dbg", "--", "sh") as shell:
        eventually(lambda: shell.ask("echo $((50+2))\n", "52\r\n"), "the shell")
        # --target: the processes of the other container are seen.
        shell.type("ps -o args | grep -c http[d]\n")
        shell.until(r"[1-9]\r\n")
        status = cluster.pod("web")["status"]
        entry = status["ephemeralContainerStatuses"][0]
        assert entry["name"] == "dbg" and "running" in entry["state"] and entry["ready"] is False
        assert "started" not in entry and entry["restartCount"] == 0
        assert all(each["ready"] for each in status["containerStatuses"])
        shell.type("exit 5\n")
        shell.wait()

    def ended() -> Any:
        return cluster.pod("web")["status"]["ephemeralContainerStatuses"][0]["state"].get("terminated")

    assert eventually(ended, "the end of the debugger")["exitCode"] == 5
    assert cluster.pod("web")["status"]["containerStatuses"][0]["restartCount"] == 0
    assert "52" in cluster.kubectl("logs", "web", "-c", "dbg")
