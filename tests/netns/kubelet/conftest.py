"""A machine with containerd and a control plane beside it, shared by the tests of a module; modules may run at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.kubelet import cluster as control_plane
from tests.netns.kubelet import machine as machines
from tests.netns.kubelet.cluster import Cluster
from tests.netns.kubelet.machine import Machine


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machines.started(request.module.__name__.rpartition("test_")[2]) as made:
        yield made


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    """Of the control plane; for modules to override."""
    return ()


@pytest.fixture(scope="module")
def cluster(machine: Machine, cluster_flags: tuple[str, ...]) -> Iterator[Cluster]:
    with control_plane.started(machine, *cluster_flags) as made:
        yield made
