"""The size of a cluster, and what it makes of the annotation (pkg/controller/ttl's table)."""

import pytest

from controlplane.controllers.ttl import SIZES, compute_size


@pytest.mark.parametrize(
    ("nodes", "seconds"),
    [(0, 0), (3, 0), (100, 0), (101, 15), (500, 15), (501, 30), (1001, 60), (2000, 60), (2001, 300), (10_000, 300)],
)
def test_a_growing_cluster(nodes: int, seconds: int) -> None:
    size = 0
    for count in range(nodes + 1):
        size = compute_size(size, count)
    assert SIZES[size].seconds == seconds
    assert compute_size(0, nodes) == size  # all at once, as after a restart


@pytest.mark.parametrize(
    ("nodes", "seconds"), [(1800, 300), (1799, 60), (900, 60), (899, 30), (450, 30), (449, 15), (90, 15), (89, 0)]
)
def test_a_shrinking_cluster_keeps_its_size_a_little_longer(nodes: int, seconds: int) -> None:
    size = len(SIZES) - 1
    for count in range(2500, nodes - 1, -1):
        size = compute_size(size, count)
    assert SIZES[size].seconds == seconds
