"""What load balancers are told of the node."""

from typing import Any

import pytest

from nodeagent.proxy.health import DELETION_TAINT, Eligibility

TAINTED = {"metadata": {"name": "node-1"}, "spec": {"taints": [{"key": DELETION_TAINT, "effect": "NoSchedule"}]}}
DELETED = {"metadata": {"name": "node-1", "deletionTimestamp": "2024-01-01T00:00:00Z"}}
PLAIN = {"metadata": {"name": "node-1"}, "spec": {"taints": [{"key": "other", "effect": "NoSchedule"}]}}


@pytest.mark.parametrize(
    ("seen", "eligible"),
    [([], True), ([PLAIN], True), ([TAINTED], False), ([DELETED], False), ([TAINTED, PLAIN], True)],
)
def test_a_node_on_its_way_out_gets_no_new_traffic(seen: list[dict[str, Any]], eligible: bool) -> None:
    eligibility = Eligibility()
    for node in seen:
        eligibility.seen(node)
    assert eligibility() is eligible
