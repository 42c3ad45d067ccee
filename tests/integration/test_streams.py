"""Logs, exec and proxying: what is handed on to a node agent, with one that answers from this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from apimachinery.client.config import load_kubeconfig
from apimachinery.kit.certs import Authority
from tests.integration.ports import own_number
from tests.integration.process import DEADLINE, ControlPlane

# Of TEST-NET-2, on this machine while a test runs: requests are not proxied to loopback.
ADDRESS = f"198.51.100.{1 + own_number()}"


class _Agent(socketserver.ThreadingTCPServer):
    """Speaks just enough of a node agent: logs, an echo behind an upgrade, a refusal; asks for a client certificate."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((ADDRESS, 0), _Connection)
        self.context = context
        self.seen: list[tuple[str, dict[str, str], str]] = []
        self.more = threading.Event()  # set by a test: a followed log goes on
        self.left = threading.Event()  # nobody follows the log any more

    def get_request(self) -> tuple[socket.socket, object]:
        plain, address = self.socket.accept()
        return self.context.wrap_socket(plain, server_side=True), address


class _Connection(socketserver.StreamRequestHandler):
    server: _Agent

    def handle(self) -> None:
        first = self.rfile.readline().decode().split()
        if len(first) < 2:
            return
        headers = {}
        for line in iter(self.rfile.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        subject = self.request.getpeercert()["subject"]
        user = next(value for part in subject for key, value in part if key == "commonName")
        self.server.seen.append((first[1], headers, user))
        if "previous=true" in first[1]:
            body = b'previous terminated container "main" in pod "p" not found\n'
            head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)
        elif first[1].startswith("/containerLogs/"):
            self._log("follow=true" in first[1], "tailLines=99" in first[1])
        elif first[1].startswith("/elsewhere"):
            self.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        elif first[1].startswith("/stats"):
            body = b'{"node":{}}'
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)
        elif "websocket" in headers.get("upgrade", "").lower():
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nno v5")
        else:
            upgrade = headers["upgrade"]
            self.wfile.write(
                f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n".encode()
            )
            while data := self.request.recv(65536):
                self.wfile.write(data)

    def _log(self, follow: bool, broken: bool) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        if broken:
            self.wfile.write(head + b"Content-Length: 8\r\n\r\nhalf")
            return
        self.wfile.write(head + b"Connection: close\r\n\r\none\n")
        if not follow:
            self.wfile.write(b"two\n")
            return
        self.server.more.wait(DEADLINE)
        with contextlib.suppress(OSError):  # as a connection that is cut ends
            self.wfile.write(b"two\n")
            self.request.recv(1)
        self.server.left.set()


@pytest.fixture(scope="module", autouse=True)
def own_address() -> Iterator[str]:
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    yield ADDRESS
    subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


@pytest.fixture
def agent(control_plane: ControlPlane, own_address: str, tmp_path: Path) -> Iterator[_Agent]:
    pki = control_plane.directory / "pki"
    pair = Authority.load(pki / "ca.crt", pki / "ca.key").issue("paper", ips=[ADDRESS], server=True)
    (tmp_path / "crt").write_bytes(pair.cert_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    context.load_verify_locations(cafile=str(pki / "ca.crt"))
    context.verify_mode = ssl.CERT_REQUIRED
    with _Agent(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pod(control_plane: ControlPlane, namespace: str, agent: _Agent) -> Iterator[str]:
    """The path of a pod on a node whose agent is `agent`."""
    node = f"node-{namespace}"
    port = agent.server_address[1]
    request = control_plane.request
    assert request("POST", "/api/v1/nodes", {"metadata": {"name": node}}).code == 201
    state = {
        "addresses": [{"type": "InternalIP", "address": ADDRESS}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    merge = {"Content-Type": "application/merge-patch+json"}
    assert request("PATCH", f"/api/v1/nodes/{node}/status", {"status": state}, headers=merge).code == 200
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {
        "nodeName": node,
        "containers": [{"name": "main", "image": "busybox"}],
        "tolerations": [{"operator": "Exists"}],
    }
    assert request("POST", pods, {"metadata": {"name": "p"}, "spec": spec}).code == 201
    yield f"{pods}/p"
    request("DELETE", f"{pods}/p?gracePeriodSeconds=0")
    request("DELETE", f"/api/v1/nodes/{node}")


def test_logs(control_plane: ControlPlane, namespace: str, pod: str, agent: _Agent) -> None:
    shown = control_plane.kubectl("logs", "p", "--tail=2", "--timestamps", "-n", namespace)
    assert shown.stdout == "one\ntwo\n"
    path, headers, user = agent.seen[0]
    assert path == f"/containerLogs/{namespace}/p/main?timestamps=true&tailLines=2"
    assert user == "kube-apiserver-kubelet-client" and "authorization" not in headers
    wrong = control_plane.request("GET", f"{pod}/log?container=other")
    assert wrong.code == 400 and wrong.json["message"] == "container other is not valid for pod p"


def test_a_refusal_of_the_node_agent_is_told_in_its_words(
    control_plane: ControlPlane, namespace: str, pod: str, agent: _Agent
) -> None:
    words = 'previous terminated container "main" in pod "p" not found'
    answer = control_plane.request("GET", f"{pod}/log?previous=true")
    assert (answer.code, answer.json["reason"], answer.json["message"]) == (400, "BadRequest", words)
    shown = control_plane.kubectl("logs", "p", "--previous", "-n", namespace, check=False)
    assert f"Error from server (BadRequest): {words}" in shown.stderr


def test_an_ephemeral_container_is_added_and_stays(control_plane: ControlPlane, pod: str) -> None:
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}

    def add(**container: str) -> tuple[int, str]:
        body = {"spec": {"ephemeralContainers": [container]}}
        answer = control_plane.request("PATCH", f"{pod}/ephemeralcontainers", body, headers=strategic)
        return answer.code, answer.json.get("message", "")

    assert add(name="debugger", image="busybox", targetContainerName="main") == (200, "")
    assert control_plane.request("GET", pod).json["spec"]["ephemeralContainers"][0]["name"] == "debugger"
    code, message = add(name="debugger", image="other")
    assert code == 422 and 'existing ephemeral containers "debugger" may not be changed' in message
    code, message = add(name="main", image="busybox")
    assert code == 422 and "Duplicate value" in message


@pytest.fixture
def proxy(namespace: str, pod: str) -> str:
    """The path of the proxy to `agent`."""
    return f"/api/v1/nodes/node-{namespace}/proxy"


def _move(control_plane: ControlPlane, node: str, address: str) -> None:
    """Let the node report another address."""
    state = {"addresses": [{"type": "InternalIP", "address": address}]}
    merge = {"Content-Type": "application/merge-patch+json"}
    path = f"/api/v1/nodes/{node}/status"
    assert control_plane.request("PATCH", path, {"status": state}, headers=merge).code == 200


def test_what_a_node_agent_serves(control_plane: ControlPlane, proxy: str, agent: _Agent) -> None:
    answer = control_plane.request("GET", f"{proxy}/stats/summary?only_cpu=true")
    assert answer.json == {"node": {}}
    assert agent.seen[0][0] == "/stats/summary?only_cpu=true"


def test_a_redirect_is_neither_followed_nor_passed_on(control_plane: ControlPlane, proxy: str, agent: _Agent) -> None:
    answer = control_plane.request("GET", f"{proxy}/elsewhere")
    assert answer.code == 502 and "location" not in answer.headers and b"not permitted" in answer.body
    stream, head = _upgrade(control_plane, f"{proxy}/elsewhere", "SPDY/3.1")
    with contextlib.closing(stream):
        assert head.startswith(b"HTTP/1.1 502 ") and b"location" not in head.lower()
        while stream.recv(100):  # the rest of the answer, then the end
            pass
    assert [seen[0] for seen in agent.seen] == ["/elsewhere", "/elsewhere"]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1", "localhost"])
@pytest.mark.parametrize("headers", [{}, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}], ids=["plain", "upgrade"])
def test_a_node_leads_nobody_to_this_machine(
    control_plane: ControlPlane, namespace: str, pod: str, agent: _Agent, address: str, headers: dict[str, str]
) -> None:
    _move(control_plane, f"node-{namespace}", address)
    answer = control_plane.request("GET", f"/api/v1/nodes/node-{namespace}/proxy/stats", headers=headers)
    assert (answer.code, answer.json["message"]) == (400, "address not allowed")
    assert agent.seen == []


def _upgrade(control_plane: ControlPlane, path: str, protocol: str) -> tuple[ssl.SSLSocket, bytes]:
    """A connection after the head of the answer, and that head."""
    connection = control_plane.connect(timeout=60)
    connection.connect()
    stream = connection.sock
    assert isinstance(stream, ssl.SSLSocket)
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: Upgrade", f"Upgrade: {protocol}", "Content-Length: 0"]
    stream.sendall(("\r\n".join(lines) + "\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    return stream, head


def test_an_upgraded_connection_passes_byte_for_byte(control_plane: ControlPlane, pod: str, agent: _Agent) -> None:
    stream, head = _upgrade(control_plane, f"{pod}/exec?command=sh&command=-c&stdin=true&stdout=true", "SPDY/3.1")
    with contextlib.closing(stream):
        assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: SPDY/3.1" in head
        assert agent.seen[0][0].endswith("/p/main?input=1&output=1&command=sh&command=-c")
        assert agent.seen[0][1]["x-stream-protocol-version"] == "v4.channel.k8s.io"
        sent = bytes(range(256)) * 8192  # 2 MiB: more than any buffer on the way
        sender = threading.Thread(target=stream.sendall, args=(sent,))
        sender.start()
        received = b""
        while len(received) < len(sent):
            received += stream.recv(65536)
        sender.join()
        assert received == sent


def test_a_refused_upgrade_is_told_and_ends_the_connection(control_plane: ControlPlane, pod: str) -> None:
    stream, head = _upgrade(control_plane, f"{pod}/exec?command=sh&stdout=true", "websocket")
    with contextlib.closing(stream):
        assert head.startswith(b"HTTP/1.1 403 ")
        assert stream.recv(100) == b"no v5"
        stream.settimeout(60)
        assert stream.recv(1) == b"", "nothing more may be read from this connection as a request"


def test_without_an_upgrade_there_is_no_exec(control_plane: ControlPlane, pod: str) -> None:
    answer = control_plane.request("POST", f"{pod}/exec?command=sh")
    assert answer.code == 400 and answer.json["message"] == "Upgrade request required"


def test_an_agent_that_is_not_there(control_plane: ControlPlane, pod: str, agent: _Agent) -> None:
    agent.shutdown()
    agent.server_close()
    answer = control_plane.request("GET", f"{pod}/log")
    where = f"{ADDRESS}:{agent.server_address[1]}"
    assert answer.code == 500 and answer.json["message"] == (
        f'Get "https://{where}/containerLogs/{pod.split("/")[4]}/p/main": dial tcp {where}: connect: connection refused'
    )
    stream, head = _upgrade(control_plane, f"{pod}/exec?command=sh&stdout=true", "SPDY/3.1")
    with contextlib.closing(stream):
        assert head.startswith(b"HTTP/1.1 500 ")
        assert f"error dialing backend: dial tcp {where}: connect: connection refused".encode() in stream.recv(4096)


@contextlib.asynccontextmanager
async def _websocket(
    control_plane: ControlPlane, path: str, *protocols: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    config = load_kubeconfig(control_plane.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=config.ssl_context() or False)
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession(connector=connector) as session:
        url = f"{config.server.replace('https', 'wss')}{path}"
        async with session.ws_connect(url, protocols=protocols, compress=15) as channel:
            yield channel


def _heard(
    control_plane: ControlPlane, path: str, *protocols: str
) -> tuple[str | None, list[tuple[aiohttp.WSMsgType, Any]], int | None]:
    """The protocol chosen, every message, and the code with which the server closed."""

    async def hear() -> tuple[str | None, list[tuple[aiohttp.WSMsgType, Any]], int | None]:
        async with _websocket(control_plane, path, *protocols) as channel:
            assert channel.compress == 0, "upstream's server knows no extension"
            messages = [(message.type, message.data) async for message in channel]
            return channel.protocol, messages, channel.close_code

    return asyncio.run(hear())


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), None),
        (("binary.k8s.io",), "binary.k8s.io"),
        (("base64.binary.k8s.io",), "base64.binary.k8s.io"),
        (("v9.log.k8s.io", "base64.binary.k8s.io", "binary.k8s.io"), "base64.binary.k8s.io"),
    ],
    ids=["none", "binary", "base64", "several"],
)
def test_logs_over_a_websocket(
    control_plane: ControlPlane, pod: str, agent: _Agent, offered: tuple[str, ...], chosen: str | None
) -> None:
    """A message per piece of the log, an empty one before the first; then the server closes (wsstream.Reader)."""
    protocol, messages, code = _heard(control_plane, f"{pod}/log?container=main&tailLines=2&timestamps=true", *offered)
    base64 = chosen == "base64.binary.k8s.io"
    kind = aiohttp.WSMsgType.TEXT if base64 else aiohttp.WSMsgType.BINARY
    assert (protocol, code) == (chosen, aiohttp.WSCloseCode.OK)
    assert {found for found, _ in messages} == {kind} and not messages[0][1]
    assert b"".join(b64decode(data) if base64 else data for _, data in messages) == b"one\ntwo\n"
    path, headers, _ = agent.seen[0]
    assert path.endswith("/p/main?timestamps=true&tailLines=2")
    assert not [name for name in headers if name == "upgrade" or name.startswith("sec-websocket-")]


def test_a_followed_log_over_a_websocket(control_plane: ControlPlane, pod: str, agent: _Agent) -> None:
    async def follow() -> None:
        async with _websocket(control_plane, f"{pod}/log?follow=true", "binary.k8s.io") as channel:
            assert [await channel.receive_bytes() for _ in range(2)] == [b"", b"one\n"]
            await channel.send_str("what a client says is not listened to")
            agent.more.set()
            assert await channel.receive_bytes() == b"two\n"
            assert not agent.left.is_set()

    asyncio.run(follow())
    assert agent.left.wait(DEADLINE), "the node agent is asked no longer when the client has gone"


def test_a_client_that_vanishes_ends_the_log(control_plane: ControlPlane, pod: str, agent: _Agent) -> None:
    async def vanish() -> None:
        async with _websocket(control_plane, f"{pod}/log?follow=true") as channel:
            assert [await channel.receive_bytes() for _ in range(2)] == [b"", b"one\n"]
            agent.more.set()
            assert await channel.receive_bytes() == b"two\n"
            transport = channel.get_extra_info("socket")
            assert transport is not None
            transport.shutdown(socket.SHUT_RDWR)

    asyncio.run(vanish())
    assert agent.left.wait(DEADLINE)


def test_what_is_wrong_with_a_log_is_told_before_the_upgrade(
    control_plane: ControlPlane, namespace: str, pod: str, agent: _Agent
) -> None:
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    handshake |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "binary.k8s.io"}

    def told(path: str, **headers: str) -> tuple[int, str]:
        answer = control_plane.request("GET", path, headers=handshake | headers)
        assert answer.headers["connection"] == "close"
        return answer.code, answer.json["message"] if answer.body else ""

    assert told(f"{pod}/log?container=other") == (400, "container other is not valid for pod p")
    assert told(f"{pod}/log?tailLines=x") == (400, 'strconv.ParseInt: parsing "x": invalid syntax')
    assert told(f"{pod}/log?limitBytes=0")[0] == 422
    assert told(f"{pod[:-1]}nobody/log") == (404, 'pods "nobody" not found')
    assert agent.seen == []
    words = 'previous terminated container "main" in pod "p" not found'
    assert told(f"{pod}/log?previous=true") == (400, words)
    assert told(f"{pod}/log", **{"Sec-WebSocket-Protocol": "channel.k8s.io"}) == (403, "")
    assert told(f"{pod}/log", **{"Sec-WebSocket-Version": "12"})[0] == 400
    assert told(f"{pod}/log", **{"Sec-WebSocket-Key": "short"})[0] == 400
    # Who names the protocol but does not ask for it gets plain HTTP.
    plain = control_plane.request("GET", f"{pod}/log", headers={"Upgrade": "websocket"})
    assert (plain.code, plain.body) == (200, b"one\ntwo\n")


def test_a_log_that_breaks_off_is_no_whole_one(control_plane: ControlPlane, pod: str) -> None:
    _, messages, code = _heard(control_plane, f"{pod}/log?tailLines=99")
    assert b"half".startswith(b"".join(data for _, data in messages))
    assert code == aiohttp.WSCloseCode.INTERNAL_ERROR


def test_a_pod_that_is_nowhere_has_no_log(control_plane: ControlPlane, namespace: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "busybox"}]}
    assert control_plane.request("POST", pods, {"metadata": {"name": "w"}, "spec": spec}).code == 201
    answer = control_plane.request("GET", f"{pods}/w/log")
    assert (answer.code, answer.body) == (204, b"")
