"""How long a Job waits after failures before it starts another pod: 10 s, doubled each time to 10 minutes.

Pure (pkg/controller/job/backoff_utils.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from apimachinery.meta import objects, pods, times

Object = dict[str, Any]

_FIRST, _MAX = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """failures: since the last success. last: when the newest of them ended. seen: uids of the pods counted last."""

    failures: int = 0
    last: datetime | None = None
    seen: frozenset[str] = frozenset()


def after(record: Backoff, succeeded: Sequence[Object], failed: Sequence[Object]) -> Backoff:
    """Return the record when these finished pods are known as well. A success since forgets the failures before it."""
    uids = frozenset(objects.uid(pod) for pod in (*succeeded, *failed))
    good = [finish_time(pod) for pod in succeeded if objects.uid(pod) not in record.seen]
    bad = [finish_time(pod) for pod in failed if objects.uid(pod) not in record.seen]
    if good:
        bad, record = [moment for moment in bad if moment > max(good)], Backoff()
    if bad:
        record = Backoff(record.failures + len(bad), max(bad))
    return replace(record, seen=uids)


def left(failures: int, last: datetime | None, now: datetime) -> float:
    """Return the seconds still to wait after so many failures, the newest at `last`."""
    if failures <= 0 or last is None:
        return 0.0
    return max(0.0, min(_MAX, _FIRST * 2.0 ** min(failures - 1, 16)) - (now - last).total_seconds())


def finish_time(pod: Object) -> datetime:
    """Return when the pod ended: by its containers, its readiness, its deletion, or else when it was made."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    sidecars = {
        each["name"]
        for each in (pod.get("spec") or {}).get("initContainers") or ()
        if each.get("restartPolicy") == "Always"
    }
    late = [each for each in status.get("initContainerStatuses") or () if each.get("name") in sidecars]
    statuses = [*(status.get("containerStatuses") or ()), *late]
    ends = [((each.get("state") or {}).get("terminated") or {}).get("finishedAt") for each in statuses]
    if ends and all(ends):
        return max(times.parse(str(end)) for end in ends)
    ready = pods.condition(pod, "Ready") or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return times.parse(ready["lastTransitionTime"])
    if metadata.get("deletionTimestamp"):
        grace = timedelta(seconds=int(metadata.get("deletionGracePeriodSeconds") or 0))
        return times.parse(metadata["deletionTimestamp"]) - grace
    return times.parse(metadata["creationTimestamp"])
