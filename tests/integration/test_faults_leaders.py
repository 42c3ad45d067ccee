"""Two controller managers, two schedulers: the one that is stopped in the middle of its work and goes on later writes
nothing more."""

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
import pytest

from apimachinery.client.config import render_kubeconfig
from apimachinery.kit.certs import Authority
from tests.integration.apiservers import ApiServer
from tests.integration.process import ROOT, wait_until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
MANAGER, SCHEDULER = ("kube-controller-manager", "controllers"), ("kube-scheduler", "scheduler")
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}
POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, verbs: [get, list, watch]}
- {level: Metadata, users: [manager-0, manager-1, scheduler-0, scheduler-1], omitStages: [RequestReceived]}
"""
ROUNDS = 10 if os.environ.get("KUBELAB_FAULTS") == "full" else 1


@contextmanager
def running(server: ApiServer, component: tuple[str, str], name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A component with a name of its own in the audit log."""
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
    # Not shorter: who gets no processor for so long has lost the lease before it is stopped.
    argv = [f"--kubeconfig={config}", "--secure-port=0", "--leader-elect-lease-duration=15s"]
    argv += ["--leader-elect-renew-deadline=10s", "--leader-elect-retry-period=1s"]
    with (server.directory / f"{name}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", f"controlplane.{component[1]}", *argv], cwd=ROOT, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def lease(server: ApiServer, component: tuple[str, str] = MANAGER) -> dict[str, Any]:
    answer = server.request("GET", f"{LEASES}/{component[0]}")
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


def leaders(server: ApiServer, component: tuple[str, str]) -> set[str]:
    """Who became the leader, by the events of the Lease."""
    asked = f"involvedObject.kind=Lease,involvedObject.name={component[0]},reason=LeaderElection"
    events = server.request("GET", f"/api/v1/namespaces/kube-system/events?fieldSelector={asked}").json["items"]
    assert {(each["source"]["component"], each["type"]) for each in events} == {(component[0], "Normal")}
    told = [each["message"].partition(" ") for each in events]
    assert {what for _, _, what in told} == {"became leader"}
    return {who for who, _, _ in told}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    flags = [f"--audit-policy-file={tmp_path / 'policy.yaml'}", f"--audit-log-path={tmp_path / 'audit.log'}"]
    server = ApiServer(tmp_path / "data", "sqlite", *flags)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_paused_leader_that_goes_on_writes_nothing(server: ApiServer, number: int) -> None:
    _pause_one(server, f"web-{number}")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_paused_scheduler_that_goes_on_binds_nothing(server: ApiServer, number: int) -> None:
    account = {"metadata": {"name": "default"}}  # no controllers here make it
    assert server.request("POST", "/api/v1/namespaces/default/serviceaccounts", account).code == 201
    for name in ("node-0", "node-1", "node-2"):
        amounts = {"cpu": "32", "memory": "64Gi", "pods": "500"}
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
        made = server.request("POST", "/api/v1/nodes", {"metadata": {"name": name}, "status": status})
        assert made.code == 201, made.body
        free = {"spec": {"taints": None}}
        assert server.request("PATCH", f"/api/v1/nodes/{name}", free, headers=MERGE).code == 200
    with running(server, SCHEDULER, "scheduler-0") as first:
        wait_until("the first leads", lambda: lease(server, SCHEDULER).get("holderIdentity"))
        leader = lease(server, SCHEDULER)["holderIdentity"]
        with running(server, SCHEDULER, "scheduler-1"):
            _make_pods(server, 0, 5)
            wait_until("the first works", lambda: _bound(server) == 5)
            # It is stopped while it binds: the pods come faster than they are bound.
            _make_pods(server, 5, 200)
            first.send_signal(signal.SIGSTOP)
            _make_pods(server, 200, 250)
            wait_until("the second leads", lambda: lease(server, SCHEDULER)["holderIdentity"] not in ("", leader))
            taken = datetime.fromisoformat(lease(server, SCHEDULER)["acquireTime"])
            first.send_signal(signal.SIGCONT)
            assert first.wait(120) == 1, "who lost the lease ends"
            wait_until("the second finishes", lambda: _bound(server) == 250)
    assert len(leaders(server, SCHEDULER)) == 2, "each says that it leads"
    late = [uri for at, uri in writes(server, "scheduler-0") if at > taken]
    assert writes(server, "scheduler-0"), "the first never wrote"
    assert writes(server, "scheduler-1"), "the second never wrote"
    assert not late, f"the old leader wrote after {taken}"


def _make_pods(server: ApiServer, first: int, end: int) -> None:
    for number in range(first, end):
        pod = {"metadata": {"name": f"pod-{number}"}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}
        made = server.request("POST", "/api/v1/namespaces/default/pods", pod)
        assert made.code == 201, made.body


def _bound(server: ApiServer) -> int:
    listed = server.request("GET", "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName!=").json
    return len(listed["items"])


def _pause_one(server: ApiServer, name: str) -> None:
    with running(server, MANAGER, "manager-0") as first:
        wait_until("the first leads", lambda: lease(server).get("holderIdentity"))
        leader = lease(server)["holderIdentity"]
        with running(server, MANAGER, "manager-1"):
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
            wait_until("the second leads", lambda: lease(server)["holderIdentity"] not in ("", leader))
            taken = datetime.fromisoformat(lease(server)["acquireTime"])
            first.send_signal(signal.SIGCONT)
            assert first.wait(120) == 1, "who lost the lease ends"
            wait_until("the second finishes", lambda: _replicas(server, name) == 300)
    assert len(leaders(server, MANAGER)) == 2, "each says that it leads"
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
