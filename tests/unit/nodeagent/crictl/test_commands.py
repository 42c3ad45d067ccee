"""Commands against a runtime that answers what it is told to: what is asked of it, what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from nodeagent.crictl import codec
from nodeagent.crictl.main import main

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Refused(Exception):
    """The runtime answers a call with an error."""


class Runtime(grpc.GenericRpcHandler):
    """Answers by the names of the calls; asked: every call with its request."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]

        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            request = codec.decode(f"{name}Request", body)
            self.asked.append((name, request))
            try:
                found = self.answers[name](request)
            except Refused as error:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))
            return codec.encode(f"{name}Response", found) if found else b""

        return grpc.unary_unary_rpc_method_handler(answer)

    def run(self, *words: str) -> int:
        """Run crictl against this runtime."""
        return main(["-r", self.endpoint, *words])

    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = grpc.server(futures.ThreadPoolExecutor(2))
    found = Runtime(f"unix://{tmp_path}/s")
    made.add_generic_rpc_handlers((found,))
    made.add_insecure_port(found.endpoint)
    made.start()
    yield found
    made.stop(0)


def test_the_parts_of_a_long_line_show_one_time(
    runtime: Runtime, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(
        b"2025-01-01T00:00:00Z stdout P par\n2025-01-01T00:00:01Z stdout F tial\n2025-01-01T00:00:02Z stdout F unfini"
    )
    runtime.answers["ContainerStatus"] = lambda _: {"status": {"id": "1", "log_path": str(log)}}
    assert runtime.run("logs", "-t", "1") == 0
    said = capfdbinary.readouterr().out
    assert said == b"2025-01-01T00:00:00.000000000Z partial\n2025-01-01T00:00:02.000000000Z unfini"
    log.unlink()
    assert runtime.run("logs", "1") == 1
    said = capfdbinary.readouterr().err
    assert f"lstat {log}: no such file or directory".encode() in said


def test_one_container_that_fails_keeps_no_other_from_its_command(
    runtime: Runtime, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime.answers["ListContainers"] = lambda _: {"containers": [{**CONTAINER, "id": each} for each in ("1", "2")]}
    runtime.answers["ExecSync"] = lambda asked: (
        {"stdout": b"lost", "stderr": b"why", "exit_code": 3} if asked["container_id"] == "1" else {"stdout": b"ok"}
    )
    assert runtime.run("exec", "-s", "--name", "c", "false") == 1
    said = capfd.readouterr()
    assert said.out.replace("\n", " ") == "1: 2: ok  "
    assert "execing command in container 1 synchronously: command 'false' exited with 3: why" in said.err
    assert runtime.run("exec", "-s", "-e", "--name", "c", "false") == 0


CONTAINER = {"id": "1", "pod_sandbox_id": "p", "metadata": {"name": "c"}, "image": {"image": "busybox"}}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--name", "["], []),
        (["--namespace", "("], []),
        (["-l"], ["3"]),
        (["-l", "-n", "2"], ["3", "2"]),
        (["-n", "0"], ["3", "2", "1"]),
    ],
)
def test_which_containers(
    runtime: Runtime, capfd: pytest.CaptureFixture[str], words: list[str], found: list[str]
) -> None:
    listed = [{**CONTAINER, "id": str(number), "created_at": number} for number in (1, 2, 3)]
    runtime.answers["ListContainers"] = lambda _: {"containers": listed}
    assert runtime.run("ps", "-q", *words) == 0
    assert capfd.readouterr().out.split() == found


IMAGES = [
    {"id": "sha256:a", "repo_tags": ["r.io/busybox:1"], "repo_digests": ["r.io/busybox@sha256:1"]},
    {"id": "sha256:b", "repo_tags": [], "repo_digests": ["r.io/web@sha256:2"]},
    {"id": "sha256:c", "repo_tags": ["r.io/imported:1"], "repo_digests": []},
]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("reference=busybox$", ["sha256:a"]),
        ("reference=busybox:1", []),
        ("reference=imported$", ["sha256:c"]),
        ("dangling=true", ["sha256:b"]),
        ("dangling=false", ["sha256:a", "sha256:c"]),
        ("dangling=maybe", []),
    ],
)
def test_which_images(runtime: Runtime, capfd: pytest.CaptureFixture[str], condition: str, found: list[str]) -> None:
    runtime.answers["ListImages"] = lambda _: {"images": IMAGES}
    assert runtime.run("images", "-q", "--filter", condition) == 0
    assert capfd.readouterr().out.split() == found


def test_an_image_as_a_table(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    runtime.answers["ImageStatus"] = lambda asked: {"image": IMAGES[1], "info": {"k": "v"} if asked["verbose"] else {}}
    assert runtime.run("inspecti", "-o", "table", "b") == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["Size: 0B", "Info: map[k:v]"]
    assert runtime.run("inspecti", "-q", "-o", "table", "b") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "Size: 0B"


def test_pruning_goes_on_where_an_image_cannot_be_looked_up(
    runtime: Runtime, capfd: pytest.CaptureFixture[str]
) -> None:
    def status(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["image"]["image"] == "busybox":
            raise Refused("gone")
        return {"image": IMAGES[1]}

    runtime.answers |= {
        "ListImages": lambda _: {"images": IMAGES[1:2]},
        "ListContainers": lambda _: {"containers": [CONTAINER]},
        "ImageStatus": status,
        "RemoveImage": lambda _: {},
    }
    assert runtime.run("rmi", "--prune") == 0
    said = capfd.readouterr()
    assert said.out == "Deleted: r.io/web@sha256:2\n" and 'image status request for \\"busybox\\" failed' in said.err


def test_nothing_to_remove(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    runtime.answers |= {"ListContainers": lambda _: {}, "ListPodSandbox": lambda _: {}}
    for command, what in (("rm", "containers"), ("rmp", "pods")):
        assert runtime.run(command, "--all") == 0
        assert f'level=info msg="No {what} to remove"' in capfd.readouterr().err


def test_the_configuration_of_the_runtime(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    runtime.answers["RuntimeConfig"] = lambda _: {"linux": {"cgroup_driver": "CGROUPFS"}}
    assert runtime.run("runtime-config") == 0
    assert capfd.readouterr().out == "cgroup driver:   CGROUPFS\n"


def test_running(runtime: Runtime, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config, pod = tmp_path / "c.json", tmp_path / "p.json"
    mounts = [{"container_path": "/m", "image": {"image": "models"}}, {"container_path": "/n", "host_path": "/n"}]
    config.write_text(json.dumps({"metadata": {"name": "c"}, "image": {"image": "busybox"}, "mounts": mounts}))
    pod.write_text(json.dumps({"metadata": {"name": "p", "namespace": "n", "uid": "u"}}))
    runtime.answers |= {
        "RunPodSandbox": lambda _: {"pod_sandbox_id": "p"},
        "PullImage": lambda _: {"image_ref": "sha256:a"},
        "CreateContainer": lambda _: {"container_id": "1"},
        "StartContainer": lambda _: {},
    }
    assert runtime.run("run", "--no-pull", "--with-pull", str(config), str(pod)) == 1
    assert "RunPodSandbox" not in runtime.calls(), "nothing was made"
    assert runtime.run("run", str(config), str(pod)) == 0
    pulled = [asked["image"]["image"] for name, asked in runtime.asked if name == "PullImage"]
    assert pulled == ["busybox", "models"], "what is mounted is pulled too"
    assert capfd.readouterr().out == "1\n"
