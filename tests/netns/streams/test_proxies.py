"""Logs, port-forward and proxies: stock kubectl and curl through our API server to real pods."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from apimachinery.client.config import load_kubeconfig
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster
from tests.netns.streams.kubectl import FOREVER, PODS, TRANSPORTS, terminal
from tests.netns.streams.terminal import Terminal


def test_logs(cluster: Cluster, web: dict[str, Any]) -> None:
    # Two pipes, so only the pause between the lines orders them.
    eventually(lambda: "err" in cluster.kubectl("logs", "web", "-c", "main"), "the last line")
    eventually(lambda: "beside" in cluster.kubectl("logs", "web", "-c", "side"), "the other container's")
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
    labels = {"app": "talker"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [busybox("echo life; sleep 1; exit 1")]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "talker"}, "spec": spec})

    def restarted() -> bool:
        listed = json.loads(cluster.kubectl("get", "pods", "-l", "app=talker", "-o=json"))["items"]
        return any(each["status"]["containerStatuses"][0]["restartCount"] > 0 for each in listed)

    eventually(restarted, "a restart")
    eventually(lambda: cluster.kubectl("logs", "deployment/talker") == "life\n", "its words")
    eventually(lambda: cluster.kubectl("logs", "deployment/talker", "--previous") == "life\n", "those before")
    cluster.kubectl("delete", "deployment", "talker", "--timeout=120s")
    follow = ["--", "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]
    cluster.kubectl("run", "counter", "--image=busybox", "--image-pull-policy=IfNotPresent", "--restart=Never", *follow)
    eventually(lambda: "line 1" in cluster.kubectl("logs", "counter", check=False), "the first line")
    assert cluster.kubectl("logs", "-f", "counter") == "line 1\nline 2\nline 3\n"


@contextlib.contextmanager
def forwarded(cluster: Cluster, *argv: str, environment: dict[str, str]) -> Iterator[tuple[int, Terminal]]:
    with terminal(cluster, "port-forward", *argv, environment=environment) as shown:
        port = int(shown.until(r"Forwarding from 127\.0\.0\.1:(\d+) ->").group(1))
        yield port, shown


def fetch(port: int, path: str = "/") -> tuple[int, bytes]:
    done = subprocess.run(
        ["curl", "-s", "-m", "60", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}"], capture_output=True
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
        assert [each.wait(120) for each in several] == [0] * 5


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
    shown = cluster.kubectl("get", "--raw", "/api/v1/nodes/node/proxy/healthz", "-v=8", check=False)
    assert "Audit-Id: " in shown and "Server: " not in shown, "neither server names its program"


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
        stream.settimeout(60)
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
