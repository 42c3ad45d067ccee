"""When a Job that has ended is deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.controllers.ttl_after_finished import expire_in

NOW = datetime(2026, 1, 1, 12, 0, 40, tzinfo=UTC)
ENDED = "2026-01-01T12:00:30Z"


@pytest.mark.parametrize(("ttl", "expected"), [(None, None), (0, -10.0), (10, 0.0), (30, 20.0)])
def test_time_to_live(ttl: int | None, expected: float | None) -> None:
    done = [{"type": "Failed", "status": "False"}, {"type": "Complete", "status": "True", "lastTransitionTime": ENDED}]
    job: dict[str, Any] = {"metadata": {}, "spec": {"ttlSecondsAfterFinished": ttl}, "status": {"conditions": done}}
    assert expire_in(job, NOW) == expected
    assert expire_in({**job, "status": {"conditions": done[:1]}}, NOW) is None, "it has not ended"
    assert expire_in({**job, "metadata": {"deletionTimestamp": ENDED}}, NOW) is None, "it goes already"
