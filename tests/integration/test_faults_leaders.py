"""Two controller managers: the one that is stopped in the middle of its work and goes on later writes nothing more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from apimachinery.client.config import render_kubeconfig
from apimachinery.kit.certs import Authority
from tests.integration.apiservers import ApiServer
from tests.integration.process import ROOT, wait_until

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, verbs: [get, list, watch]}
- {level: Metadata, users: [manager-0, manager-1], omitStages: [RequestReceived]}
"""
ROUNDS = 10 if os.environ.get("KUBELAB_FAULTS") == "full" else 1


@contextmanager
def manager(server: ApiServer, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A controller manager with a name of its own in the audit log."""
    pki, config = server.directory / "pki", server.directory / f"{name}.conf"
    authority = Authority.load(pki / "ca.crt", pki / "ca.key")
    pair = authority.issue(name, orgs=["system:masters"], client=True)
    config.write_text(
        render_kubeconfig(
            server=f"https://127.0.0.1:{server.port}",
            ca_data=(pki / "ca.crt").read_bytes(),
            user=name,
            cert_data=pair.cert_pem,
            key_data=pair.key_pem,
        )
    )
    argv = [f"--kubeconfig={config}", "--secure-port=0", "--leader-elect-lease-duration=6s"]
    argv += ["--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=1s"]
    with (server.directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "controlplane.controllers", *argv], cwd=ROOT, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def lease(server: ApiServer) -> dict[str, Any]:
    answer = server.request("GET", LEASE)
    spec: dict[str, Any] = answer.json["spec"] if answer.code == 200 else {}
    return spec


def writes(server: ApiServer, user: str) -> list[tuple[datetime, str]]:
    """When and what the user has written: what was accepted, without events."""
    found = []
    for line in (server.directory.parent / "audit.log").read_bytes().splitlines():
        event = orjson.loads(line)
        if event["user"]["username"] != user or event["responseStatus"]["code"] >= 300:
            continue
        if "/events" not in event["requestURI"]:
            found.append((datetime.fromisoformat(event["requestReceivedTimestamp"]), event["requestURI"]))
    return found


def test_a_paused_leader_that_goes_on_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    flags = [f"--audit-policy-file={tmp_path / 'policy.yaml'}", f"--audit-log-path={tmp_path / 'audit.log'}"]
    server = ApiServer(tmp_path / "data", "sqlite", *flags)
    server.start()
    try:
        for number in range(ROUNDS):
            _pause_one(server, f"web-{number}")
            (tmp_path / "audit.log").write_bytes(b"")
    finally:
        server.stop()


def _pause_one(server: ApiServer, name: str) -> None:
    with manager(server, "manager-0") as first:
        wait_until("the first leads", lambda: lease(server).get("holderIdentity"))
        leader = lease(server)["holderIdentity"]
        with manager(server, "manager-1"):
            labels = {"app": name}
            container = {"name": "main", "image": "nginx"}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
            spec = {"replicas": 5, "selector": {"matchLabels": labels}, "template": template}
            made = server.request("POST", DEPLOYMENTS, {"metadata": {"name": name}, "spec": spec})
            assert made.code == 201, made.body
            wait_until("the first works", lambda: _replicas(server, name) == 5)
            # It is stopped while it makes pods.
            change = {"spec": {"replicas": 300}}
            assert server.request("PATCH", f"{DEPLOYMENTS}/{name}", change, headers=MERGE).code == 200
            wait_until("the first is at it", lambda: _pods(server, name) > 5)
            first.send_signal(signal.SIGSTOP)
            wait_until("the second leads", lambda: lease(server)["holderIdentity"] not in ("", leader), 30)
            taken = datetime.fromisoformat(lease(server)["acquireTime"])
            first.send_signal(signal.SIGCONT)
            assert first.wait(30) == 1, "who lost the lease ends"
            wait_until("the second finishes", lambda: _replicas(server, name) == 300, 60)
    late = [uri for at, uri in writes(server, "manager-0") if at > taken]
    assert writes(server, "manager-0"), "the first never wrote"
    assert not late, f"the old leader wrote after {taken}"


def _pods(server: ApiServer, name: str) -> int:
    """Pods that there are, whether or not a status counts them yet."""
    listed = server.request("GET", f"/api/v1/namespaces/default/pods?labelSelector=app={name}&limit=6").json
    return len(listed["items"])


def _replicas(server: ApiServer, name: str) -> int:
    """Pods that the Deployment's status counts."""
    status = server.request("GET", f"{DEPLOYMENTS}/{name}").json.get("status") or {}
    return int(status.get("replicas") or 0)
