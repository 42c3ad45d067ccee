"""The order of API versions, with the example of upstream's documentation."""

import random

from apimachinery.meta.versions import preference


def test_the_order_of_upstreams_documentation() -> None:
    order = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    shuffled = random.sample(order, len(order))
    assert sorted(shuffled, key=preference) == order


def test_what_only_looks_like_a_version_stands_last() -> None:
    assert sorted(["v0", "v1beta0", "v01", "v1", "v1gamma1"], key=preference) == [
        "v1",
        "v0",
        "v01",
        "v1beta0",
        "v1gamma1",
    ]
