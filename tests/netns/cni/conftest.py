"""The installed plugins, and namespaces that go away."""

import pytest

from tests.conformance.cni.conftest import config, ipam, leases, make, node, ours, pod
from tests.conformance.cni.plugins import Plugins

__all__ = ["config", "ipam", "leases", "make", "node", "ours", "pod"]


@pytest.fixture
def plugins(ours: Plugins) -> Plugins:
    return ours
