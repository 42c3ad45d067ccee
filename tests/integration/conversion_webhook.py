"""A webhook that converts custom resources: HTTPS, in the test's own process."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from apimachinery.kit.certs import Authority

Object = dict[str, Any]


@contextmanager
def conversion_webhook(
    directory: Path, convert: Callable[[Object, str], Object]
) -> Iterator[tuple[Object, list[Object]]]:
    """Its clientConfig and what it was asked. convert: an object in that apiVersion, which is set for it. Whoever asks
    for /moved is sent to /convert."""
    authority = Authority.create("webhook")
    pair = authority.issue("127.0.0.1", ips=("127.0.0.1",), server=True)
    (directory / "tls.pem").write_bytes(pair.cert_pem + pair.key_pem)
    asked: list[Object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.startswith("/moved"):
                self.send_response(307)
                self.send_header("Location", "/convert")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked.append(review)
            wanted = review["request"]["desiredAPIVersion"]
            converted = [{**convert(obj, wanted), "apiVersion": wanted} for obj in review["request"]["objects"]]
            response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
            body = orjson.dumps({**review, "request": None, "response": response})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = base64.b64encode(authority.pair.cert_pem).decode()
    try:
        yield {"url": f"https://127.0.0.1:{server.server_port}/convert", "caBundle": bundle}, asked
    finally:
        server.shutdown()
        server.server_close()
