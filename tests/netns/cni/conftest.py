"""The installed plugins, and namespaces that go away."""

import pytest

from tests.conformance.cni.conftest import agent, config, ipam, leases, make, node, ours, pod, reference
from tests.conformance.cni.plugins import Plugins

__all__ = ["agent", "config", "ipam", "leases", "make", "node", "ours", "pod", "reference"]


@pytest.fixture(params=["ours", "agent"])
def plugins(request: pytest.FixtureRequest) -> Plugins:
    return request.getfixturevalue(request.param)
