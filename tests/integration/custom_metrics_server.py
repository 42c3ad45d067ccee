"""A small aggregated API server, started as a process: custom.metrics.k8s.io/v1beta2, external.metrics.k8s.io/v1beta1.

Each request reads the values anew from a JSON file: {"pods": {metric: {pod: value}}, "objects": {"services/web/metric":
value}, "external": {metric: [value, …]}}. It believes whoever shows a certificate of the front proxy's authority.
"""

from __future__ import annotations

import argparse
import json
import ssl
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

Object = dict[str, Any]

CUSTOM, EXTERNAL = "custom.metrics.k8s.io/v1beta2", "external.metrics.k8s.io/v1beta1"


class Handler(BaseHTTPRequestHandler):
    """Answers GET; whatever is not in the file is not found."""

    values: ClassVar[Path]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = [unquote(each) for each in urlsplit(self.path).path.strip("/").split("/")]
        found = answer(path, json.loads(self.values.read_text()))
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or {**missing, "message": "the server could not find the metric"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def answer(path: list[str], values: Object) -> Object | None:
    """The document of a path, or None."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    match path:
        case ["apis", group, version]:
            entry = {"name": "*/any", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
            return {"kind": "APIResourceList", "groupVersion": f"{group}/{version}", "resources": [entry]}
        case ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", space, "pods", "*", metric]:
            found = values.get("pods", {}).get(metric, {})
            items = [_item({"kind": "Pod", "name": name, "namespace": space}, found[name], now) for name in found]
            return {"kind": "MetricValueList", "apiVersion": CUSTOM, "metadata": {}, "items": items}
        case ["apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", space, *rest]:
            value = values.get("objects", {}).get("/".join(rest))
            items = [] if value is None else [_item({"name": rest[-2], "namespace": space}, value, now)]
            return {"kind": "MetricValueList", "apiVersion": CUSTOM, "metadata": {}, "items": items}
        case ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", _, metric]:
            items = [
                {"metricName": metric, "metricLabels": {}, "timestamp": now, "value": value}
                for value in values.get("external", {}).get(metric, ())
            ]
            return {"kind": "ExternalMetricValueList", "apiVersion": EXTERNAL, "metadata": {}, "items": items}
    return None


def _item(described: Object, value: str, now: str) -> Object:
    return {"describedObject": described, "metric": {"name": "any"}, "timestamp": now, "value": value}


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    for name in ("address", "port", "cert", "key", "requestheader-ca", "values"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    Handler.values = Path(options.values)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    context.load_verify_locations(cafile=options.requestheader_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer((options.address, int(options.port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
