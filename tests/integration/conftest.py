"""The one-process control plane on a temporary directory and a free port, on SQLite and on a real etcd."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.process import ControlPlane, running_etcd

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as url:
        yield url


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[str]:
    """An etcd without the shared control plane, whose controllers would write into every namespace."""
    with running_etcd(tmp_path / "own-etcd") as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "etcd"])
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Shared by all tests of a store: each works in a namespace of its own."""
    store = request.getfixturevalue("etcd") if request.param == "etcd" else "sqlite"
    plane = ControlPlane(tmp_path_factory.mktemp(request.param) / "data", store)
    plane.start()
    yield plane
    code = plane.stop()
    assert "Traceback" not in plane.log, plane.log
    assert code == 0, plane.log


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A new namespace with its default service account."""
    name = f"test-{next(_NUMBERS)}"
    control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=10s")
    return name
