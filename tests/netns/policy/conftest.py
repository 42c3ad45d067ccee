"""Two nodes with kube-proxy as machines run it, and pods that the API knows of."""

from tests.netns.proxy.conftest import world

__all__ = ["world"]
