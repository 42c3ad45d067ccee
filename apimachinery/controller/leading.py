"""The event by which people see who leads (client-go resourcelock: LeaderElection on the Lease)."""

from __future__ import annotations

from typing import Any

from apimachinery.client.leader import Tell
from apimachinery.controller.events import EventRecorder

Object = dict[str, Any]


def telling(recorder: EventRecorder) -> Tell:
    """For a LeaderElector: says by `recorder` what became of the lease."""

    def tell(lease: Object, what: str) -> None:
        recorder.event(lease, "Normal", "LeaderElection", what)

    return tell
