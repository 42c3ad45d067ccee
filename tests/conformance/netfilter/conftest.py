"""A cluster for each back end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.netfilter.cluster import Cluster


@pytest.fixture(params=["nft", "legacy"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, request.param)
    yield made
    made.close()
