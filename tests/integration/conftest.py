"""The one-process control plane on a temporary directory and a free port: on SQLite, on a real etcd, and beside a
second API server on the same etcd."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.definitions import Kind
from tests.integration.pair import Pair
from tests.integration.process import ControlPlane, running_etcd

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_etcd(tmp_path_factory.mktemp("etcd") / "data") as url:
        yield url


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[str]:
    """An etcd that no other test writes to, for what counts revisions."""
    with running_etcd(tmp_path / "own-etcd") as url:
        yield url


@pytest.fixture(params=["sqlite", "pair"])
def etcd_of_two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """For a cluster in the test's own process: the etcd of two API servers, or "" for one server on SQLite."""
    with contextlib.ExitStack() as undo:
        yield undo.enter_context(running_etcd(tmp_path / "etcd")) if request.param == "pair" else ""


@pytest.fixture(scope="session", params=["sqlite", "etcd", "pair"])
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Shared by all tests of a store: each works in a namespace of its own."""
    directory = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as undo:
        store = "sqlite" if request.param == "sqlite" else undo.enter_context(running_etcd(directory / "etcd"))
        plane = (Pair if request.param == "pair" else ControlPlane)(directory / "data", store)
        plane.start()
        yield plane
        code = plane.stop()
        assert "Traceback" not in plane.log, plane.log
        assert code == 0, plane.log


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A new namespace with what the controllers put into it."""
    return control_plane.namespace(f"test-{next(_NUMBERS)}")


@pytest.fixture
def make_kind(control_plane: ControlPlane) -> Iterator[Callable[..., Kind]]:
    made: list[Kind] = []

    def make(**changes: Any) -> Kind:
        made.append(Kind(control_plane, **changes))
        return made[-1]

    yield make
    for kind in made:
        control_plane.kubectl("delete", "crd", kind.name, "--ignore-not-found", "--timeout=120s")


@pytest.fixture
def kind(make_kind: Callable[..., Kind]) -> Kind:
    return make_kind().apply()
