"""`kubelab step` against the control plane in one process, and the port of a component that is its own process."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.client.config import load_kubeconfig
from apimachinery.client.guarded import Guarded
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.debug import DebugServer
from apimachinery.kit.selfsigned import self_signed_context
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.components import beside
from tests.integration.ports import free_port
from tests.integration.process import ROOT, ControlPlane, wait_until

LOOPS = "/debug/components/kube-controller-manager/loops"
ADMIN = User("kubernetes-admin", groups=("system:masters",))


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One of our own: a paused controller would be missed by others."""
    plane = ControlPlane(tmp_path_factory.mktemp("step") / "data", "sqlite")
    plane.start()
    wait_until("the controllers lead", lambda: plane.request("GET", LOOPS).json.get("leading"))
    yield plane
    assert plane.stop() == 0, plane.log


def step(plane: ControlPlane, *words: str, code: int = 0) -> Any:
    argv = [sys.executable, "-m", "provisioner", "step", *words, "--kubeconfig", str(plane.kubeconfig), "--json"]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def told(plane: ControlPlane, loop: str, what: str, key: str = "") -> Any:
    """The same without the command line, which takes most of the time: what = pause, resume, rehearse, step."""
    component = "kube-scheduler" if loop == "scheduler" else "kube-controller-manager"
    query = f"?key={key}" if key else ""
    answer = plane.request("POST", f"/debug/components/{component}/loops/{loop}/{what}{query}")
    assert answer.code == 200, answer.body
    return answer.json


def test_a_replicaset_is_made_step_by_step(plane: ControlPlane) -> None:
    paused = step(plane, "replicaset", "--pause")["loops"]
    assert [(loop["name"], loop["paused"]) for loop in paused] == [("replicaset-controller", True)]
    assert told(plane, "replicaset-controller", "rehearse") == {}
    plane.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")

    def waiting() -> Any:
        return plane.request("GET", f"{LOOPS}/replicaset-controller").json["ready"]

    assert len(wait_until("the key waits", waiting)) == 1
    rehearsal = told(plane, "replicaset-controller", "rehearse")
    assert ["pods", 3, 0] in rehearsal["picture"]["rows"]
    made = [write["after"]["kind"] for write in rehearsal["writes"] if write["method"] == "POST"]
    assert made == ["Pod", "Pod", "Pod"]
    # Rehearsed again, and nothing has happened: not even the expectation that pods will come.
    again = told(plane, "replicaset-controller", "rehearse")
    assert [write["method"] for write in again["writes"]] == [write["method"] for write in rehearsal["writes"]]
    assert plane.get("pods")["items"] == []
    assert not [e for e in plane.get("events")["items"] if e["reason"] == "SuccessfulCreate"]

    done = step(plane, "replicaset", "--yes")
    assert [write["path"] for write in done["rehearsal"]["writes"]] == [write["path"] for write in again["writes"]]
    assert done["outcome"]["result"] == "success"
    assert len(plane.get("pods")["items"]) == 3
    assert told(plane, "replicaset-controller", "resume")["paused"] is False
    wait_until("it works by itself", lambda: plane.get("rs")["items"][0]["status"]["replicas"] == 3)


def test_what_would_be_refused_is_told_with_the_servers_words(plane: ControlPlane) -> None:
    told(plane, "replicaset-controller", "pause")
    plane.kubectl("create", "namespace", "tight")
    plane.kubectl("create", "quota", "none", "--hard=pods=0", "-n", "tight")
    wait_until("the quota counts", lambda: plane.get("quota", "none", "-n", "tight").get("status", {}).get("used"))
    plane.kubectl("create", "deployment", "big", "--image=nginx", "-n", "tight")
    found = wait_until("a set", lambda: plane.get("rs", "-n", "tight")["items"])
    key = f"tight/{found[0]['metadata']['name']}"

    def seen() -> Any:
        return told(plane, "replicaset-controller", "rehearse", key)["picture"]["object"]

    wait_until("the set is seen", seen)
    rehearsal = told(plane, "replicaset-controller", "rehearse", key)
    assert "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0" in rehearsal["error"]
    assert [event["reason"] for event in rehearsal["events"]] == ["FailedCreate"]
    failed = step(plane, "replicaset", key.partition("/")[2], "-n", "tight", "--yes", code=1)["outcome"]
    assert failed["key"] == key
    assert (failed["result"], "exceeded quota" in failed["error"]) == ("error", True)
    told(plane, "replicaset-controller", "resume")


def test_the_scheduler_decides_when_told(plane: ControlPlane) -> None:
    told(plane, "scheduler", "pause")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}}
    assert plane.request("POST", "/api/v1/nodes", node).code == 201
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "alone", "namespace": "default"},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "nginx", "resources": {"requests": {"cpu": "2"}}}],
        },
    }
    assert plane.request("POST", "/api/v1/namespaces/default/pods", pod).code == 201

    def refused() -> Any:
        return told(plane, "scheduler", "rehearse", "default/alone").get("refusals")

    refusal = wait_until("pod and node are seen", refused)["worker-1"]
    assert (refusal["plugin"], "Insufficient cpu" in refusal["reasons"]) == ("NodeResourcesFit", True)
    foretold = told(plane, "scheduler", "rehearse", "default/alone")
    done = step(plane, "scheduler", "alone", "--yes")
    assert done["outcome"]["result"] == f"not scheduled: {foretold['events'][0]['message']}"
    (condition,) = plane.get("pod", "alone")["status"]["conditions"]
    (write,) = foretold["writes"]
    assert write["path"].endswith("/pods/alone/status")
    assert write["after"]["status"]["message"] == condition["message"]

    status = {"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "9"}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    assert plane.request("PATCH", "/api/v1/nodes/worker-1/status", status, headers=headers).code == 200

    def binds() -> bool:
        writes = told(plane, "scheduler", "rehearse", "default/alone").get("writes") or ()
        return any(each["path"].endswith("/binding") for each in writes)

    wait_until("room", binds)
    done = step(plane, "scheduler", "alone", "--yes")
    assert done["rehearsal"]["key"] == "default/alone"
    assert done["rehearsal"]["writes"][0]["body"]["target"]["name"] == "worker-1"
    assert done["outcome"]["result"] == "bound to worker-1", (plane.get("events"), plane.log)
    assert plane.get("pod", "alone")["spec"]["nodeName"] == "worker-1"

    important = copy.deepcopy(pod)
    important["metadata"]["name"] = "important"
    important["spec"] |= {"priorityClassName": "system-node-critical"}
    important["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "3"
    assert plane.request("POST", "/api/v1/namespaces/default/pods", important).code == 201
    wait_until("it is seen", lambda: told(plane, "scheduler", "rehearse", "default/important").get("writes"))
    done = step(plane, "scheduler", "important", "--yes")
    waits, evicts = done["rehearsal"]["writes"]
    assert (waits["after"]["status"]["nominatedNodeName"], evicts["method"]) == ("worker-1", "DELETE")
    assert evicts["path"].endswith("/pods/alone")
    assert plane.get("pod", "alone")["metadata"]["deletionTimestamp"]
    told(plane, "scheduler", "resume")


def test_only_who_may(plane: ControlPlane) -> None:
    assert plane.request("POST", f"{LOOPS}/job-controller/pause", anonymous=True).code in (401, 403)
    as_bob = {"Impersonate-User": "bob"}
    refused = plane.request("POST", f"{LOOPS}/job-controller/pause", headers=as_bob)
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    rule = ["create", "clusterrole", "stepper", "--verb=get,post", f"--non-resource-url={LOOPS}*"]
    plane.kubectl(*rule)
    plane.kubectl("create", "clusterrolebinding", "bob-steps", "--clusterrole=stepper", "--user=bob")
    wait_until("bob may", lambda: plane.request("GET", LOOPS, headers=as_bob).code == 200)
    assert plane.request("GET", "/debug/components/nobody/loops").code == 404


async def test_a_components_own_port_believes_the_front_proxy_and_asks_for_permission(
    plane: ControlPlane, tmp_path: Path
) -> None:
    plane.kubectl("create", "clusterrole", "looker", "--verb=get", "--non-resource-url=/debug/loops")
    plane.kubectl("create", "clusterrolebinding", "eve-looks", "--clusterrole=looker", "--user=eve")
    port, clock, stop = free_port(), SystemClock(), asyncio.Event()
    context = self_signed_context("kube-scheduler")
    server = DebugServer("127.0.0.1", port, tls=context)
    pki = plane.directory / "pki"
    ask = beside("kube-scheduler", port, pki / "front-proxy-client.crt", pki / "front-proxy-client.key")
    stranger = beside("kube-scheduler", port, pki / "apiserver-etcd-client.crt", pki / "apiserver-etcd-client.key")
    async with Client(load_kubeconfig(plane.directory / "scheduler.conf"), "kube-scheduler") as client:
        guarded = Guarded(server, client, clock)
        guarded.route("/debug", GlassBox(Trace("kube-scheduler")).answer)
        serving = asyncio.create_task(server.run(stop))
        try:
            await guarded.run(context)
            answer: Any = None
            async with asyncio.timeout(120):
                while answer is None:
                    try:
                        answer = await ask("GET", "loops", {}, ADMIN)
                    except ApiError as error:  # the port is not open yet
                        assert error.code == 503, error
            assert orjson.dumps(answer) == b'{"component":"kube-scheduler","leading":false,"loops":[]}'
            assert await ask("GET", "loops", {}, User("eve")) == answer
            with pytest.raises(ApiError, match='User "eve" cannot get path "/debug/trace"'):
                await ask("GET", "trace", {}, User("eve"))
            with pytest.raises(ApiError) as unknown:
                await stranger("GET", "loops", {}, ADMIN)
            assert unknown.value.code == 401, "a certificate of another authority proves nothing"
        finally:
            stop.set()
            await cancel_and_wait(serving)
