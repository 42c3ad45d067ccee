"""Pods of the API on a real node: our control plane, our kubelet, a real containerd, stock kubectl."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined

FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, clusterDNS=["10.96.0.10"], clusterDomain="cluster.local") as agent:
        yield agent


@pytest.fixture(autouse=True)
def _clean(cluster: Cluster, kubelet: Kubelet) -> Iterator[None]:
    yield
    for manifest in kubelet.manifests.iterdir():
        manifest.unlink()
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
    eventually(lambda: not kubelet.pods(), "an empty node")
    eventually(lambda: not list((kubelet.root / "pods").iterdir()), "no pod folder left")


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 5, **spec},
    }


def test_the_node_registers_and_says_what_it_is(cluster: Cluster, kubelet: Kubelet) -> None:
    node = cluster.get("node", "node")
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in node["status"]["conditions"]}
    assert conditions["Ready"] == ("True", "KubeletReady", "kubelet is posting ready status")
    assert conditions["DiskPressure"] == ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
    assert conditions["PIDPressure"][1:] == ("KubeletHasSufficientPID", "kubelet has sufficient PID available")
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node"
    assert {"type": "InternalIP", "address": kubelet.machine.node_ip} in node["status"]["addresses"]
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    lease = cluster.get("lease", "node", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "node" and lease["spec"]["leaseDurationSeconds"] == 40
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    renewed = lease["spec"]["renewTime"]
    eventually(lambda: cluster.get("lease", "node", "kube-node-lease")["spec"]["renewTime"] != renewed, "a renewal")


def test_a_pod_from_kubectl_to_logs_exec_and_deletion(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("web", busybox(f"echo hello; httpd -p 8080 -h /etc; {FOREVER}")))
    ready = cluster.ready("web")
    assert ready["status"]["podIP"].startswith("10.198.") and ready["spec"]["nodeName"] == "node"
    eventually(lambda: cluster.events("web") == ["Scheduled", "Pulled", "Created", "Started"], "its events")
    eventually(lambda: cluster.kubectl("logs", "web") == "hello\n", "its words")
    assert cluster.kubectl("exec", "web", "--", "sh", "-c", "echo $HOSTNAME") == "web\n"
    assert "exit code 4" in cluster.kubectl("exec", "web", "--", "sh", "-c", "exit 4", check=False)
    assert cluster.kubectl("exec", "-i", "web", "--", "wc", "-c", text="x" * 3_000_000).strip() == "3000000"
    uid = ready["metadata"]["uid"]
    cluster.kubectl("delete", "pod", "web", "--timeout=120s")
    assert 'pods "web" not found' in cluster.kubectl("get", "pod", "web", check=False)
    eventually(lambda: not (kubelet.root / "pods" / uid).exists(), "its folder to go")
    eventually(lambda: not kubelet.machine.ctr("tasks", "ls", "-q").split(), "the end of its processes")


def test_an_address_is_told_while_a_container_takes_its_time(cluster: Cluster, kubelet: Kubelet) -> None:
    """The pass is not over before the hook is; what is known until then does not wait for it."""
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "until test -e /tmp/go; do sleep 0.1; done"]}}}
    cluster.apply(pod("slow", busybox(FOREVER, lifecycle=hook)))
    early = eventually(
        lambda: found if (found := cluster.pod("slow")["status"]).get("podIP") else None, "the address of the pod"
    )
    assert early is not None and early["phase"] == "Pending" and "waiting" in early["containerStatuses"][0]["state"]

    def told_to_go() -> bool:
        ours = kubelet.machine.ctr("containers", "ls", 'labels."io.kubernetes.pod.name"==slow')
        [container] = [line.split()[0] for line in ours.splitlines() if "busybox" in line]
        identity = f"go-{time.monotonic_ns()}"
        kubelet.machine.ctr("tasks", "exec", "--exec-id", identity, container, "touch", "/tmp/go")
        return True

    eventually(told_to_go, "a process that can be told to go on")
    assert cluster.ready("slow")["status"]["podIP"] == early["podIP"]


def test_port_forward(cluster: Cluster, kubelet: Kubelet) -> None:
    probe = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}}
    cluster.apply(pod("fwd", busybox(f"httpd -p 8080 -h /etc; {FOREVER}", **probe)))
    cluster.ready("fwd")
    forward = subprocess.Popen(
        ["kubectl", f"--kubeconfig={cluster.admin}", "port-forward", "pod/fwd", ":8080"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert forward.stdout is not None
        port = forward.stdout.readline().split("127.0.0.1:")[1].split(" ")[0]
        got = subprocess.run(
            ["curl", "-s", f"http://127.0.0.1:{port}/hostname"], capture_output=True, text=True, timeout=60
        )
        assert got.stdout == "fwd\n"
    finally:
        forward.kill()
        forward.wait()


def test_configuration_reaches_the_container_and_follows_changes(cluster: Cluster, kubelet: Kubelet) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"k": "one"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"p": "hush"}}
    container = busybox(
        f"echo $K-$P; cat /conf/k; echo; cat /sec/p; echo; ls /var/run/secrets/kubernetes.io/serviceaccount; "
        f"cat /etc/resolv.conf; {FOREVER}",
        env=[{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}}],
        envFrom=[{"secretRef": {"name": "sec"}, "prefix": "X"}],
        volumeMounts=[{"name": "c", "mountPath": "/conf"}, {"name": "s", "mountPath": "/sec"}],
    )
    container["env"].append({"name": "P", "value": "$(Xp)"})
    volumes = [{"name": "c", "configMap": {"name": "conf"}}, {"name": "s", "secret": {"secretName": "sec"}}]
    cluster.apply(config, secret, pod("conf", container, volumes=volumes))
    cluster.ready("conf")
    text = eventually(
        lambda: cluster.kubectl("logs", "conf") if "ndots" in cluster.kubectl("logs", "conf") else "", "the log"
    )
    assert text.startswith("one-hush\none\nhush\nca.crt\nnamespace\ntoken\n")
    assert (
        "nameserver 10.96.0.10" in text and "search default.svc.cluster.local svc.cluster.local cluster.local" in text
    )
    token = cluster.kubectl("exec", "conf", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert cluster.whoami(token) == "system:serviceaccount:default:default"


def test_a_missing_config_map_holds_the_pod_until_it_is_there(cluster: Cluster, kubelet: Kubelet) -> None:
    env = [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]
    volume = {"name": "v", "configMap": {"name": "later"}}
    mount = busybox(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    cluster.apply(pod("held", busybox(FOREVER, env=env)), pod("mount", mount, volumes=[volume]))
    eventually(lambda: waiting(cluster, "held").get("reason") == "CreateContainerConfigError", "the reason")
    assert waiting(cluster, "held")["message"] == 'configmap "late" not found'
    eventually(lambda: "FailedMount" in cluster.events("mount"), "the event")
    assert waiting(cluster, "mount")["reason"] == "ContainerCreating"
    for name in ("late", "later"):
        cluster.kubectl("create", "configmap", name, "--from-literal=k=v")
    cluster.ready("mount")
    cluster.ready("held")


def waiting(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.pod(name)["status"]["containerStatuses"][0]["state"].get("waiting", {})
    return found


def test_pods_that_end(cluster: Cluster, kubelet: Kubelet) -> None:
    done = {"restartPolicy": "Never"}
    cluster.apply(
        pod("good", busybox("echo done"), **done),
        pod("bad", busybox("exit 7"), **done),
        pod("late", busybox(FOREVER), activeDeadlineSeconds=2),
    )
    eventually(lambda: cluster.pod("good")["status"]["phase"] == "Succeeded", "success")
    eventually(lambda: cluster.pod("bad")["status"]["phase"] == "Failed", "failure")
    assert cluster.pod("bad")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert cluster.kubectl("logs", "good") == "done\n"
    eventually(lambda: cluster.pod("late")["status"].get("reason") == "DeadlineExceeded", "the deadline")
    assert cluster.pod("late")["status"]["phase"] == "Failed"


def test_a_killed_container_restarts_and_the_api_hears_of_it(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("killed", busybox(FOREVER)))
    container = cluster.ready("killed")["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", container)
    eventually(lambda: cluster.pod("killed")["status"]["containerStatuses"][0]["restartCount"] == 1, "the restart")


def test_a_status_that_others_wrote_is_made_true_again(cluster: Cluster, kubelet: Kubelet) -> None:
    """A node was silent: the node lifecycle controller took Ready from its pods, and the kubelet gives it back."""
    cluster.apply(pod("shaken", busybox(FOREVER)))
    cluster.ready("shaken")
    wrong = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    cluster.kubectl("patch", "pod", "shaken", "--subresource=status", f"-p={json.dumps(wrong)}")
    cluster.ready("shaken")


def test_a_static_pod_has_a_mirror_that_comes_back(cluster: Cluster, kubelet: Kubelet) -> None:
    name = kubelet.static("mirrored", {"containers": [busybox(FOREVER)], "terminationGracePeriodSeconds": 1})
    mirror = cluster.ready(name) if eventually(lambda: name in cluster.kubectl("get", "pods"), "the mirror") else {}
    container = mirror["status"]["containerStatuses"][0]["containerID"]
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert mirror["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert cluster.kubectl("exec", name, "--", "echo", "in") == "in\n"
    cluster.kubectl("delete", "pod", name, "--wait=false", "--grace-period=0", "--force")
    eventually(lambda: cluster.pod(name)["metadata"]["uid"] != mirror["metadata"]["uid"], "a new mirror")

    def shown() -> Any:
        return cluster.pod(name)["status"]["containerStatuses"][0].get("containerID")

    eventually(lambda: shown() == container, "the same container")
    (manifest,) = kubelet.manifests.glob("mirrored*")
    away = kubelet.manifests.parent / manifest.name
    manifest.rename(away)
    eventually(lambda: name not in kubelet.pods(), "the file that is missed")
    away.rename(manifest)
    eventually(lambda: shown() not in (container, None), "another container of the same file")
    assert cluster.ready(name)["status"]["phase"] == "Running"
    kubelet.remove_static("mirrored")
    eventually(lambda: name not in cluster.kubectl("get", "pods"), "the mirror to go")


def test_the_api_away_and_back(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("steady", busybox(FOREVER)))
    before = cluster.ready("steady")["status"]["containerStatuses"][0]["containerID"]
    cluster.stop(signal.SIGKILL)
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", before.partition("://")[2])
    eventually(lambda: kubelet.container("steady")["restartCount"] == 1, "the restart without an API")
    static = kubelet.static("alone", {"containers": [busybox(FOREVER)], "terminationGracePeriodSeconds": 1})
    kubelet.running(static)
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    assert kubelet.running(static)["restartCount"] == 0
    cluster.start()
    eventually(lambda: cluster.pod("steady")["status"]["containerStatuses"][0]["restartCount"] == 1, "the news")
    eventually(lambda: static in cluster.kubectl("get", "pods"), "the mirror")
    assert kubelet.container("steady")["restartCount"] == 1


def test_deleted_and_recreated_while_the_kubelet_was_down(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("twin", busybox(FOREVER)))
    old = cluster.ready("twin")
    kubelet.stop()
    cluster.kubectl("delete", "pod", "twin", "--grace-period=0", "--force")
    again = pod("twin", busybox(FOREVER), nodeName="node")
    cluster.apply(again)
    kubelet.start()
    new = cluster.ready("twin")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    eventually(lambda: len(kubelet.machine.ctr("tasks", "ls", "-q").split()) == 2, "the old pod's end")


def test_who_may_ask_the_kubelet(cluster: Cluster, kubelet: Kubelet) -> None:
    assert kubelet.refusal("/pods", credentials=False) == (401, "Unauthorized")
    token = cluster.kubectl("create", "token", "default").strip()
    code, text = kubelet.refusal("/pods", token=token)
    assert (code, text) == (
        403,
        "Forbidden (user=system:serviceaccount:default:default, verb=get, resource=nodes, subresource(s)=[proxy])\n",
    )
    cluster.kubectl("create", "clusterrole", "reader", "--verb=get", "--resource=nodes/proxy")
    cluster.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=default:reader")
    cluster.kubectl("create", "serviceaccount", "reader")
    reader = cluster.kubectl("create", "token", "reader").strip()
    eventually(lambda: kubelet.get("/pods", credentials=False, token=reader), "the permitted answer")
    assert kubelet.refusal("/stats/summary", token=reader)[0] == 403


def test_what_runs_is_asked_of_the_runtime(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(pod("runs", busybox(FOREVER), busybox("exit 0", name="ends"), restartPolicy="Never"))
    eventually(lambda: any(kubelet.container("runs", at)["state"].get("terminated") for at in (0, 1)), "an end")
    for path in ("/runningpods", "/runningpods/"):
        (shown,) = json.loads(kubelet.get(path))["items"]
        assert shown["metadata"] == {k: cluster.pod("runs")["metadata"][k] for k in ("name", "namespace", "uid")}
        (container,) = shown["spec"]["containers"]
        assert container["name"] == "main"


def test_ten_pods_at_once(cluster: Cluster, kubelet: Kubelet) -> None:
    cluster.apply(*(pod(f"many{n}", busybox(FOREVER)) for n in range(10)))
    for n in range(10):
        cluster.ready(f"many{n}")
    assert len({cluster.pod(f"many{n}")["status"]["podIP"] for n in range(10)}) == 10
