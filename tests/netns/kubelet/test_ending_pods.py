"""What a pod says of itself while it ends: readiness is asked for until its last container has ended, nothing else."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined

FINALIZER = "example.com/looked-at"


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster) as agent:
        yield agent


def exists(path: str) -> dict[str, Any]:
    """A probe that passes as long as there is a file; one failure counts."""
    probe = {"exec": {"command": ["test", "-e", path]}, "timeoutSeconds": 30}
    return {**probe, "periodSeconds": 1, "failureThreshold": 1}


def stubborn(name: str, **spec: Any) -> dict[str, Any]:
    """A pod with a sidecar. Both note SIGTERM and stay until /s/go or /s/NAME-go is there; probes look at /s too."""

    def container(which: str, **more: Any) -> dict[str, Any]:
        return busybox(
            f"touch /s/{which} /s/{which}-alive; trap 'touch /s/{which}-term' TERM;"
            f" until test -e /s/go || test -e /s/{which}-go; do sleep 0.1; done",
            volumeMounts=[{"name": "s", "mountPath": "/s"}],
            startupProbe={**exists(f"/s/{which}"), "failureThreshold": 600},
            readinessProbe=exists(f"/s/{which}"),
            livenessProbe=exists(f"/s/{which}-alive"),
            **more,
        ) | {"name": which}

    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "finalizers": [FINALIZER]},
        "spec": {
            "initContainers": [container("side", restartPolicy="Always")],
            "containers": [container("main")],
            "volumes": [{"name": "s", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 600,
            **spec,
        },
    }


def service(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


class Ending:
    """One stubborn pod behind a service."""

    def __init__(self, cluster: Cluster, name: str, **spec: Any) -> None:
        self.cluster, self.name = cluster, name
        cluster.apply(service(name), stubborn(name, **spec))
        cluster.ready(name)

    def shell(self, script: str, container: str = "main") -> str:
        return self.cluster.kubectl("exec", self.name, "-c", container, "--", "sh", "-c", script)

    def condition(self, kind: str) -> tuple[str, str]:
        """(status, message)"""
        listed = {each["type"]: each for each in self.cluster.pod(self.name)["status"]["conditions"]}
        return listed[kind]["status"], listed[kind].get("message", "")

    def containers(self, field: str) -> list[Any]:
        """What the sidecar and the main container say of `field`."""
        status = self.cluster.pod(self.name)["status"]
        return [each[field] for each in (*status["initContainerStatuses"], *status["containerStatuses"])]

    def endpoint(self) -> dict[str, bool]:
        chosen = f"-l=kubernetes.io/service-name={self.name}"
        slices = json.loads(self.cluster.kubectl("get", "endpointslices", chosen, "-o=json"))["items"]
        [endpoint] = [each for found in slices for each in found.get("endpoints") or ()]
        conditions: dict[str, bool] = endpoint["conditions"]
        return conditions

    def unready(self, *names: str) -> None:
        """Wait until the pod says that these containers are not ready."""
        said = ("False", f"containers with unready status: [{' '.join(names)}]")
        for kind in ("Ready", "ContainersReady"):
            eventually(lambda kind=kind: self.condition(kind) == said, f"{kind}: {said}")

    def end(self, container: str = "main") -> dict[str, Any]:
        """Let the containers go, by the hand of one, and the pod once it has ended; returns its last status."""
        self.shell("touch /s/go", container)
        eventually(lambda: all("terminated" in state for state in self.containers("state")), "the end")
        last: dict[str, Any] = self.cluster.pod(self.name)["status"]
        self.cluster.kubectl("patch", "pod", self.name, "--type=merge", '-p={"metadata":{"finalizers":null}}')
        self.cluster.kubectl("delete", "pod", self.name, "--timeout=120s", "--ignore-not-found")
        return last

    def complaints(self) -> set[str]:
        """What the events say of failed probes."""
        chosen = f"--field-selector=involvedObject.name={self.name},reason=Unhealthy"
        listed = json.loads(self.cluster.kubectl("get", "events", chosen, "-o=json"))["items"]
        return {f"{each['involvedObject']['fieldPath']} {each['message'].split()[0]}" for each in listed}


@pytest.mark.parametrize("how", ["deleted", "deadline"])
def test_readiness_is_told_until_the_last_container_has_ended(cluster: Cluster, kubelet: Kubelet, how: str) -> None:
    pod = Ending(cluster, how)
    assert pod.endpoint() == {"ready": True, "serving": True, "terminating": False}
    if how == "deleted":
        cluster.kubectl("delete", "pod", how, "--wait=false")
    else:
        cluster.kubectl("patch", "pod", how, '-p={"spec":{"activeDeadlineSeconds":1}}')
    eventually(lambda: pod.shell("test -e /s/main-term && echo yes") == "yes\n", "the signal")
    assert pod.containers("ready") == pod.containers("started") == [True, True] and pod.condition("Ready")[0] == "True"

    pod.shell("rm /s/main-alive /s/side-alive /s/main")
    pod.unready("main")
    assert pod.containers("ready") == [True, False] and pod.containers("started") == [True, True]
    doomed = how == "deleted"
    eventually(lambda: pod.endpoint() == {"ready": False, "serving": False, "terminating": doomed}, "its endpoint")
    pod.shell("rm /s/side")
    pod.unready("side", "main")
    pod.shell("touch /s/side")
    pod.unready("main")

    last = pod.end()
    assert last["phase"] == ("Succeeded" if doomed else "Failed")
    statuses = [*last["initContainerStatuses"], *last["containerStatuses"]]
    assert [(each["ready"], each["started"], each["restartCount"]) for each in statuses] == [(False, False, 0)] * 2
    probes = {"spec.containers{main} Readiness", "spec.initContainers{side} Readiness"}
    eventually(lambda: pod.complaints() >= probes, "the events")
    assert not [each for each in pod.complaints() if "Liveness" in each]


def test_a_restarted_kubelet_goes_on_asking(cluster: Cluster, kubelet: Kubelet) -> None:
    pod = Ending(cluster, "restarted")
    cluster.kubectl("delete", "pod", "restarted", "--wait=false")
    pod.shell("rm /s/main")
    pod.unready("main")
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    pod.shell("rm /s/side")
    pod.unready("side", "main")
    pod.shell("touch /s/main")
    pod.unready("side")
    assert pod.containers("started") == [True, True]
    pod.end()


def test_a_pod_that_has_done_its_work_runs_until_its_sidecar_has_ended(cluster: Cluster, kubelet: Kubelet) -> None:
    pod = Ending(cluster, "worker", restartPolicy="Never")
    pod.shell("touch /s/main-go")
    eventually(lambda: pod.shell("test -e /s/side-term && echo yes", "side") == "yes\n", "the sidecar's signal")
    pod.unready("main")
    assert cluster.pod("worker")["status"]["phase"] == "Running" and pod.containers("ready") == [True, False]
    assert pod.condition("Initialized")[0] == "True"
    last = pod.end("side")
    assert last["phase"] == "Succeeded"
