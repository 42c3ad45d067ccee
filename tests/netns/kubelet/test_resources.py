"""Resources on a real containerd: cgroups, limits, out of memory, and the figures that the kubelet tells of them."""

from __future__ import annotations

import json
import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.kubelet.cgroups.tree import Tree
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.machine import Machine

FOREVER = "trap exit TERM; while true; do sleep 0.1; done"
BUSY = "trap exit TERM; while true; do :; done"


@pytest.fixture(scope="module")
def kubelet(machine: Machine) -> Iterator[Kubelet]:
    agent = Kubelet(
        machine,
        podPidsLimit=200,
        systemReserved={"memory": "64Mi", "cpu": "100m", "pid": "1000"},
        kubeReserved={"memory": "36Mi"},
    )
    agent.start()
    try:
        yield agent
    finally:
        for manifest in agent.manifests.iterdir():
            manifest.unlink()
        eventually(lambda: not agent.pods(), "an empty node")
        agent.stop()


def cgroup(machine: Machine, tree: Tree, controller: str, path: str, v1: str, v2: str) -> str:
    name = v2 if tree.v2 else v1
    return (tree.folder(controller, machine.cgroup + path) / name).read_text().strip()


def total(machine_file: str = "/proc/meminfo") -> int:
    return int(Path(machine_file).read_text().split()[1]) * 1024


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """(name, labels) → value."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? ([^ ]+)(?: \d{13})?", line)
        if match:
            labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            found[match[1], labels] = float(match[3])
    return found


def value(text: str, name: str, **labels: str) -> float:
    matching = [v for (n, have), v in samples(text).items() if n == name and set(labels.items()) <= have]
    assert len(matching) == 1, (name, labels, matching)
    return matching[0]


def summary(kubelet: Kubelet, name: str, query: str = "") -> dict[str, Any]:
    pods = json.loads(kubelet.get(f"/stats/summary{query}"))["pods"]
    return next(pod for pod in pods if pod["podRef"]["name"] == name)


def test_what_is_reserved_is_kept_from_pods(kubelet: Kubelet) -> None:
    tree, machine = Tree(), kubelet.machine

    def limit() -> int:
        return int(cgroup(machine, tree, "memory", "/kubepods", "memory.limit_in_bytes", "memory.max"))

    kept = (64 + 36) << 20
    eventually(lambda: abs(limit() - (total() - kept)) < 1 << 20, "the limit of all pods")
    most = min(int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max"))
    assert cgroup(machine, tree, "pids", "/kubepods", "pids.max", "pids.max") == str(most - 1000)


def test_a_pod_gets_its_cgroup(kubelet: Kubelet) -> None:
    resources = {"limits": {"cpu": "300m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}
    name = kubelet.static("limited", {"containers": [busybox(FOREVER, resources=resources)]})
    kubelet.running(name)
    tree, machine, uid = Tree(), kubelet.machine, kubelet.pods()[name]["metadata"]["uid"]
    path = f"/kubepods/burstable/pod{uid}"
    assert cgroup(machine, tree, "memory", path, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup(machine, tree, "cpu", path, "cpu.shares", "cpu.weight") == ("4" if tree.v2 else "102")
    assert cgroup(machine, tree, "cpu", path, "cpu.cfs_quota_us", "cpu.max").split()[0] == "30000"
    assert cgroup(machine, tree, "pids", path, "pids.max", "pids.max") == "200"
    shares = cgroup(machine, tree, "cpu", "/kubepods/burstable", "cpu.shares", "cpu.weight")
    assert shares == ("4" if tree.v2 else "102")
    kubelet.remove_static("limited")
    eventually(lambda: not tree.exists(machine.cgroup + path), "no cgroup of the pod")


def test_a_container_out_of_memory(kubelet: Kubelet) -> None:
    # tail keeps what might be the last line, and this one never ends.
    script = "until test -e /tmp/go; do sleep 0.1; done; exec tail /dev/zero"
    hungry = busybox(script, resources={"limits": {"memory": "24Mi"}})
    name = kubelet.static("hungry", {"containers": [hungry], "restartPolicy": "Never"})
    kubelet.running(name)
    container = kubelet.container(name)["containerID"].removeprefix("containerd://")
    kubelet.machine.ctr("tasks", "exec", "--exec-id", "go", container, "touch", "/tmp/go")

    def ended() -> dict[str, Any] | None:
        return kubelet.container(name)["state"].get("terminated")

    found = eventually(ended, "the end of the hungry container")
    assert found is not None
    assert (found["reason"], found["exitCode"]) == ("OOMKilled", 137)
    assert kubelet.pods()[name]["status"]["phase"] == "Failed"
    kubelet.remove_static("hungry")


def test_figures_of_a_busy_pod(kubelet: Kubelet) -> None:
    fill = "dd if=/dev/zero bs=64k count={} of={} 2>/dev/null"
    write = "; ".join([fill.format(32, "/written"), fill.format(16, "/data/x")])
    container = busybox(
        f"{write}; echo hello; {BUSY}",
        resources={"limits": {"cpu": "200m", "memory": "64Mi"}},
        volumeMounts=[{"name": "data", "mountPath": "/data"}],
    )
    spec = {"containers": [container], "volumes": [{"name": "data", "emptyDir": {}}]}
    name = kubelet.static("busy", spec)
    kubelet.running(name)
    eventually(lambda: "hello" in kubelet.log(name), "that the pod has written")

    first = summary(kubelet, name)
    [inside] = first["containers"]
    assert inside["name"] == "main" and 0 < inside["memory"]["workingSetBytes"] <= inside["memory"]["usageBytes"]
    assert inside["memory"]["availableBytes"] == (64 << 20) - inside["memory"]["workingSetBytes"]
    assert inside["rootfs"]["usedBytes"] >= 2 << 20 and inside["logs"]["usedBytes"] > 0
    [volume] = [each for each in first["volume"] if each["name"] == "data"]
    assert volume["usedBytes"] >= 1 << 20
    assert first["ephemeral-storage"]["usedBytes"] >= volume["usedBytes"] + inside["rootfs"]["usedBytes"]
    assert first["network"]["name"] == "eth0" and first["process_stats"]["process_count"] >= 2

    def spent() -> bool:
        again = summary(kubelet, name, "?only_cpu_and_memory=true")
        used = again["cpu"]["usageCoreNanoSeconds"] - first["cpu"]["usageCoreNanoSeconds"]
        return "rootfs" not in again["containers"][0] and used > 50_000_000 and again["cpu"]["usageNanoCores"] > 0

    eventually(spent, "cpu time in the summary")

    cadvisor = kubelet.get("/metrics/cadvisor").decode()
    named = {"container": "main", "pod": name, "namespace": "default"}
    assert value(cadvisor, "container_cpu_usage_seconds_total", **named) > 0.05
    assert value(cadvisor, "container_spec_memory_limit_bytes", **named) == 64 << 20
    assert value(cadvisor, "container_fs_usage_bytes", **named) >= 2 << 20
    eventually(
        lambda: value(kubelet.get("/metrics/cadvisor").decode(), "container_cpu_cfs_throttled_periods_total", **named),
        "throttling: the pod wants more than a fifth of a processor",
    )
    pause = {"container": "", "pod": name, "interface": "eth0"}
    assert value(cadvisor, "container_network_receive_packets_total", **pause) >= 0
    assert value(cadvisor, "container_memory_working_set_bytes", id="/") > 0
    assert value(cadvisor, "container_scrape_error") == 0

    resource = kubelet.get("/metrics/resource").decode()
    assert value(resource, "container_cpu_usage_seconds_total", **named) > 0.05
    pod_cpu = value(resource, "pod_cpu_usage_seconds_total", pod=name)
    assert pod_cpu >= value(resource, "container_cpu_usage_seconds_total", **named)
    assert value(resource, "node_memory_working_set_bytes") > 0 and value(resource, "resource_scrape_error") == 0
    kubelet.remove_static("busy")


def test_answers_of_probes_are_counted_until_the_pod_is_gone(kubelet: Kubelet) -> None:
    probe = {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1}
    name = kubelet.static("probed", {"containers": [busybox(FOREVER, readinessProbe=probe)]})
    kubelet.running(name)
    labels = {"container": "main", "pod": name, "probe_type": "Readiness"}

    def counted(result: str) -> bool:
        return value(kubelet.get("/metrics/probes").decode(), "prober_probe_total", result=result, **labels) > 0

    eventually(lambda: counted("failed"), "a failed answer")
    container = kubelet.container(name)["containerID"].removeprefix("containerd://")
    kubelet.machine.ctr("tasks", "exec", "--exec-id", "ready", container, "touch", "/ready")
    eventually(lambda: counted("successful"), "a successful answer")
    kubelet.remove_static("probed")
    eventually(lambda: name not in kubelet.get("/metrics/probes").decode(), "no more counts")


def test_a_checkpoint_that_the_runtime_cannot_make(kubelet: Kubelet) -> None:
    """containerd before 2 does not implement it, later ones need CRIU, and the answer says so."""
    name = kubelet.static("frozen", {"containers": [busybox(FOREVER)]})
    kubelet.running(name)

    def post(path: str) -> tuple[int, str]:
        try:
            return 200, kubelet.get(f"/checkpoint/default/{path}", method="POST").decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    code, said = post(f"{name}/main")
    assert code == 500 and said.startswith(f"checkpointing of default/{name}/main failed (rpc error: code = Un")
    assert post(f"{name}/other") == (404, "container other does not exist")
    assert post("none/main")[0] == 404
    kubelet.remove_static("frozen")


def test_the_kubelets_own_metrics(kubelet: Kubelet) -> None:
    name = kubelet.static("counted", {"containers": [busybox(FOREVER)]})
    kubelet.running(name)

    def counted() -> bool:
        # Those of other tests may be on their way out.
        text = kubelet.get("/metrics").decode()
        running = value(text, "kubelet_running_containers", container_state="running") >= 1
        return running and value(text, "kubelet_running_pods") >= 1 == value(
            text, "kubelet_desired_pods", static="true"
        )

    eventually(counted, "the pod in the counts")
    text = kubelet.get("/metrics").decode()
    assert value(text, "kubelet_node_name", node="node") == 1
    assert value(text, "kubelet_runtime_operations_total", operation_type="run_podsandbox") >= 1
    assert value(text, "kubelet_runtime_operations_errors_total", operation_type="checkpoint_container") >= 1
    assert value(text, "kubelet_pleg_last_seen_seconds") > 1e9
    asked = {"method": "GET", "path": "pods", "server_type": "readwrite", "long_running": "false"}
    assert value(text, "kubelet_http_requests_total", **asked) >= 1
    assert value(text, "kubelet_pod_worker_duration_seconds_count", operation_type="create") >= 1
    assert value(text, "kubelet_pod_start_duration_seconds_count") >= 1
    assert value(text, "kubelet_pod_worker_start_duration_seconds_count") >= 1
    assert value(text, "kubelet_containers_per_pod_count_bucket", le="1.0") >= 1
    assert value(text, "kubelet_run_podsandbox_duration_seconds_count", runtime_handler="") >= 1
    assert value(text, "kubelet_started_containers_total", container_type="container") >= 1
    kubelet.remove_static("counted")
