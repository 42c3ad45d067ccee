"""What the fields of a pod come to inside its containers: names, resolvers, environment, processes, last words."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.faults import IDLE, pod


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, clusterDNS=["10.96.0.10"], clusterDomain="cluster.local") as agent:
        yield agent


@pytest.fixture(autouse=True)
def _clean(cluster: Cluster, kubelet: Kubelet) -> Iterator[None]:
    yield
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
    eventually(lambda: not kubelet.pods(), "an empty node")


def said(cluster: Cluster, name: str) -> list[str]:
    """The lines of a container that ends by itself, once it has."""
    eventually(lambda: cluster.pod(name)["status"]["phase"] == "Succeeded", f"the end of {name}")
    return cluster.kubectl("logs", name).splitlines()


def once(name: str, script: str, *, container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod whose one container runs to its end."""
    return pod(name, script, container=container, restartPolicy="Never", **spec)


def test_its_names(cluster: Cluster, kubelet: Kubelet) -> None:
    look = "hostname; hostname -f; cat /etc/hosts"
    cluster.apply(
        once("plain", look),
        once("named", look, hostname="db-0", subdomain="db"),
        once("whole", look, hostname="db-1", subdomain="db", setHostnameAsFQDN=True),
        once("aliased", look, hostAliases=[{"ip": "192.0.2.9", "hostnames": ["one.example", "two.example"]}]),
        once("host", look, hostNetwork=True),
    )
    assert said(cluster, "plain")[:2] == ["plain", "plain"]
    named = said(cluster, "named")
    assert named[:2] == ["db-0", "db-0.db.default.svc.cluster.local"]
    assert named[2] == "# Kubernetes-managed hosts file."
    address = cluster.pod("named")["status"]["podIP"]
    assert named[-1] == f"{address}\tdb-0.db.default.svc.cluster.local\tdb-0"
    assert said(cluster, "whole")[0] == "db-1.db.default.svc.cluster.local"
    assert said(cluster, "aliased")[-2:] == [
        "# Entries added by HostAliases.",
        "192.0.2.9\tone.example\ttwo.example",
    ]
    assert said(cluster, "host")[2].startswith("# Kubernetes-managed hosts file (host network).")
    assert cluster.pod("host")["status"]["podIP"] == kubelet.machine.node_ip


def test_its_resolver(cluster: Cluster, kubelet: Kubelet) -> None:
    own = {"nameservers": ["192.0.2.53"], "searches": ["corp.example"], "options": [{"name": "ndots", "value": "2"}]}
    look = "cat /etc/resolv.conf"
    cluster.apply(
        once("first", look, dnsPolicy="ClusterFirst"),
        once("added", look, dnsPolicy="ClusterFirst", dnsConfig=own),
        once("none", look, dnsPolicy="None", dnsConfig=own),
        once("node", look, dnsPolicy="Default"),
        once("host-net", look, hostNetwork=True),
        once("both", look, hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"),
    )
    suffixes = "default.svc.cluster.local svc.cluster.local cluster.local"
    first = said(cluster, "first")
    assert first[0].startswith(f"search {suffixes}") and first[1:] == ["nameserver 10.96.0.10", "options ndots:5"]
    added = said(cluster, "added")
    assert added[0].startswith(f"search {suffixes}") and added[0].endswith("corp.example")
    assert added[1:] == ["nameserver 10.96.0.10", "nameserver 192.0.2.53", "options ndots:2"]
    assert said(cluster, "none") == ["search corp.example", "nameserver 192.0.2.53", "options ndots:2"]
    node = said(cluster, "node")
    assert "nameserver 10.96.0.10" not in node and said(cluster, "host-net") == node
    assert said(cluster, "both") == first


def test_its_environment(cluster: Cluster, kubelet: Kubelet) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "my-db"},
        "spec": {"ports": [{"port": 5432}]},
    }
    cluster.apply(service)
    clusterip = cluster.get("service", "my-db")["spec"]["clusterIP"]

    def resource(name: str, of: str, divisor: str = "0") -> dict[str, Any]:
        return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": of, "divisor": divisor}}}

    def field(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    container = {
        "resources": {"requests": {"cpu": "50m", "memory": "8Mi"}, "limits": {"cpu": "1500m"}},
        "workingDir": "/usr",
        "args": ["$(FIRST)", "$$(FIRST)", "$(NOBODY)"],
        "env": [
            {"name": "FIRST", "value": "1"},
            {"name": "SECOND", "value": "$(FIRST)-$(THIRD)-$$(FIRST)"},
            resource("CPU", "limits.cpu", "1m"),
            resource("CPUS", "limits.cpu"),
            resource("ASKED", "requests.memory", "1Mi"),
            resource("UNSAID", "limits.memory"),
            field("NAME", "metadata.name"),
            field("NODE", "spec.nodeName"),
            field("IP", "status.podIP"),
            field("HOST", "status.hostIP"),
            field("LABEL", "metadata.labels['tier']"),
        ],
    }
    made = once("environment", 'pwd; echo "$0 $1 $2"; env', container=container)
    made["metadata"]["labels"] = {"tier": "back"}
    unlinked = once("unlinked", "env", enableServiceLinks=False)
    cluster.apply(made, unlinked)
    lines = said(cluster, "environment")
    assert lines[:2] == ["/usr", "1 $(FIRST) $(NOBODY)"]
    found = dict(line.split("=", 1) for line in lines[2:])
    status = cluster.pod("environment")["status"]
    assert found["SECOND"] == "1-$(THIRD)-$(FIRST)"
    assert (found["CPU"], found["CPUS"], found["ASKED"]) == ("1500", "2", "8")
    # What has no limit may have the node's allocatable.
    allocatable = cluster.get("node", "node")["status"]["allocatable"]["memory"]
    assert int(found["UNSAID"]) == int(allocatable.removesuffix("Ki")) * 1024
    assert (found["NAME"], found["NODE"], found["LABEL"]) == ("environment", "node", "back")
    assert (found["IP"], found["HOST"]) == (status["podIP"], kubelet.machine.node_ip)
    assert found["MY_DB_SERVICE_HOST"] == clusterip and found["MY_DB_PORT_5432_TCP_PORT"] == "5432"
    assert found["KUBERNETES_SERVICE_HOST"]
    alone = dict(line.split("=", 1) for line in said(cluster, "unlinked"))
    assert "MY_DB_SERVICE_HOST" not in alone and alone["KUBERNETES_SERVICE_HOST"] == found["KUBERNETES_SERVICE_HOST"]


def test_its_projected_volume(cluster: Cluster, kubelet: Kubelet) -> None:
    """Several sources in one folder, with the modes that each asks for, and a token for somebody else's eyes."""
    cluster.kubectl("create", "configmap", "settings", "--from-literal=level=high", "--from-literal=left=out")
    cluster.kubectl("create", "secret", "generic", "keys", "--from-literal=key=hush")
    sources = [
        {"configMap": {"name": "settings", "items": [{"key": "level", "path": "deep/er/level", "mode": 0o400}]}},
        {"secret": {"name": "keys"}},
        {"secret": {"name": "nobody", "optional": True}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}},
    ]
    look = (
        "cd /all; cat deep/er/level key; echo; cat labels; echo; cat token; echo; stat -L -c %a deep/er/level key token"
    )
    volumes = [{"name": "all", "projected": {"sources": sources, "defaultMode": 0o440}}]
    made = once("projected", look, container={"volumeMounts": [{"name": "all", "mountPath": "/all"}]}, volumes=volumes)
    made["metadata"]["labels"] = {"tier": "back"}
    cluster.apply(made)
    words, labels, token, *modes = said(cluster, "projected")
    assert (words, labels, modes) == ("highhush", 'tier="back"', ["400", "440", "440"])
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["aud"] == ["vault"] and claims["kubernetes.io"]["pod"]["name"] == "projected"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.whoami(token)
    assert "Unauthorized" in refused.value.stderr


def test_its_processes(cluster: Cluster, kubelet: Kubelet) -> None:
    both = [busybox(IDLE), {**busybox("sleep 4242"), "name": "other"}]
    shared = pod("shared")
    shared["spec"].update(containers=both, shareProcessNamespace=True)
    apart = pod("apart")
    apart["spec"].update(containers=both)
    cluster.apply(shared, apart)
    for name, sees in (("shared", True), ("apart", False)):
        cluster.ready(name)
        listed = cluster.kubectl("exec", name, "-c", "main", "--", "ps")
        assert ("sleep 4242" in listed, "pause" in listed) == (sees, sees), listed


def test_its_last_words(cluster: Cluster, kubelet: Kubelet) -> None:
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    cluster.apply(
        once("file", "echo -n bye > /dev/termination-log"),
        once("own-file", "echo -n bye > /tmp/last", container={"terminationMessagePath": "/tmp/last"}),
        once("long", "head -c 9000 /dev/zero | tr '\\0' x > /dev/termination-log"),
        once("well", "echo fine", container=fallback),
        once("failed", "echo what went wrong; exit 3", container=fallback),
        once("both", "echo in the log; echo -n in the file > /dev/termination-log; exit 3", container=fallback),
        once("silent", "echo what went wrong; exit 3"),
    )

    def last(name: str) -> tuple[int, str]:
        def look() -> dict[str, Any]:
            ended: dict[str, Any] = cluster.pod(name)["status"]["containerStatuses"][0]["state"]["terminated"]
            return ended

        ended = eventually(look, f"the end of {name}")
        return ended["exitCode"], ended.get("message", "")

    assert last("file") == last("own-file") == (0, "bye")
    assert last("long") == (0, "x" * 4096)
    assert last("well") == (0, "") and last("failed") == (3, "what went wrong\n")
    assert last("both") == (3, "in the file") and last("silent") == (3, "")


def test_its_gates(cluster: Cluster, kubelet: Kubelet) -> None:
    gate = "example.com/in-the-balancer"
    cluster.apply(pod("gated", readinessGates=[{"conditionType": gate}]))

    def conditions() -> dict[str, Any]:
        return {each["type"]: each for each in cluster.pod("gated")["status"]["conditions"]}

    eventually(lambda: conditions()["ContainersReady"]["status"] == "True", "ready containers")
    ready = conditions()["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    opened = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    cluster.kubectl("patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", json.dumps(opened))
    cluster.ready("gated")
    assert conditions()[gate]["status"] == "True"


def test_a_container_beside_it_for_a_look(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("looked-at"))
    before = cluster.ready("looked-at")["status"]["containerStatuses"][0]["containerID"]
    target = ["--image=busybox", "--image-pull-policy=IfNotPresent", "--target=main", "--container=look"]
    cluster.kubectl("debug", "looked-at", *target, "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; echo; sleep 1000")
    first = eventually(lambda: cluster.kubectl("logs", "looked-at", "-c", "look"), "its words")
    assert first.startswith(f"sh -c {IDLE}"), first
    status = cluster.pod("looked-at")["status"]
    assert status["ephemeralContainerStatuses"][0]["state"]["running"]
    assert status["containerStatuses"][0]["containerID"] == before
