"""The proxy subresource of pods and services: every verb, headers, bodies of any size, links and redirects, refusals.

What stands behind is an HTTP server of this process, on an address that a pod is said to have.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.http import SERVER_SOFTWARE

from tests.integration.ports import own_number
from tests.integration.process import ControlPlane, wait_until

# Of TEST-NET-1, on this machine while a test runs: requests are not proxied to loopback.
ADDRESS = f"192.0.2.{1 + own_number()}"
MERGE = {"Content-Type": "application/merge-patch+json"}
PAGE = b'<html><a href="/in/">in</a> <a href="x">x</a> <img src="https://elsewhere.example/i.png"></html>'
CHUNK = bytes(range(256)) * 256


class _Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    broken_off = threading.Event()

    def version_string(self) -> str:
        return SERVER_SOFTWARE  # what this project's own servers would call themselves

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        length = self.headers.get("Content-Length")
        if self.path.startswith("/upload"):
            self._json({"sha": self._digest(), "length": length})
            return
        body = self.rfile.read(int(length)) if length else b""
        if self.path == "/page":
            self._send(200, PAGE, {"Content-Type": "text/html; charset=utf-8", "Access-Control-Allow-Origin": "*"})
        elif self.path == "/redirect":
            self._send(302, b"", {"Location": f"http://{self.headers['Host']}/in/?a=b"})
        elif self.path == "/away":
            self._send(302, b"", {"Location": "https://elsewhere.example/"})
        elif self.path == "/broken":
            self._head(200, {"Content-Length": "1000"})
            self.wfile.write(b"part")
            self.close_connection = True
        elif self.path.startswith("/download"):
            self._head(200, {"Content-Type": "application/x", "Transfer-Encoding": "chunked"})
            try:
                for _ in range(int(self.path.rpartition("/")[2])):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.broken_off.set()
        else:
            headers = [[name.lower(), value] for name, value in self.headers.items()]
            self._json({"method": self.command, "path": self.path, "headers": headers, "body": body.decode()})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _answer

    def _digest(self) -> str:
        digest = hashlib.sha256()
        if self.headers.get("Content-Length"):
            left = int(self.headers["Content-Length"])
            while left and (data := self.rfile.read(min(left, 65536))):
                digest.update(data)
                left -= len(data)
            return digest.hexdigest()
        while size := int(self.rfile.readline(), 16):
            digest.update(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return digest.hexdigest()

    def _json(self, document: Any) -> None:
        self._send(200, orjson.dumps(document), {"Content-Type": "application/json", "Set-Cookie": "a=b"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(code, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    """The port of the server."""
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    with ThreadingHTTPServer((ADDRESS, 0), _Backend) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
    subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


@pytest.fixture
def pod(control_plane: ControlPlane, namespace: str, backend: int) -> str:
    """The path of a pod that is said to have the server's address."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "main", "image": "x", "ports": [{"containerPort": backend}]}
    request = control_plane.request
    assert request("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [container]}}).code == 201
    give_address(control_plane, f"{pods}/p", ADDRESS)
    return f"{pods}/p"


def give_address(plane: ControlPlane, pod: str, address: str) -> None:
    state = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    assert plane.request("PATCH", f"{pod}/status", state, headers=MERGE).code == 200


@pytest.fixture
def service(control_plane: ControlPlane, namespace: str, pod: str, backend: int) -> str:
    """The path of a Service in front of it, its port's name `web`."""
    base, port = f"/api/v1/namespaces/{namespace}", {"name": "web", "port": 80}
    request = control_plane.request
    found = {"metadata": {"name": "s"}, "spec": {"ports": [port]}}
    assert request("POST", f"{base}/services", found).code == 201
    reference = {"kind": "Pod", "namespace": namespace, "name": "p"}
    subset = {"addresses": [{"ip": ADDRESS, "targetRef": reference}], "ports": [{"name": "web", "port": backend}]}
    endpoints = {"metadata": {"name": "s"}, "subsets": [subset]}
    assert request("POST", f"{base}/endpoints", endpoints).code == 201
    return f"{base}/services/s"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_verb(control_plane: ControlPlane, pod: str, service: str, method: str) -> None:
    for prefix in (f"{pod}/proxy", f"{service}:web/proxy", f"{service}:80/proxy"):
        body = b"hello" if method in ("POST", "PUT", "PATCH") else None
        answer = control_plane.request(method, f"{prefix}/a%2Fb/c?x=1&x=%2F", body)
        assert answer.code == 200, answer.body
        seen = answer.json
        assert (seen["method"], seen["path"]) == (method, "/a%2Fb/c?x=1&x=%2F")
        assert seen["body"] == (body or b"").decode()


def test_headers_both_ways(control_plane: ControlPlane, pod: str) -> None:
    control_plane = control_plane.alone
    sent = {"Cookie": "session=1", "X-Mine": "yes", "Impersonate-User": "system:admin", "X-Remote-User": "eve"}
    sent |= {"Impersonate-Group": "system:masters", "Authorization": "Basic c2VjcmV0"}
    answer = control_plane.request("GET", f"{pod}/proxy/in/", headers=sent)
    seen = dict(answer.json["headers"])
    assert seen["cookie"] == "session=1" and seen["x-mine"] == "yes"
    assert seen["host"] == f"127.0.0.1:{control_plane.port}", "the client's, as upstream"
    assert seen["x-forwarded-for"] == "127.0.0.1" and seen["x-forwarded-uri"] == f"{pod}/proxy/in/"
    assert not {"authorization", "impersonate-user", "impersonate-group", "x-remote-user"} & set(seen)
    assert answer.headers["set-cookie"] == "a=b" and answer.headers["server"] == SERVER_SOFTWARE
    assert answer.headers["audit-id"] and answer.headers["cache-control"] == "no-cache, private"


def test_head_has_no_body(control_plane: ControlPlane, pod: str) -> None:
    answer = control_plane.request("HEAD", f"{pod}/proxy/page")
    assert (answer.code, answer.body, answer.headers["content-length"]) == (200, b"", str(len(PAGE)))


def test_links_and_redirects_lead_back_through_the_proxy(control_plane: ControlPlane, service: str) -> None:
    prefix = f"{service}:web/proxy"
    page = control_plane.request("GET", f"{prefix}/page")
    assert page.body == PAGE.replace(b'"/in/"', f'"{prefix}/in/"'.encode())
    assert "access-control-allow-origin" not in page.headers
    led = control_plane.request("GET", f"{prefix}/redirect")
    assert (led.code, led.headers["location"]) == (302, f"{prefix}/in/?a=b")
    away = control_plane.request("GET", f"{prefix}/away")
    assert (away.code, away.headers["location"]) == (302, "https://elsewhere.example/"), "the client's to follow or not"
    bare = control_plane.request("GET", f"{prefix}?a=b")
    assert (bare.code, bare.headers["location"]) == (301, f"{prefix}/?a=b")
    assert control_plane.request("POST", prefix, b"").json["path"] == "/"


def test_bodies_of_any_size_pass_through_little_memory(control_plane: ControlPlane, pod: str) -> None:
    plane = control_plane.alone
    before = resident(plane.pid)
    chunks = 3000  # 197 MB
    with contextlib.closing(plane.connect()) as connection:
        connection.request("GET", f"{pod}/proxy/download/{chunks}")
        answer, received, digest = connection.getresponse(), 0, hashlib.sha256()
        while data := answer.read(1 << 20):
            received += len(data)
            digest.update(data)
    expected = hashlib.sha256()
    for _ in range(chunks):
        expected.update(CHUNK)
    assert received == chunks * len(CHUNK) and digest.digest() == expected.digest()
    with contextlib.closing(plane.connect()) as connection:
        connection.request("PUT", f"{pod}/proxy/upload", iter([CHUNK] * chunks), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})  # fmt: skip
        told = orjson.loads(connection.getresponse().read())
    assert told == {"sha": expected.hexdigest(), "length": None}
    told = plane.request("PUT", f"{pod}/proxy/upload", CHUNK * 160).json  # 10 MB: no limit of ours applies
    assert told["length"] == str(160 * len(CHUNK))
    assert resident(plane.pid) - before < 60_000_000


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_half_an_answer_is_not_taken_for_a_whole_one(control_plane: ControlPlane, pod: str) -> None:
    with contextlib.closing(control_plane.connect(timeout=60)) as connection:
        connection.request("GET", f"{pod}/proxy/broken")
        answer = connection.getresponse()
        with pytest.raises((IncompleteRead, ConnectionError)):
            answer.read()


def test_refusals(control_plane: ControlPlane, namespace: str, pod: str, service: str, backend: int) -> None:
    plane = control_plane
    base = f"/api/v1/namespaces/{namespace}"

    def told(path: str) -> tuple[int, str]:
        answer = plane.request("GET", path)
        return answer.code, answer.json["message"]

    assert told(f"{base}/pods/nobody/proxy/") == (404, 'pods "nobody" not found')
    assert told(f"{base}/services/nobody/proxy/") == (404, 'services "nobody" not found')
    assert told(f"{base}/pods/ftp:p:80/proxy/") == (400, 'invalid pod request "ftp:p:80"')
    assert told(f"{service}:81/proxy/") == (503, 'no service port 81 found for service "s"')
    assert told(f"{service}:other/proxy/") == (503, 'no endpoints available for service "s:other"')
    where = f"{ADDRESS}:1"
    refused = f"error trying to reach service: dial tcp {where}: connect: connection refused"
    assert told(f"{pod}:1/proxy/") == (503, refused)
    code, message = told(f"{base}/pods/https:p:{backend}/proxy/")
    assert code == 503 and message.startswith("error trying to reach service: ")
    for address in ("127.0.0.1", "169.254.169.254"):
        give_address(plane, pod, address)
        assert told(f"{pod}/proxy/") == (400, "address not allowed")
    # The Service's endpoint is not its pod's any more.
    assert told(f"{service}:web/proxy/") == (503, 'no endpoints available for service "s:web"')


def test_endpoints_count_only_as_pods_of_the_namespace(
    control_plane: ControlPlane, namespace: str, service: str, backend: int
) -> None:
    path = f"/api/v1/namespaces/{namespace}/endpoints/s"
    for reference in (None, {"kind": "Pod", "namespace": "default", "name": "p"}, {"kind": "Pod", "name": "p"}):
        address = {"ip": ADDRESS, "targetRef": reference} if reference else {"ip": ADDRESS}
        subset = {"addresses": [address], "ports": [{"name": "web", "port": backend}]}
        assert control_plane.request("PATCH", path, {"subsets": [subset]}, headers=MERGE).code == 200
        answer = control_plane.request("GET", f"{service}:web/proxy/")
        assert (answer.code, answer.json["reason"]) == (503, "ServiceUnavailable")


def test_who_may(control_plane: ControlPlane, pod: str) -> None:
    headers = {"Impersonate-User": "jane"}
    answer = control_plane.request("GET", f"{pod}/proxy/x", headers=headers)
    assert answer.code == 403 and 'cannot get resource "pods/proxy"' in answer.json["message"]
    answer = control_plane.request("POST", f"{pod}/proxy/x", b"", headers=headers)
    assert answer.code == 403 and 'cannot create resource "pods/proxy"' in answer.json["message"]


def test_a_client_that_goes_away_lets_the_backend_go(control_plane: ControlPlane, pod: str) -> None:
    _Backend.broken_off.clear()
    connection = control_plane.connect()
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.request("GET", f"{pod}/proxy/download/100000")
    connection.getresponse().read(100)
    assert not _Backend.broken_off.is_set()
    connection.close()
    wait_until("the connection to the backend ends", _Backend.broken_off.is_set)
