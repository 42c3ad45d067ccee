"""A machine with containerd, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.kubelet.machine import Machine


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    node = Machine("kubelet", 11)
    try:
        node.start()
        yield node
    finally:
        node.stop()
