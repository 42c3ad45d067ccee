"""The first hour with a lab on network namespaces: brought up, used, broken, repaired, destroyed by the provisioner.

Everything is looked at with stock kubectl and real packets. The tests build on each other, in the order of the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner import lifecycle
from provisioner.home import LabHome, find_home
from provisioner.spec import Machine
from provisioner.specfile import parse_lab
from tests.netns.lab.labs import bring_up
from tests.netns.lab.leftovers import footprint, leftovers
from tests.vm.cluster import Cluster, condition
from tests.vm.waiting import until

Object = dict[str, Any]

LAB = """
name: journey
driver: netns
network: 192.168.72.0/24
podCIDR: 10.247.0.0/16
serviceCIDR: 10.99.0.0/16
"""
WEB = "app=web"
COUNTER = """
apiVersion: v1
kind: Pod
metadata: {name: counter, labels: {app: counter}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: busybox, command: [sh, -c, 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done']}
  - {name: broken, image: busybox, command: [sh, -c, 'echo last words; exit 2']}
"""
MOVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: mover}
spec:
  replicas: 4
  selector: {matchLabels: {app: mover}}
  template:
    metadata: {labels: {app: mover}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
      containers: [{name: main, image: busybox, command: [sleep, "9999"]}]
"""
WRONG = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: wrong}
spec:
  replicas: -1
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: c}}
    spec: {containers: [{name: main, image: busybox}]}
"""


def _up() -> lifecycle.Brought:
    return bring_up(parse_lab(LAB))


@pytest.fixture(scope="module")
def place() -> Iterator[LabHome]:
    """The lab's home; whatever the tests do, the lab is destroyed."""
    place = LabHome(find_home(), "journey")
    if place.exists:
        lifecycle.destroy(place)  # of a run that was killed
    yield place
    if place.exists:
        lifecycle.destroy(place)


@pytest.fixture(scope="module")
def cluster(place: LabHome) -> Cluster:
    _up()
    return Cluster(place)


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> str:
    """A pod to look from."""
    cluster.kubectl("run", "client", "--image=busybox", "--command", "--", "sleep", "9999")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
    return "client"


def _inside(cluster: Cluster, client: str, *command: str) -> str:
    return cluster.kubectl("exec", client, "--", *command)


def _restarts(cluster: Cluster, pod: str, namespace: str = "default") -> int:
    return int(cluster.get("pod", pod, "-n", namespace)["status"]["containerStatuses"][0]["restartCount"])


def _process_of(container_id: str) -> int:
    """The first process of a container, by its cgroup."""
    bare = container_id.removeprefix("containerd://")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if bare in (folder / "cgroup").read_text():
                found.append(int(folder.name))
    assert found, f"no process of {container_id}"
    return min(found)


def _unit_process(cluster: Cluster, machine: Machine, unit: str) -> int | None:
    found = re.search(r"main PID (\d+)", cluster.on(machine, f"systemctl status {unit}"))
    return int(found[1]) if found else None


def _container_ids(cluster: Cluster) -> set[str]:
    pods = [*cluster.pods(WEB), *cluster.pods("run=client")]
    return {each["containerID"] for pod in pods for each in pod["status"]["containerStatuses"]}


def _all_on(pods: list[Object] | None, node: str) -> bool:
    return pods is not None and {pod["spec"]["nodeName"] for pod in pods} == {node}


def test_everything_is_ready_and_says_nothing_else(cluster: Cluster) -> None:
    assert [(each.machine.name, each.node) for each in lifecycle.status(cluster.place)] == [
        ("master-1", "Ready"),
        ("worker-1", "Ready"),
        ("worker-2", "Ready"),
    ]

    def ready() -> bool:
        for pod in cluster.get("pods", "-n", "kube-system")["items"]:
            found = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
            assert found["status"] == "True" and "reason" not in found and "message" not in found, found
        return True

    # metrics-server is waited for by nobody, and Ready when it has measured twice.
    until("every pod is Ready", ready, 120)


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    before = cluster.get("pods", "-n", "kube-system")["items"]
    assert _up().seconds < 90
    after = cluster.get("pods", "-n", "kube-system")["items"]
    assert [pod["metadata"]["uid"] for pod in after] == [pod["metadata"]["uid"] for pod in before]


def test_a_deployment_is_reached_from_everywhere(cluster: Cluster, client: str) -> None:
    cluster.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3", "--port=80")
    cluster.kubectl("expose", "deployment", "web", "--type=NodePort")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    assert {pod["spec"]["nodeName"] for pod in cluster.pods(WEB)} == {"worker-1", "worker-2"}
    spec = cluster.get("service", "web")["spec"]
    for machine in cluster.lab.machines:
        for url in (f"http://{spec['clusterIP']}", f"http://{machine.ip}:{spec['ports'][0]['nodePort']}"):
            until(f"{url} on {machine.name}", lambda m=machine, u=url: cluster.on(m, f"curl -sS -m 3 {u}"))
    for url in ("http://web", f"http://{spec['clusterIP']}", "http://web.default.svc.cluster.local"):
        asked = ("timeout", "10", "wget", "-qO-", url)
        until(f"{url} in a pod", lambda asked=asked: "nginx" in _inside(cluster, client, *asked))
    events = cluster.get("events", "--field-selector=type=Warning,involvedObject.kind=Service")["items"]
    assert [event["message"] for event in events] == []


def test_rollout_undo_and_scale(cluster: Cluster) -> None:
    first = cluster.get("deployment", "web")["spec"]["template"]
    cluster.kubectl("set", "env", "deployment/web", "COLOUR=blue")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    cluster.kubectl("rollout", "undo", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    assert cluster.get("deployment", "web")["spec"]["template"] == first
    for count in (5, 3):
        cluster.kubectl("scale", "deployment/web", f"--replicas={count}")
        until(f"{count} pods", lambda count=count: cluster.ready_pods(WEB, count))


def test_exec_terminal_and_copy(cluster: Cluster, client: str, tmp_path: Path) -> None:
    assert cluster.try_kubectl("exec", client, "--", "sh", "-c", "exit 7").returncode == 7
    assert cluster.kubectl("exec", "-i", client, "--", "cat", stdin="typed") == "typed"
    code, shown = _on_terminal(cluster, "exec", "-it", client, "--", "sh", "-c", "tty; exit 3")
    assert (code, "/dev/pts/0" in shown) == (3, True), shown
    data = os.urandom(2_000_000)
    (tmp_path / "there").write_bytes(data)
    cluster.kubectl("cp", str(tmp_path / "there"), f"{client}:/tmp/blob")
    assert _inside(cluster, client, "sha256sum", "/tmp/blob").split()[0] == hashlib.sha256(data).hexdigest()
    cluster.kubectl("cp", f"{client}:/tmp/blob", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def _on_terminal(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """Exit code and output of kubectl with a terminal of its own."""
    ours, theirs = pty.openpty()
    argv = [str(cluster.place.kubectl), f"--kubeconfig={cluster.place.admin_conf}", *arguments]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown, deadline = b"", time.monotonic() + 120
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                shown += os.read(ours, 4096)
        os.close(ours)
        return process.wait(120), shown.decode(errors="replace")


def test_logs_and_restarts(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=COUNTER)
    until("a restart", lambda: _broken(cluster)["restartCount"] >= 1)
    assert cluster.kubectl("logs", "counter", "-c", "broken", "--previous") == "last words"
    refused = cluster.try_kubectl("logs", "counter", "-c", "main", "--previous").stderr
    assert 'previous terminated container "main" in pod "counter" not found' in refused
    assert re.fullmatch(r"line \d+\nline \d+", cluster.kubectl("logs", "counter", "-c", "main", "--tail=2"))
    assert "last words" in cluster.kubectl("logs", "-l", "app=counter", "--all-containers", "--tail=1")
    argv = [str(cluster.place.kubectl), f"--kubeconfig={cluster.place.admin_conf}"]
    with subprocess.Popen([*argv, "logs", "-f", "counter", "-c", "main", "--tail=1"], stdout=subprocess.PIPE) as follow:
        assert follow.stdout is not None
        numbers = [int(follow.stdout.readline().split()[1]) for _ in range(4)]
        follow.terminate()
    assert numbers == list(range(numbers[0], numbers[0] + 4))
    until("backoff", lambda: _broken(cluster)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    cluster.kubectl("delete", "pod", "counter", "--timeout=120s")


def _broken(cluster: Cluster) -> Object:
    states: list[Object] = cluster.get("pod", "counter")["status"].get("containerStatuses", [])
    return next((each for each in states if each["name"] == "broken"), {"restartCount": 0, "state": {}})


def test_port_forward(cluster: Cluster) -> None:
    argv = [str(cluster.place.kubectl), f"--kubeconfig={cluster.place.admin_conf}", "port-forward", "svc/web", ":80"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = re.search(r"127\.0\.0\.1:(\d+) -> 80", forward.stdout.readline())
            assert port
            url = f"http://127.0.0.1:{port[1]}/"
            shown = subprocess.run(["curl", "-sS", "-m", "60", url], capture_output=True, text=True, check=True)
            assert "nginx" in shown.stdout
        finally:
            forward.terminate()


def test_debug_adds_a_container(cluster: Cluster, client: str) -> None:
    cluster.kubectl("debug", client, "--image=busybox", "--container=debugger", "--", "sleep", "9999")
    until(
        "the ephemeral container runs",
        lambda: [
            each
            for each in cluster.get("pod", client)["status"].get("ephemeralContainerStatuses", [])
            if "running" in each["state"]
        ],
    )
    assert cluster.kubectl("exec", client, "-c", "debugger", "--", "echo", "inside") == "inside"


def test_a_wrong_manifest_is_refused_with_its_fields(cluster: Cluster) -> None:
    refused = cluster.try_kubectl("apply", "-f", "-", stdin=WRONG)
    assert refused.returncode == 1
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in refused.stderr
    assert "`selector` does not match template `labels`" in refused.stderr
    assert cluster.try_kubectl("get", "deployment", "wrong").returncode == 1


def test_kinds_of_services(cluster: Cluster, client: str) -> None:
    cluster.kubectl("create", "service", "clusterip", "empty", "--tcp=80")
    cluster.kubectl("expose", "deployment", "web", "--name=sticky", "--session-affinity=ClientIP")
    cluster.kubectl("expose", "deployment", "web", "--name=headless", "--cluster-ip=None")
    address = cluster.get("service", "empty")["spec"]["clusterIP"]

    def refused() -> bool:
        shown = cluster.try_kubectl("exec", client, "--", "timeout", "3", "wget", "-qO-", f"http://{address}")
        return "Connection refused" in shown.stderr

    until("no endpoints: refused at once", refused)
    pods = {pod["status"]["podIP"] for pod in cluster.pods(WEB)}

    def resolved() -> bool:
        shown = cluster.try_kubectl("exec", client, "--", "nslookup", "headless.default.svc.cluster.local").stdout
        return set(re.findall(r"Address: (10\.247\.\S+)", shown)) == pods

    until("the headless name has the pods' addresses", resolved)
    sticky = cluster.get("service", "sticky")["spec"]["clusterIP"]
    until("it answers", lambda: _inside(cluster, client, "timeout", "5", "wget", "-qO-", f"http://{sticky}"))

    def remembered() -> bool:
        rules = cluster.on(cluster.workers[0], "iptables-save -t nat").splitlines()
        return any("default/sticky" in rule and "-m recent" in rule for rule in rules)

    until("its clients are remembered", remembered)
    cluster.kubectl("delete", "service", "empty", "sticky", "headless")


def test_killed_container_comes_back(cluster: Cluster, client: str) -> None:
    pod = cluster.pods(WEB)[0]
    name = pod["metadata"]["name"]
    os.kill(_process_of(pod["status"]["containerStatuses"][0]["containerID"]), 9)
    until("it is restarted and Ready", lambda: _restarts(cluster, name) == 1 and cluster.ready_pods(WEB, 3))
    last = cluster.get("pod", name)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 137


@pytest.mark.parametrize("unit", ["kubelet", "kube-proxy", "containerd"])
def test_killed_agent_comes_back_and_harms_no_pod(cluster: Cluster, client: str, unit: str) -> None:
    worker, before = cluster.workers[0], _container_ids(cluster)
    pid = _unit_process(cluster, worker, unit)
    assert pid is not None
    os.kill(pid, 9)
    until(f"{unit} runs again", lambda: _unit_process(cluster, worker, unit) not in (None, pid))
    cluster.wait_nodes_ready()
    until("exec works", lambda: cluster.try_kubectl("exec", client, "--", "true").returncode == 0)
    until("logs work", lambda: cluster.try_kubectl("logs", "deployment/web").returncode == 0)
    assert _container_ids(cluster) == before


@pytest.mark.parametrize("component", ["etcd", "kube-apiserver"])
def test_killed_control_plane_comes_back(cluster: Cluster, component: str) -> None:
    name = f"{component}-master-1"
    before = _restarts(cluster, name, "kube-system")
    running = cluster.get("pod", name, "-n", "kube-system")["status"]["containerStatuses"][0]["containerID"]
    os.kill(_process_of(running), 9)
    until("it was restarted", lambda: _restarts(cluster, name, "kube-system") == before + 1)

    def writes() -> bool:
        made = cluster.try_kubectl("create", "configmap", f"after-{component}")
        return made.returncode == 0 or "AlreadyExists" in made.stderr

    until("it writes", writes)
    cluster.kubectl("delete", "configmap", f"after-{component}")


def test_the_files_of_a_machine_are_its_own(cluster: Cluster) -> None:
    """What a pod writes on its node is on no other, and not on the host; and what the host has can be moved away."""
    name = f"/kubelab-{cluster.lab.name}"
    one, other = cluster.workers
    for folder in ("", "/mnt", "/tmp", "/usr/share", "/var/lib"):
        cluster.on(one, f"mkdir {folder}{name} && echo mine > {folder}{name}/file")
        assert cluster.on(one, f"cat {folder}{name}/file").strip() == "mine"
        assert cluster.on(other, f"test -e {folder}{name} || echo absent").strip() == "absent"
        assert not Path(folder + name).exists()
    cluster.on(one, "mv /etc/hosts /etc/hosts.old && rm -r /usr/share/doc")
    assert Path("/etc/hosts").exists() and len(cluster.on(other, "ls -d /etc/hosts /usr/share/doc").split()) == 2
    cluster.on(one, "mv /etc/hosts.old /etc/hosts")


def test_etcd_is_restored_from_a_snapshot(cluster: Cluster) -> None:
    """As the textbooks have it: the manifests are moved aside, the data is replaced, the manifests are put back."""
    master, pki = cluster.lab.machines[0], "/etc/kubernetes/pki/etcd"
    keys = f"--cacert={pki}/ca.crt --cert={pki}/server.crt --key={pki}/server.key"
    cluster.kubectl("create", "configmap", "kept")
    cluster.on(master, f"ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 {keys} snapshot save /opt/saved.db")
    cluster.kubectl("delete", "configmap", "kept")
    cluster.kubectl("create", "configmap", "lost")
    cluster.on(master, "mkdir /opt/aside && mv /etc/kubernetes/manifests/*.yaml /opt/aside")
    parts = "etcd|kube-apiserver|kube-controller-manager|kube-scheduler"
    until("the control plane is off", lambda: not cluster.on(master, f"crictl ps -q --name '{parts}'"))
    cluster.on(master, "mv /var/lib/etcd /var/lib/etcd.old")
    cluster.on(master, "ETCDCTL_API=3 etcdctl snapshot restore /opt/saved.db --data-dir=/var/lib/etcd")
    cluster.on(master, "mv /opt/aside/*.yaml /etc/kubernetes/manifests")
    until("it answers", lambda: cluster.try_kubectl("get", "--raw", "/readyz").returncode == 0)
    found = cluster.kubectl("get", "configmaps", "-o", "name").split()
    assert "configmap/kept" in found and "configmap/lost" not in found
    # Their watches are further than the store is now.
    for machine in cluster.lab.machines:
        cluster.on(machine, "systemctl restart kubelet kube-proxy")
    cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")
    cluster.kubectl("delete", "configmap", "kept")


def test_drain_and_uncordon(cluster: Cluster) -> None:
    # Whichever worker has the metrics server, which keeps its files in an emptyDir.
    flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--grace-period=1", "--timeout=120s"]
    cluster.kubectl("drain", "worker-1", *flags)
    until("three elsewhere", lambda: _all_on(cluster.ready_pods(WEB, 3), "worker-2"))
    cluster.kubectl("uncordon", "worker-1")
    # No namespace ends while the kinds of an aggregated API cannot be listed.
    cluster.kubectl("rollout", "status", "deployment/metrics-server", "-n", "kube-system", "--timeout=120s")
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=120s")


def test_a_namespace_goes_with_what_is_in_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "shop")
    cluster.kubectl("create", "deployment", "till", "--image=busybox", "-n", "shop", "--", "sleep", "9999")
    cluster.kubectl("rollout", "status", "deployment/till", "-n", "shop", "--timeout=120s")
    cluster.kubectl("delete", "pods", "--all", "-n", "shop", "--grace-period=1", "--wait=false")
    cluster.kubectl("delete", "namespace", "shop", "--timeout=120s")
    assert cluster.get("pods,deployments,replicasets", "-A", "-l", "app=till")["items"] == []


def test_pods_leave_a_worker_that_is_off_and_up_brings_it_back(cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=MOVER)
    cluster.kubectl("rollout", "status", "deployment/mover", "--timeout=120s")
    lifecycle.halt(cluster.place, ["worker-2"], force=True)
    until("NotReady", lambda: condition(cluster.get("node", "worker-2"), "Ready") == "Unknown")
    # For a moment the pods of a silent node look as they did.
    until("four elsewhere", lambda: _all_on(cluster.ready_pods("app=mover", 4), "worker-1"))
    _up()
    cluster.wait_nodes_ready()
    terminating = "four are left of those that were moved"
    until(terminating, lambda: len(cluster.get("pods", "-l", "app=mover")["items"]) == 4)


def test_what_is_deleted_leaves_no_rule_and_no_interface(cluster: Cluster) -> None:
    cluster.kubectl("delete", "deployment/web", "deployment/mover", "service/web", "--timeout=120s")
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
    for worker in cluster.workers:

        def clean(worker: Machine = worker) -> bool:
            # Asked each time: what replaced a deleted pod is on its way out yet.
            there = cluster.get("pods", "-A", f"--field-selector=spec.nodeName={worker.name}")["items"]
            own = len([pod for pod in there if not pod["spec"].get("hostNetwork")])
            rules = cluster.on(worker, "iptables-save")
            links = cluster.on(worker, "ip -o link show type veth").splitlines()
            of_pods = [line for line in links if " master " in line]
            assert "default/web" not in rules and len(of_pods) == own, (of_pods, own)
            return True

        until(f"{worker.name} is clean", clean)


def test_destroy_leaves_nothing(cluster: Cluster) -> None:
    before = footprint(cluster.lab)
    assert len(before.inodes) >= len(cluster.lab.machines) + 2, "three machines, two pods of cluster DNS"
    lifecycle.destroy(cluster.place)
    assert leftovers(cluster.lab, cluster.place, before) == []
