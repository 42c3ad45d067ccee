"""A real containerd for the CRI suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from nodeagent.cri.channel import Channel
from tests.netns.kubelet.machine import Machine, started


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with started("cri") as node:
        yield node


@pytest.fixture
async def channel(machine: Machine) -> AsyncIterator[Channel]:
    opened = Channel(f"unix://{machine.socket}")
    yield opened
    await opened.close()
