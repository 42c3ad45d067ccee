"""Static pods on a real containerd, with no API server anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.machine import Machine

FOREVER = "trap 'echo got TERM; exit 0' TERM; while true; do sleep 0.1; done"


@pytest.fixture(scope="module")
def kubelet(machine: Machine) -> Iterator[Kubelet]:
    agent = Kubelet(machine)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


@pytest.fixture(autouse=True)
def _clean(kubelet: Kubelet) -> Iterator[None]:
    yield
    for manifest in kubelet.manifests.iterdir():
        manifest.unlink()
    eventually(lambda: not kubelet.pods(), "an empty node")
    eventually(lambda: not sandboxes(kubelet), "no sandbox left")


def sandboxes(kubelet: Kubelet) -> list[str]:
    return [line.split()[0] for line in kubelet.machine.ctr("tasks", "ls").splitlines()[1:]]


def test_a_pod_runs_with_address_logs_and_environment(kubelet: Kubelet) -> None:
    env = [
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BOTH", "value": "$(NODE)/$(IP)"},
    ]
    name = kubelet.static("web", {"containers": [busybox(f"echo $BOTH; cat /etc/hosts; {FOREVER}", env=env)]})
    kubelet.running(name)
    status = kubelet.pods()[name]["status"]
    assert status["phase"] == "Running" and status["podIP"].startswith("10.198.")
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"
    eventually(lambda: f"{status['podIP']}\t{name}" in kubelet.log(name), "its line of /etc/hosts")
    assert kubelet.log(name).startswith(f"node/{status['podIP']}\n")
    [folder] = (kubelet.logs / "pods").glob(f"default_{name}_*")
    assert (folder / "main" / "0.log").is_file()
    [link] = (kubelet.logs / "containers").glob(f"{name}_default_main-*.log")
    assert link.resolve() == folder / "main" / "0.log"
    assert kubelet.log(name, "?tailLines=1&timestamps=true").split(" ")[0].startswith("20")


def test_a_crashing_container_is_restarted_at_once_and_then_waits(kubelet: Kubelet) -> None:
    name = kubelet.static(
        "crash", {"containers": [busybox("echo life; echo last words > /dev/termination-log; exit 3")]}
    )

    def backing_off() -> dict[str, Any] | None:
        status = kubelet.container(name)
        told = status["state"]["waiting"]["reason"] == "CrashLoopBackOff" and status["restartCount"] == 1
        return status if told else None

    status = eventually(backing_off, "the back-off after one restart")
    assert status is not None
    said = status["state"]["waiting"]["message"]
    assert said.startswith(f"back-off 10s restarting failed container=main pod={name}_default(")
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "last words\n")
    assert kubelet.log(name, "?previous=true") == "life\n"
    eventually(lambda: kubelet.container(name)["restartCount"] == 2, "the restart after the back-off")


@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("unrunnable", {"command": ["/no/such"]}),
        ("unhooked", {"lifecycle": {"postStart": {"exec": {"command": ["false"]}}}}),
    ],
)
def test_what_could_not_be_run_is_restarted_at_once_as_well(kubelet: Kubelet, key: str, more: dict[str, Any]) -> None:
    """Its end is an end as any other: the first wait is the back-off after the second one."""
    name = kubelet.static(key, {"terminationGracePeriodSeconds": 2, "containers": [{**busybox(FOREVER), **more}]})

    def backing_off() -> dict[str, Any] | None:
        status = kubelet.container(name)
        told = status["state"]["waiting"]["reason"] == "CrashLoopBackOff" and status["restartCount"] == 1
        return status if told else None

    status = eventually(backing_off, "the back-off after one restart", seconds=9)
    assert status is not None and "back-off 10s" in status["state"]["waiting"]["message"]


def test_init_containers_run_in_order_before_the_others(kubelet: Kubelet) -> None:
    mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    init = [
        {**busybox("echo one >> /d/f", **mount), "name": "one"},
        {**busybox("sleep 0.3; echo two >> /d/f", **mount), "name": "two"},
    ]
    spec = {
        "initContainers": init,
        "containers": [busybox(f"cat /d/f; {FOREVER}", **mount)],
        "volumes": [{"name": "d", "emptyDir": {}}],
    }
    name = kubelet.static("init", spec)
    kubelet.running(name)
    eventually(lambda: kubelet.log(name) == "one\ntwo\n", "both lines")
    assert all(s["ready"] for s in kubelet.pods()[name]["status"]["initContainerStatuses"])


def test_a_sidecar_starts_before_and_restarts_beside(kubelet: Kubelet) -> None:
    sidecar = {**busybox(FOREVER), "name": "side", "restartPolicy": "Always"}
    name = kubelet.static("sidecar", {"initContainers": [sidecar], "containers": [busybox(FOREVER)]})
    kubelet.running(name)

    def side() -> dict[str, Any]:
        found: dict[str, Any] = kubelet.pods()[name]["status"]["initContainerStatuses"][0]
        return found

    before = side()
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", before["containerID"].partition("://")[2])
    eventually(lambda: side()["restartCount"] == 1 and "running" in side()["state"], "the sidecar again")
    assert kubelet.container(name)["restartCount"] == 0


def test_a_killed_container_comes_back_within_a_moment(kubelet: Kubelet) -> None:
    names = [kubelet.static(f"killed{n}", {"containers": [busybox(FOREVER)]}) for n in range(5)]
    for name in names:
        kubelet.running(name)
    # A listing comes every ten seconds, and now and then just between.
    assert any(kubelet.restarted_by_event(name) for name in names), "by its event, not by the slow relist"
    assert kubelet.container(names[0])["lastState"]["terminated"]["exitCode"] == 137


def test_a_dead_sandbox_is_replaced_with_everything_in_it(kubelet: Kubelet) -> None:
    name = kubelet.static("sandbox", {"containers": [busybox(FOREVER)]})
    first = kubelet.running(name)
    container = first["containerID"].partition("://")[2]
    [sandbox] = [task for task in sandboxes(kubelet) if task != container]
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", sandbox)
    eventually(
        lambda: kubelet.running(name)["containerID"] != first["containerID"] and len(sandboxes(kubelet)) == 2,
        "a new sandbox",
    )
    assert kubelet.container(name)["restartCount"] == 1


def test_a_restart_of_the_kubelet_restarts_no_container(kubelet: Kubelet) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 60}
    names = [kubelet.static(f"stay{n}", {"containers": [busybox(FOREVER, readinessProbe=probe)]}) for n in range(3)]
    before = {name: kubelet.running(name)["containerID"] for name in names}
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        kubelet.stop(how)
        kubelet.start()
        assert {name: kubelet.running(name)["containerID"] for name in names} == before
        assert {kubelet.container(name)["restartCount"] for name in names} == {0}


def test_a_burst_under_kill_9_leaves_one_sandbox_per_pod(kubelet: Kubelet) -> None:
    names = [kubelet.static(f"burst{n}", {"containers": [busybox(FOREVER)]}) for n in range(8)]
    for _ in range(3):
        eventually(lambda: len(sandboxes(kubelet)) >= 1, "the first sandbox")
        kubelet.stop(signal.SIGKILL)
        kubelet.start()
    for name in names:
        kubelet.running(name)
    eventually(lambda: len(sandboxes(kubelet)) == 2 * len(names), "exactly one sandbox and container per pod")


def test_a_changed_manifest_replaces_the_pod_and_a_removed_one_ends_it(kubelet: Kubelet) -> None:
    name = kubelet.static(
        "change", {"containers": [busybox(f"echo one; {FOREVER}")], "terminationGracePeriodSeconds": 5}
    )
    first = kubelet.running(name)
    uid = kubelet.pods()[name]["metadata"]["uid"]
    kubelet.static("change", {"containers": [busybox(f"echo two; {FOREVER}")], "terminationGracePeriodSeconds": 5})
    eventually(lambda: kubelet.log(name) == "two\n", "the new pod")
    assert kubelet.container(name)["containerID"] != first["containerID"]
    eventually(lambda: not (kubelet.root / "pods" / uid).exists(), "the old pod's folder to go")
    kubelet.remove_static("change")
    eventually(lambda: not sandboxes(kubelet), "nothing running")
    eventually(lambda: not list((kubelet.root / "pods").iterdir()), "no folder")
    eventually(
        lambda: not list(Path("/sys/fs/cgroup").glob(f"*{kubelet.machine.cgroup}/kubepods/**/pod*")), "no cgroup"
    )


def test_grace_and_hooks(kubelet: Kubelet) -> None:
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /d/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /d/log"]}},
    }
    shared = kubelet.machine.dir / "hooks"
    spec = {
        "terminationGracePeriodSeconds": 200,
        "containers": [
            busybox(
                "trap 'echo term >> /d/log; exit 0' TERM; while true; do sleep 0.1; done",
                lifecycle=hooks,
                volumeMounts=[{"name": "d", "mountPath": "/d"}],
            )
        ],
        "volumes": [{"name": "d", "hostPath": {"path": str(shared), "type": "DirectoryOrCreate"}}],
    }
    name = kubelet.static("hooks", spec)
    kubelet.running(name)
    began = time.monotonic()
    kubelet.remove_static("hooks")
    eventually(lambda: not sandboxes(kubelet), "the end")
    assert (shared / "log").read_text() == "started\nstopping\nterm\n" and time.monotonic() - began < 100


def test_what_ignores_sigterm_is_killed_after_its_grace(kubelet: Kubelet) -> None:
    name = kubelet.static(
        "stubborn",
        {"terminationGracePeriodSeconds": 2, "containers": [busybox("trap '' TERM; while true; do sleep 1; done")]},
    )
    kubelet.running(name)
    began = time.monotonic()
    kubelet.remove_static("stubborn")
    eventually(lambda: not sandboxes(kubelet), "the end")
    assert 1.5 < time.monotonic() - began < 60


def test_probes_decide_readiness_and_restarts(kubelet: Kubelet) -> None:
    container = busybox(
        "echo $$ > /tmp/ok; touch /tmp/ready; httpd -p 8080 -h /tmp; sleep 10000",
        startupProbe={"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1, "failureThreshold": 120},
        readinessProbe={
            "exec": {"command": ["cat", "/tmp/ready"]},
            "periodSeconds": 1,
            "failureThreshold": 1,
            "timeoutSeconds": 60,
        },
        livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 2},
        ports=[{"name": "web", "containerPort": 8080}],
    )
    name = kubelet.static("probed", {"terminationGracePeriodSeconds": 1, "containers": [container]})
    status = eventually(lambda: kubelet.container(name) if kubelet.container(name)["ready"] else None, "readiness")
    assert status is not None and status["started"]
    inside = [
        "nsenter",
        f"--target={kubelet.machine.containerd_pid}",
        "--mount",
        "ctr",
        "-a",
        str(kubelet.machine.socket),
    ]
    run = [*inside, "-n", "k8s.io", "tasks", "exec", "--exec-id", "x", status["containerID"].partition("://")[2]]
    subprocess.run([*run, "rm", "/tmp/ready"], check=True, capture_output=True)
    eventually(lambda: not kubelet.container(name)["ready"], "unreadiness")
    assert kubelet.container(name)["restartCount"] == 0
    subprocess.run([*run, "killall", "httpd"], check=True, capture_output=True)
    eventually(lambda: kubelet.container(name)["restartCount"] == 1, "the restart by liveness")
    eventually(lambda: kubelet.container(name)["ready"], "readiness after the restart")


def test_resources_and_security_reach_the_kernel(kubelet: Kubelet) -> None:
    container = busybox(
        "id -u; id -g; grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; touch /x 2>&1; "
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; " + FOREVER,
        resources={"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
        securityContext={
            "runAsUser": 1234,
            "runAsGroup": 567,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    )
    name = kubelet.static("limits", {"containers": [container]})
    kubelet.running(name)
    lines = eventually(lambda: (kubelet.log(name).count("\n") >= 6 and kubelet.log(name)) or None, "six lines").split(
        "\n"
    )
    assert lines[:3] == ["1234", "567", "CapEff:\t0000000000000000"]
    assert lines[3] == "NoNewPrivs:\t1" and "Read-only file system" in lines[4]
    assert lines[5] == str(64 << 20)
    uid = kubelet.pods()[name]["metadata"]["uid"]
    folder = Path(f"/sys/fs/cgroup/cpu{kubelet.machine.cgroup}/kubepods/burstable/pod{uid}")
    assert (folder / "cpu.shares").read_text() == "102\n" and (folder / "cpu.cfs_quota_us").read_text() == "50000\n"
    assert kubelet.pods()[name]["status"]["qosClass"] == "Burstable"


def test_volumes(kubelet: Kubelet) -> None:
    volumes = [
        {"name": "info", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "disk", "emptyDir": {}},
    ]
    mounts = [
        {"name": "info", "mountPath": "/info"},
        {"name": "ram", "mountPath": "/ram"},
        {"name": "disk", "mountPath": "/sub", "subPath": "deep/er"},
        {"name": "disk", "mountPath": "/disk"},
    ]
    script = f"cat /info/n; echo; df /ram | tail -1; echo x > /sub/f; cat /disk/deep/er/f; {FOREVER}"
    name = kubelet.static("vols", {"containers": [busybox(script, volumeMounts=mounts)], "volumes": volumes})
    kubelet.running(name)
    text = eventually(lambda: kubelet.log(name) if "x\n" in kubelet.log(name) else "", "the log")
    assert text.startswith(f"{name}\n") and "tmpfs" in text and "1024" in text


# What a reason turns into while the next attempt is waited for.
BACK_OFFS = {"RunContainerError": "CrashLoopBackOff", "ErrImagePull": "ImagePullBackOff"}


def reason_of(kubelet: Kubelet, pod: str) -> str:
    return str(kubelet.container(pod)["state"]["waiting"]["reason"])


def test_a_bad_pod_says_why_and_disturbs_nobody(kubelet: Kubelet) -> None:
    good = kubelet.static("good", {"containers": [busybox(FOREVER)]})
    bad = {
        "nocmd": ({"command": ["/no/such"]}, "RunContainerError"),
        "noimage": ({"image": "127.0.0.1:1/none:1"}, "ErrImagePull"),
        "never": ({"image": "127.0.0.1:1/none:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull"),
        "badname": ({"image": "Not A Name"}, "InvalidImageName"),
        "nonroot": ({"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError"),
    }
    names = {key: kubelet.static(key, {"containers": [{**busybox("true"), **more}]}) for key, (more, _) in bad.items()}
    for key, (_, reason) in bad.items():

        def waits(name: str = names[key], reasons: tuple[str, ...] = (reason, BACK_OFFS.get(reason, ""))) -> bool:
            waiting = kubelet.container(name)["state"]["waiting"]
            return waiting["reason"] in reasons and bool(waiting["message"])

        eventually(waits, f"{key}: {reason}")
    for key, reason in (("nocmd", "CrashLoopBackOff"), ("noimage", "ImagePullBackOff")):
        told = f"{key}: {reason}"
        eventually(lambda key=key, reason=reason: reason_of(kubelet, names[key]) == reason, told)
    (kubelet.manifests / "broken.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: [")
    assert kubelet.running(good)["restartCount"] == 0
    eventually(lambda: "broken.yaml: couldn't parse as pod" in kubelet.output.read_text(), "the report")


def test_foreign_sandboxes_are_left_alone_and_our_orphans_are_not(kubelet: Kubelet) -> None:
    name = kubelet.static("orphan", {"containers": [busybox(FOREVER)]})
    kubelet.running(name)
    subprocess.run(
        [*kubelet.machine.command("ctr"), "-a", str(kubelet.machine.socket), "-n", "k8s.io", "run", "-d",
         "docker.io/library/busybox:latest", "foreign", "sleep", "10000"], check=True, capture_output=True,
    )  # fmt: skip
    try:
        kubelet.stop()
        kubelet.remove_static("orphan")
        kubelet.start()
        eventually(lambda: sandboxes(kubelet) == ["foreign"], "only the foreign container left")
    finally:
        kubelet.machine.ctr("tasks", "kill", "-s", "KILL", "foreign")
        eventually(
            lambda: "foreign" not in kubelet.machine.ctr("tasks", "ls", "-q") or remove_foreign(kubelet), "its end"
        )
        with contextlib.suppress(subprocess.CalledProcessError):
            kubelet.machine.ctr("containers", "rm", "foreign")


def remove_foreign(kubelet: Kubelet) -> bool:
    with contextlib.suppress(subprocess.CalledProcessError):
        kubelet.machine.ctr("tasks", "rm", "foreign")
    return False


def test_nothing_is_open_without_credentials(kubelet: Kubelet) -> None:
    for path in ("/pods", "/healthz", "/containerLogs/default/x/main", "/metrics", "/configz", "/stats/summary"):
        assert kubelet.refusal(path, credentials=False) == (401, "Unauthorized")
    assert kubelet.refusal("/containerLogs/default/none/main")[0] == 404
    assert kubelet.refusal("/containerLogs/default/../../etc/passwd")[0] == 404
    shown = json.loads(kubelet.get("/configz"))["kubeletconfig"]
    assert shown["authentication"]["anonymous"] == {"enabled": False}


def test_containerd_restarts_under_running_pods(kubelet: Kubelet) -> None:
    names = [kubelet.static(f"under{n}", {"containers": [busybox(FOREVER)]}) for n in range(3)]
    before = {name: kubelet.running(name)["containerID"] for name in names}
    os.kill(kubelet.machine.containerd_pid, signal.SIGKILL)
    kubelet.machine.restart_containerd()
    eventually(lambda: {name: kubelet.running(name)["containerID"] for name in names} == before, "the same containers")
    victim = before[names[0]].partition("://")[2]
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", victim)
    eventually(lambda: kubelet.container(names[0])["restartCount"] == 1, "a restart after containerd came back")


def test_memory_stays_small(kubelet: Kubelet) -> None:
    text = Path(f"/proc/{kubelet.pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))
    assert resident < 90 * 1024, f"{resident} KiB"
    assert Path(f"/proc/{kubelet.pid}/comm").read_text() == "kubelet\n"


def test_a_manifest_that_is_put_back_while_its_pod_ends_runs_again(kubelet: Kubelet) -> None:
    """As whoever restores etcd moves the manifests of a master away and back: the same file is the same uid."""
    slow = "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done"
    name = kubelet.static("again", {"containers": [busybox(slow)]})
    before = kubelet.running(name)["containerID"]
    (manifest,) = kubelet.manifests.iterdir()
    away = kubelet.manifests.parent / manifest.name
    manifest.rename(away)
    eventually(lambda: name not in kubelet.pods(), "the file that is missed")
    away.rename(manifest)
    eventually(lambda: name in kubelet.pods() and kubelet.running(name)["containerID"] != before, "another container")
