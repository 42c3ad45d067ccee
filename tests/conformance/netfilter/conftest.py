"""A cluster for each way into the kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.netfilter.cluster import Cluster
from tests.conformance.netfilter.modes import MODES


@pytest.fixture(params=MODES)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, request.param)
    yield made
    made.close()
