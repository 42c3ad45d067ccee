"""exec, attach, cp, debug, logs, port-forward and proxies: stock kubectl through our API server to real pods."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from apimachinery.client.config import load_kubeconfig
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine
from tests.netns.kubelet.terminal import Terminal

FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
PODS = "/api/v1/namespaces/default/pods"
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
TRANSPORTS = pytest.mark.parametrize("environment", [{}, SPDY], ids=["websocket", "spdy"])


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    node = Machine("streams", 74)
    route = ["ip", "route", "replace", "10.198.74.0/24", "via", node.node_ip]
    try:
        node.start()
        # The API server stands outside of the node, as on a master, and must reach the pods.
        subprocess.run(route, check=True)
        yield node
    finally:
        node.stop()  # the route goes with its interface


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Iterator[Cluster]:
    plane = Cluster(machine)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
    assert "Traceback" not in (machine.dir / "control-plane.log").read_text()


@pytest.fixture(scope="module")
def kubelet(machine: Machine, cluster: Cluster) -> Iterator[Kubelet]:
    ca = str(cluster.dir / "pki" / "ca.crt")
    agent = Kubelet(machine, "node", cluster.node_kubeconfig("node"), authentication={"x509": {"clientCAFile": ca}})
    agent.trust(*cluster.admin_certificate())
    agent.start()
    cluster.kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=30s")
    try:
        yield agent
    finally:
        agent.stop()
    assert "Traceback" not in agent.output.read_text()


@pytest.fixture(scope="module")
def web(cluster: Cluster, kubelet: Kubelet) -> dict[str, Any]:
    """A pod that serves pages, speaks on both of its outputs, and has a second container."""
    script = (
        'mkdir -p /www/dir && echo \'<a href="/dir/">in</a><a href="x">rel</a>\' > /www/index.html && '
        f"echo in > /www/dir/index.html; echo out; echo err >&2; httpd -p 8080 -h /www; {FOREVER}"
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {**busybox(script), "ports": [{"containerPort": 8080, "name": "http"}]},
                {**busybox(f"echo beside; {FOREVER}"), "name": "side"},
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    cluster.apply(pod, service)
    return cluster.ready("web")


def run(
    cluster: Cluster, *argv: str, environment: dict[str, str] | None = None, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """kubectl, its outputs apart."""
    command = ["kubectl", f"--kubeconfig={cluster.admin}", *argv]
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, input=data, capture_output=True, timeout=60, env=env)


def terminal(cluster: Cluster, *argv: str, environment: dict[str, str] | None = None) -> Terminal:
    return Terminal(["kubectl", f"--kubeconfig={cluster.admin}", *argv], {**os.environ, **(environment or {})})


# --- exec


@TRANSPORTS
def test_exec(cluster: Cluster, web: dict[str, Any], environment: dict[str, str]) -> None:
    def execute(*argv: str, data: bytes | None = None, stdin: bool = False) -> tuple[int, bytes, bytes]:
        flags = ["-i"] if stdin else []
        done = run(cluster, "exec", *flags, "web", "-c", "main", "--", *argv, environment=environment, data=data)
        return done.returncode, done.stdout, done.stderr

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
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/ended", "--timeout=30s")
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
    channel.settimeout(20)
    url = f"{cluster.server.replace('https', 'wss')}{path}"
    channel.connect(url, subprotocols=protocols)  # type: ignore[no-untyped-call]
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
    cluster.kubectl("delete", "pod", f"{name}-a", "--timeout=30s")


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


# --- logs


def test_logs(cluster: Cluster, web: dict[str, Any]) -> None:
    assert cluster.kubectl("logs", "web", "-c", "main") == "out\nerr\n"
    together = cluster.kubectl("logs", "web", "--all-containers", "--prefix")
    assert "[pod/web/main] out\n" in together and "[pod/web/side] beside\n" in together
    assert cluster.kubectl("logs", "-l", "app=web", "-c", "side") == "beside\n"
    stamped = cluster.kubectl("logs", "web", "-c", "side", "--timestamps")
    assert stamped.endswith("Z beside\n") and len(stamped.split(" ")[0]) == 30
    assert cluster.kubectl("logs", "web", "-c", "main", "--tail=1") == "err\n"
    assert cluster.kubectl("logs", "web", "-c", "main", "--limit-bytes=2") == "ou"
    assert cluster.kubectl("logs", "web", "-c", "main", "--since=1h") == "out\nerr\n"
    assert cluster.kubectl("logs", "web", "-c", "main", "--since-time=2100-01-01T00:00:00Z") == ""
    assert cluster.kubectl("get", "--raw", f"{PODS}/web/log?container=main&stream=Stderr") == "err\n"
    insecure = f"{PODS}/web/log?container=main&insecureSkipTLSVerifyBackend=true"
    assert cluster.kubectl("get", "--raw", insecure) == "out\nerr\n"
    missing = cluster.kubectl("logs", "web", "-c", "main", "--previous", check=False)
    assert 'previous terminated container "main" in pod "web" not found' in missing


def test_logs_of_a_deployment_followed_and_of_a_life_before(cluster: Cluster, kubelet: Kubelet) -> None:
    image = ["--image=busybox", "--replicas=1"]
    cluster.kubectl("create", "deployment", "talker", *image, "--", "sh", "-c", "echo life; sleep 1; exit 1")
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "busybox", "imagePullPolicy": "IfNotPresent"}]}}}}
    cluster.kubectl("patch", "deployment", "talker", "-p", json.dumps(patch))

    def restarted() -> bool:
        listed = json.loads(cluster.kubectl("get", "pods", "-l", "app=talker", "-o=json"))["items"]
        return any(each["status"]["containerStatuses"][0]["restartCount"] > 0 for each in listed)

    eventually(restarted, "a restart", 60)
    assert cluster.kubectl("logs", "deployment/talker") == "life\n"
    assert cluster.kubectl("logs", "deployment/talker", "--previous") == "life\n"
    cluster.kubectl("delete", "deployment", "talker", "--timeout=30s")
    follow = ["--", "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]
    cluster.kubectl("run", "counter", "--image=busybox", "--image-pull-policy=IfNotPresent", "--restart=Never", *follow)
    eventually(lambda: "line 1" in cluster.kubectl("logs", "counter", check=False), "the first line")
    assert cluster.kubectl("logs", "-f", "counter") == "line 1\nline 2\nline 3\n"


# --- port-forward


@contextlib.contextmanager
def forwarded(cluster: Cluster, *argv: str, environment: dict[str, str]) -> Iterator[tuple[int, Terminal]]:
    with terminal(cluster, "port-forward", *argv, environment=environment) as shown:
        port = int(shown.until(r"Forwarding from 127\.0\.0\.1:(\d+) ->").group(1))
        yield port, shown


def fetch(port: int, path: str = "/") -> tuple[int, bytes]:
    done = subprocess.run(
        ["curl", "-s", "-m", "20", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}"], capture_output=True
    )
    return int(done.stdout[-3:]), done.stdout[:-3]


@TRANSPORTS
@pytest.mark.parametrize("what", ["pod/web :8080", "service/web :80", "pod/web :http"])
def test_port_forward(cluster: Cluster, web: dict[str, Any], what: str, environment: dict[str, str]) -> None:
    with forwarded(cluster, *what.split(), environment=environment) as (port, _):
        assert fetch(port, "/dir/") == (200, b"in\n")
        cluster.kubectl("exec", "web", "-c", "main", "--", "sh", "-c", "head -c 8000000 /dev/urandom > /www/big")
        code, body = fetch(port, "/big")
        assert (code, len(body)) == (200, 8_000_000)
        several = [subprocess.Popen(["curl", "-sf", f"http://127.0.0.1:{port}/"]) for _ in range(5)]
        assert [each.wait(20) for each in several] == [0] * 5


@TRANSPORTS
def test_port_forward_to_a_port_nobody_listens_on(
    cluster: Cluster, web: dict[str, Any], environment: dict[str, str]
) -> None:
    with forwarded(cluster, "pod/web", ":81", environment=environment) as (port, shown):
        assert fetch(port)[0] == 0
        shown.until("an error occurred forwarding")
        shown.until("[Cc]onnection refused")


# --- proxies


def test_proxies(cluster: Cluster, web: dict[str, Any]) -> None:
    def raw(path: str) -> str:
        return cluster.kubectl("get", "--raw", path, check=False)

    pod, service = f"{PODS}/web", "/api/v1/namespaces/default/services"
    for prefix in (
        f"{pod}/proxy",
        f"{PODS}/web:8080/proxy",
        f"{PODS}/http:web:8080/proxy",
        f"{service}/web:http/proxy",
    ):
        assert raw(f"{prefix}/dir/") == "in\n", prefix
        assert raw(f"{prefix}/") == f'<a href="{prefix}/dir/">in</a><a href="x">rel</a>\n'
    assert raw(f"{service}/web:80/proxy/dir/") == "in\n"
    assert 'no endpoints available for service "web"' in raw(f"{service}/web/proxy/")  # its port has a name
    assert 'no service port 81 found for service "web"' in raw(f"{service}/web:81/proxy/")
    assert 'no endpoints available for service "kubernetes:https"' in raw(f"{service}/kubernetes:https/proxy/")
    assert 'invalid service request "ftp:web:80"' in raw(f"{service}/ftp:web:80/proxy/")
    address = web["status"]["podIP"]
    told = raw(f"{PODS}/web:81/proxy/")
    assert f"error trying to reach service: dial tcp {address}:81: connect: connection refused" in told
    assert "404 Not Found" in raw(f"{pod}/proxy/nothing") or "NotFound" in raw(f"{pod}/proxy/nothing")
    assert raw("/api/v1/nodes/node/proxy/healthz") == "ok"
    assert raw("/api/v1/nodes/node:10250/proxy/healthz") == "ok"
    assert '"kind":"PodList"' in raw("/api/v1/nodes/node/proxy/pods")


def test_kubectl_proxy(cluster: Cluster, web: dict[str, Any]) -> None:
    with terminal(cluster, "proxy", "--port=0") as shown:
        port = int(shown.until(r"Starting to serve on 127\.0\.0\.1:(\d+)").group(1))
        prefix = "/api/v1/namespaces/default/services/web:http/proxy"
        assert fetch(port, f"{prefix}/dir/") == (200, b"in\n")
        # As a browser does: a relative address, a redirect of the server's, a link of the page.
        curl = ["curl", "-sL", "-w", "%{url_effective}", f"http://127.0.0.1:{port}{prefix}"]
        done = subprocess.run(curl, capture_output=True, text=True)
        assert done.stdout.endswith(f"http://127.0.0.1:{port}{prefix}/")
        done = subprocess.run(["curl", "-sL", f"http://127.0.0.1:{port}{prefix}/dir"], capture_output=True, text=True)
        assert done.stdout == "in\n"


def test_an_upgrade_through_the_proxy_of_a_pod(cluster: Cluster, kubelet: Kubelet) -> None:
    """What is spoken after 101 passes; a pod that refuses to upgrade ends the connection."""
    reply = "printf 'HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'; cat"
    refuse = "printf 'HTTP/1.1 403 Forbidden\\r\\nContent-Length: 2\\r\\n\\r\\nno'"
    script = f'nc -ll -p 9000 -e sh -c "{reply}" & nc -ll -p 9001 -e sh -c "{refuse}" & {FOREVER}'
    spec = {"containers": [busybox(script)], "terminationGracePeriodSeconds": 1}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "echo"}, "spec": spec})
    cluster.ready("echo")
    eventually(lambda: "9001" in cluster.kubectl("exec", "echo", "--", "netstat", "-ltn"), "the listeners")
    context = load_kubeconfig(cluster.admin).ssl_context()
    assert context is not None
    host, _, port = cluster.server.removeprefix("https://").partition(":")

    def ask(backend: int) -> ssl.SSLSocket:
        stream = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
        head = f"GET {PODS}/echo:{backend}/proxy/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        stream.sendall(head.encode())
        stream.settimeout(10)
        return stream

    with ask(9000) as stream:
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += stream.recv(4096)
        assert seen.startswith(b"HTTP/1.1 101 ")
        stream.sendall(b"ping")
        echoed = seen
        while b"ping" not in echoed:
            echoed += stream.recv(4096)
    with ask(9001) as stream:
        stream.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while more := stream.recv(4096):
            seen += more
        assert seen.startswith(b"HTTP/1.1 403 ") and seen.count(b"HTTP/1.1") == 1
