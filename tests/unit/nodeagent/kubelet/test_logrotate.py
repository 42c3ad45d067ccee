"""Rotating logs: whose, when, and what is left of the old ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.logrotate import LogRotator
from nodeagent.kubelet.paths import Paths

LABELS = {"io.kubernetes.pod.namespace": "d", "io.kubernetes.pod.name": "p", "io.kubernetes.pod.uid": "u"}


class Runtime:
    """Containers whose logs are made anew when they are reopened, unless it fails with `problem`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.problem, self.containers = folder, "", list[cri.Container]()

    def has(self, attempt: int, state: int = cri.CONTAINER_RUNNING, **more: Any) -> Path:
        metadata = cri.ContainerMetadata(name="c", attempt=attempt)
        found = {"labels": LABELS, **more}
        self.containers.append(cri.Container(id=str(attempt), metadata=metadata, state=state, **found))
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{attempt}.log"

    async def list_containers(self) -> list[cri.Container]:
        return self.containers

    async def reopen_log(self, container_id: str) -> None:
        if self.problem:
            raise RuntimeCallError("ReopenContainerLog", "UNKNOWN", self.problem)
        (self.folder / f"{container_id}.log").touch()


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path / "pods" / "d_p_u" / "c")


def rotator(runtime: Any, tmp_path: Path, size: int = 10, files: int = 4) -> LogRotator:
    paths = Paths(tmp_path, tmp_path / "pods", tmp_path / "containers")
    return LogRotator(runtime, paths, ManualClock(), size, files)


def names(runtime: Runtime) -> list[str]:
    return sorted(file.name for file in runtime.folder.iterdir())


async def test_a_log_is_rotated_when_it_has_grown_to_the_size(runtime: Runtime, tmp_path: Path) -> None:
    full, small = runtime.has(0), runtime.has(1)
    full.write_bytes(b"x" * 10)
    small.write_bytes(b"x" * 9)
    await rotator(runtime, tmp_path).rotate_all()
    assert full.read_bytes() == b"" and small.read_bytes() == b"x" * 9
    (rotated,) = runtime.folder.glob("0.log.*")
    assert rotated.read_bytes() == b"x" * 10


async def test_the_log_of_a_container_that_has_ended_stays_as_it_is(runtime: Runtime, tmp_path: Path) -> None:
    runtime.has(0, cri.CONTAINER_EXITED).write_bytes(b"x" * 99)
    for old in ("0.log.20240101-000001", "0.log.20240101-000002", "0.log.20240101-000003"):
        (runtime.folder / old).write_bytes(b"old")
    before = names(runtime)
    runtime.problem = "it does not run"
    await rotator(runtime, tmp_path).rotate_all()
    assert names(runtime) == before


async def test_a_log_that_was_deleted_is_opened_anew(runtime: Runtime, tmp_path: Path) -> None:
    path = runtime.has(0)
    runtime.has(1, labels={}).write_bytes(b"of somebody else")
    await rotator(runtime, tmp_path).rotate_all()
    assert path.read_bytes() == b"" and names(runtime) == ["0.log", "1.log"]


async def test_what_is_too_old_goes_and_the_rest_is_compressed(runtime: Runtime, tmp_path: Path) -> None:
    runtime.has(0).write_bytes(b"new" * 9)
    runtime.has(10, cri.CONTAINER_EXITED).write_bytes(b"another's")
    for stamp, suffix in ((1, ".gz"), (2, ""), (3, ""), (4, ""), (4, ".tmp"), (3, ".gz")):
        (runtime.folder / f"0.log.20240101-00000{stamp}{suffix}").write_bytes(b"old")
    await rotator(runtime, tmp_path).rotate_all()
    (rotated,) = {file.name for file in runtime.folder.glob("0.log.*")} - {
        "0.log.20240101-000003.gz",
        "0.log.20240101-000004.gz",
    }
    assert (runtime.folder / rotated).read_bytes() == b"new" * 9
    assert len(names(runtime)) == 5 and "10.log" in names(runtime)
    assert gzip.decompress((runtime.folder / "0.log.20240101-000004.gz").read_bytes()) == b"old"


async def test_a_log_that_cannot_be_reopened_is_put_back(runtime: Runtime, tmp_path: Path) -> None:
    path = runtime.has(0)
    path.write_bytes(b"x" * 99)
    runtime.problem = "not now"
    await rotator(runtime, tmp_path).rotate_all()
    assert names(runtime) == ["0.log"] and path.stat().st_size == 99


async def test_a_negative_size_rotates_nothing(runtime: Runtime, tmp_path: Path) -> None:
    runtime.has(0).write_bytes(b"x" * 99)
    await rotator(runtime, tmp_path, size=-1).rotate_all()
    assert names(runtime) == ["0.log"]
