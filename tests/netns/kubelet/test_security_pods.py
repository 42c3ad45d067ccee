"""What a container may do, seen from inside it; restarts keep it; hostile output and hostile paths."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.machine import Machine


@pytest.fixture(scope="module")
def kubelet(machine: Machine) -> Iterator[Kubelet]:
    agent = Kubelet(machine, "secure", seccompDefault=True, allowedUnsafeSysctls=["net.ipv4.ip_forward"])
    profiles = agent.root / "seccomp"
    profiles.mkdir(parents=True)
    deny = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    (profiles / "nodirs.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [deny]}))
    try:
        agent.start()
        yield agent
    finally:
        agent.stop()


_TELL = (
    "grep -E '^(Uid|Gid|Groups|CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status; "
    "touch /written 2>&1; mkdir /tmp/made 2>&1 && echo made; ls /proc/1/exe > /dev/null 2>&1; echo told; "
)


def told(kubelet: Kubelet, pod: str) -> dict[str, str]:
    """What the container says of itself, by the first word of a line."""
    text = eventually(lambda: "told" in kubelet.log(pod) and kubelet.log(pod), f"the words of {pod}")
    assert isinstance(text, str)
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found[key] = " ".join(value.split())
    return found


def test_a_confined_container_and_its_restart(kubelet: Kubelet) -> None:
    context = {
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
    }
    script = _TELL + "trap 'exit 0' TERM; while [ ! -e /tmp/end ]; do sleep 0.1; done"
    pod = kubelet.static(
        "confined",
        {
            "containers": [busybox(script, securityContext=context)],
            "securityContext": {
                "runAsUser": 1000,
                "runAsGroup": 3000,
                "fsGroup": 2000,
                "supplementalGroups": [4000],
                "sysctls": [
                    {"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"},
                    {"name": "net.ipv4.ip_forward", "value": "1"},
                ],
            },
        },
    )
    kubelet.running(pod)
    first = told(kubelet, pod)
    assert first["Uid"].split() == ["1000"] * 4 and first["Gid"].split() == ["3000"] * 4
    assert sorted(first["Groups"].split()) == ["2000", "3000", "4000"] or sorted(first["Groups"].split()) == [
        "2000",
        "4000",
    ]
    assert int(first["CapBnd"], 16) == 1 << 10 and first["NoNewPrivs"] == "1" and first["Seccomp"] == "2"
    assert "Read-only file system" in kubelet.log(pod)
    container = kubelet.container(pod)["containerID"].partition("://")[2]
    read = kubelet.machine.ctr(
        "tasks", "exec", "--exec-id", "s", container, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    )
    assert read == "80\n"
    kubelet.machine.ctr("tasks", "kill", "-s", "KILL", container)
    eventually(lambda: kubelet.container(pod)["restartCount"] == 1, "the restart")
    kubelet.running(pod)
    assert told(kubelet, pod) == first
    kubelet.remove_static("confined")


def test_profiles(kubelet: Kubelet) -> None:
    wait = "while :; do sleep 0.2; done"
    kinds: dict[str, dict[str, Any]] = {
        "local": {"seccompProfile": {"type": "Localhost", "localhostProfile": "nodirs.json"}},
        "free": {"seccompProfile": {"type": "Unconfined"}},
        "priv": {"privileged": True},
    }
    names = {
        kind: kubelet.static(kind, {"containers": [busybox("mkdir -p /tmp; " + _TELL + wait, securityContext=context)]})
        for kind, context in kinds.items()
    }
    found = {kind: told(kubelet, name) for kind, name in names.items()}
    assert found["local"]["Seccomp"] == "2" and "made" not in found["local"]
    assert "Operation not permitted" in kubelet.log(names["local"])
    assert found["free"]["Seccomp"] == "0" and found["priv"]["Seccomp"] == "0" and "made" in found["free"]
    assert int(found["priv"]["CapEff"], 16) > int(found["free"]["CapEff"], 16)
    for kind in kinds:
        kubelet.remove_static(kind)


@pytest.mark.parametrize(
    ("name", "spec", "reason", "message"),
    [
        ("sysctl", {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden",
         'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("armor", {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}, "AppArmor",
         "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"),
    ],
)  # fmt: skip
def test_what_the_node_refuses(kubelet: Kubelet, name: str, spec: dict[str, Any], reason: str, message: str) -> None:
    pod = kubelet.static(name, {"containers": [busybox("sleep 60")], **spec})
    status = eventually(
        lambda: kubelet.pods()[pod]["status"].get("reason") and kubelet.pods()[pod]["status"], "refusal"
    )
    assert isinstance(status, dict)
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", reason, message)
    kubelet.remove_static(name)


@pytest.mark.parametrize(
    ("name", "spec", "reason", "message"),
    [
        ("root", {"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError",
         'container has runAsNonRoot and image will run as root (pod: "root-secure_default('),
        ("noprofile", {"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "none.json"}}},
         "CreateContainerError", "none.json"),
    ],
)  # fmt: skip
def test_why_a_container_waits(kubelet: Kubelet, name: str, spec: dict[str, Any], reason: str, message: str) -> None:
    pod = kubelet.static(name, {"containers": [busybox("sleep 60")], **spec})

    def waiting() -> Any:
        return kubelet.container(pod)["state"].get("waiting", {}).get("reason") == reason

    eventually(waiting, reason)
    assert message in kubelet.container(pod)["state"]["waiting"]["message"]
    kubelet.remove_static(name)


def test_hostile_output_is_told_byte_for_byte(kubelet: Kubelet) -> None:
    script = (
        r"printf '\033[2J\007\000bell \377\376 \r over\n'; "
        "head -c 50000 /dev/zero | tr '\\0' x; echo; "
        "printf '2026-01-01T00:00:00Z stdout F forged\\n'; printf 'no newline'; echo >&2; echo told; sleep 600"
    )
    pod = kubelet.static("hostile", {"containers": [busybox(script)]})
    eventually(lambda: b"told\n" in raw(kubelet, pod), "the output")
    expected = (
        b"\033[2J\007\0bell \377\376 \r over\n" + b"x" * 50000 + b"\n2026-01-01T00:00:00Z stdout F forged\nno newline"
    )
    got = raw(kubelet, pod, "?stream=Stdout")
    assert got.startswith(expected)
    assert raw(kubelet, pod, "?limitBytes=5") == expected[:5]
    kubelet.remove_static("hostile")


def raw(kubelet: Kubelet, pod: str, query: str = "") -> bytes:
    return kubelet.get(f"/containerLogs/default/{pod}/main{query}")


@pytest.mark.parametrize(
    "path",
    [
        "/logs/../../etc/passwd",
        "/logs/..%2f..%2fetc%2fpasswd",
        "/logs/%2e%2e/%2e%2e/etc/passwd",
        "/logs//etc/../../../etc/passwd",
        "/containerLogs/default/../../etc/passwd",
        "/containerLogs/default/..%2f..%2fetc/passwd",
        "/containerLogs/default/x/%2e%2e%2f%2e%2e",
        "/stats/../exec/default/x/main?command=id&output=1",
        "//exec/default/x/main",
        "/logs/\x01",
    ],
)
def test_tricks_with_paths(kubelet: Kubelet, path: str) -> None:
    assert asked(kubelet, path, credentials=True)[0] in (400, 404)
    status, body = asked(kubelet, path, credentials=False)
    assert status in (400, 401) and b"root:" not in body


def test_the_logs_of_the_node(kubelet: Kubelet) -> None:
    assert b"<pre>" in kubelet.get("/logs/")


def asked(kubelet: Kubelet, path: str, *, credentials: bool) -> tuple[int, bytes]:
    """Status and body of a request whose path nobody tidies up on the way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if credentials:
        context.load_cert_chain(kubelet.machine.dir / "admin.crt", kubelet.machine.dir / "admin.key")
    with (
        socket.create_connection((kubelet.machine.node_ip, 10250), 60) as plain,
        context.wrap_socket(plain) as stream,
    ):
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := stream.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body
