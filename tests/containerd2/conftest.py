"""A machine with containerd 2, a control plane and a kubelet with the gates of what only containerd 2 can."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.netns.kubelet.agent import Kubelet, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.conftest import cluster as cluster
from tests.netns.kubelet.conftest import machine as machine

_GATES = {"ImageVolume": True, "SupplementalGroupsPolicy": True, "UserNamespacesSupport": True}


def pytest_configure() -> None:
    if not os.environ.get("KUBELAB_CONTAINERD"):
        raise pytest.UsageError("KUBELAB_CONTAINERD names no folder with containerd 2: run make test-containerd2")


@pytest.fixture(scope="module")
def cluster_flags() -> tuple[str, ...]:
    return (f"--feature-gates={','.join(f'{gate}=true' for gate in _GATES)}",)


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, featureGates=_GATES) as agent:
        yield agent


@pytest.fixture(autouse=True)
def _clean(cluster: Cluster, kubelet: Kubelet) -> Iterator[None]:
    yield
    cluster.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=120s")
    eventually(lambda: not kubelet.pods(), "an empty node")
    eventually(lambda: not list((kubelet.root / "pods").iterdir()), "no pod folder left")
