"""The world of the proxy's tests: a real API, nodes with kube-proxy."""

from tests.netns.proxy.conftest import world

__all__ = ["world"]
