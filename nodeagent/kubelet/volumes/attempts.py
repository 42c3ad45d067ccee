"""Trying volumes again: each by itself, later and later, and what to say of it (upstream's volume manager)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apimachinery.kit.clock import Clock

from .setup_problem import FAILED_MOUNT

INITIAL, FACTOR, LONGEST = 0.5, 2.0, 122.0  # seconds, as upstream's exponentialbackoff
DEADLINE = 123.0  # seconds (podAttachAndMountTimeout) after which it is said of the whole pod
_PROCESS_AGAIN = 2.0
# Seconds between two looks whether a volume is attached by now: at first, and when it takes long (another node has it).
ATTACH_FIRST, ATTACH_LONGEST = 0.3, 2.0


Told = tuple[str, str]
"""Reason and message of an event."""


class VolumeProblem(Exception):
    """Not all volumes of the pod are set up. events: new ones to be told. retry_in: seconds."""

    def __init__(self, events: Sequence[Told], retry_in: float) -> None:
        self.events, self.retry_in = tuple(events), retry_in
        super().__init__("; ".join(message for _, message in events))


def summarize(unmounted: Sequence[str], unprocessed: Sequence[str], why: str, unattached: Sequence[str] = ()) -> str:
    """What is said of the whole pod. Pure."""
    return (
        f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(sorted(unmounted))}], "
        f"unattached volumes=[{' '.join(sorted(unattached))}], "
        f"failed to process volumes=[{' '.join(sorted(unprocessed))}]: {why}"
    )


class Attempts:
    """How often each volume of each pod was tried in vain."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waits: dict[tuple[str, str], tuple[float, float]] = {}  # (delay, when it is due)
        self._since: dict[str, float] = {}
        self._unattached: set[tuple[str, str]] = set()

    def is_due(self, uid: str, name: str) -> bool:
        """Whether the volume may be tried now."""
        return self._clock.monotonic() >= self._waits.get((uid, name), (0.0, 0.0))[1]

    def failed(self, uid: str, name: str) -> None:
        """It was tried in vain."""
        if (uid, name) in self._unattached:
            self.succeeded(uid, name)
        self._wait(uid, name, INITIAL, LONGEST)

    def unattached(self, uid: str, name: str) -> None:
        """It is not attached yet: looked at again soon."""
        self._wait(uid, name, ATTACH_FIRST, ATTACH_LONGEST)
        self._unattached.add((uid, name))

    def _wait(self, uid: str, name: str, first: float, longest: float) -> None:
        delay = min(self._waits.get((uid, name), (first / FACTOR, 0.0))[0] * FACTOR, longest)
        self._waits[(uid, name)] = (delay, self._clock.monotonic() + delay)

    def succeeded(self, uid: str, name: str) -> None:
        """It is set up."""
        self._waits.pop((uid, name), None)
        self._unattached.discard((uid, name))

    def problem(
        self, uid: str, failures: Mapping[str, Told], waiting: Sequence[str], lost: Mapping[str, str]
    ) -> VolumeProblem:
        """Sum up a pass. failures: what was tried now, with what to tell; waiting: what is not due; lost: what could
        not even be looked up, with the reason."""
        now = self._clock.monotonic()
        since = self._since.setdefault(uid, now)
        events = list(failures.values())
        unmounted = [*failures, *waiting, *lost]
        if lost:
            why = "; ".join(sorted(set(lost.values())))
            events.append((FAILED_MOUNT, summarize(unmounted, list(lost), why)))
        elif now - since >= DEADLINE:
            self._since[uid] = now
            unattached = [name for name in unmounted if (uid, name) in self._unattached]
            events.append((FAILED_MOUNT, summarize(unmounted, (), "context deadline exceeded", unattached)))
        due = [self._waits[(uid, name)][1] - now for name in unmounted if (uid, name) in self._waits]
        return VolumeProblem(events, max(0.05, min(due, default=_PROCESS_AGAIN)))

    def done(self, uid: str) -> None:
        """Every volume of the pod is set up."""
        self._since.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._since.pop(uid, None)
        self._unattached = {key for key in self._unattached if key[0] != uid}
        for key in [key for key in self._waits if key[0] == uid]:
            del self._waits[key]
