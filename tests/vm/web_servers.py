"""A web server on each worker that answers with its name, at addresses of both families."""

from __future__ import annotations

_DAEMON_SET = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        command: [sh, -c, "hostname > /tmp/index.html; exec httpd -f -p '[::]:80' -h /tmp"]
---
"""


def web_servers(name: str) -> str:
    """The manifest, for others to follow; the pods' label ``app`` is ``name``."""
    return _DAEMON_SET.replace("NAME", name)
