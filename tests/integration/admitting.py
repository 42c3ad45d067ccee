"""What the tests of admission share: kubectl in one namespace, and a real webhook."""

from __future__ import annotations

import base64
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import orjson

from apimachinery.kit.certs import Authority
from tests.integration.process import ControlPlane


class Kubectl:
    """kubectl in one namespace, for tests that look at what it prints."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self._namespace = plane, namespace

    def __call__(self, *argv: str, stdin: str | None = None) -> str:
        return self._run(argv, stdin, check=True).stdout

    def refused(self, *argv: str, stdin: str | None = None) -> str:
        done = self._run(argv, stdin, check=False)
        assert done.returncode != 0, f"not refused: {done.stdout}"
        return done.stderr

    def attempt(self, *argv: str, stdin: str | None = None) -> str:
        """What it said, done or refused."""
        done = self._run(argv, stdin, check=False)
        return done.stdout + done.stderr

    def succeeds(self, *argv: str) -> bool:
        return self._run(argv, None, check=False).returncode == 0

    def warned(self, *argv: str, stdin: str | None = None) -> str:
        return self._run(argv, stdin, check=True).stderr

    def apply(self, *documents: Any) -> str:
        return self("apply", "-f", "-", stdin="".join(f"{orjson.dumps(each).decode()}\n" for each in documents))

    def get(self, *argv: str) -> Any:
        return self._plane.get("-n", self._namespace, *argv)

    def _run(self, argv: tuple[str, ...], stdin: str | None, *, check: bool) -> subprocess.CompletedProcess[str]:
        return self._plane.kubectl("-n", self._namespace, *argv, stdin=stdin, check=check)


class Webhook:
    """A real HTTPS webhook on loopback, run beside the tests. `asked`: what came; `answer`: what it says."""

    def __init__(self, directory: Path) -> None:
        authority = Authority.create("webhooks")
        pair = authority.issue("webhook", ips=("127.0.0.1",), server=True)
        (directory / "crt").write_bytes(pair.cert_pem)
        (directory / "key").write_bytes(pair.key_pem)
        self.bundle = base64.b64encode(authority.pair.cert_pem).decode()
        self.asked: list[Any] = []
        self.shown: list[str] = []  # as whom
        self.answer: Any = {"allowed": True}
        self.code = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.shown.append(self.headers.get("Authorization", ""))
                body = orjson.dumps(outer.respond(review))
                self.send_response(outer.code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "crt", directory / "key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Itself, while it answers."""
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        yield self
        self.server.shutdown()
        self.server.server_close()
        thread.join()

    def respond(self, review: Any) -> Any:
        """What is answered to a review."""
        self.asked.append(review["request"])
        return {**review, "request": None, "response": {"uid": review["request"]["uid"], **self.answer}}

    def configuration(self, kind: str, namespace: str, *resources: str, **fields: Any) -> Any:
        """A configuration with one hook for one namespace."""
        hook = {
            "name": f"{namespace}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.server_port}/x", "caBundle": self.bundle},
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 5,
            **fields,
        }
        meta = {"name": f"{kind.lower()[:8]}-{namespace}"}
        return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta, "webhooks": [hook]}
