"""What a controller has asked for and its informer has not shown yet (kubernetes pkg/controller: expectations).

A controller that counts pods in its lister and creates the missing ones would, before the watch has told it of the last
ones, create them again. It therefore waits until what it did has come back, or five minutes have passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apimachinery.kit.clock import Clock

TIMEOUT = 300.0  # seconds; upstream's ExpectationsTimeout


@dataclass(slots=True)
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Creations by count and deletions by uid, for each key of a controller."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def expect(self, key: str, count: int, uids: set[str]) -> None:
        """Before creating and deleting: `count` additions will be seen, and these will be seen to go."""
        self._expected[key] = _Expected(self._clock.monotonic(), count, set(uids))

    def expect_creations(self, key: str, count: int) -> None:
        """Before creating: `count` additions will be seen."""
        self.expect(key, count, set())

    def expect_deletions(self, key: str, uids: set[str]) -> None:
        """Before deleting: these will be seen to go."""
        self.expect(key, 0, uids)

    def creation_observed(self, key: str) -> None:
        """An addition was seen, or a creation failed and will not be."""
        if expected := self._expected.get(key):
            expected.creations -= 1

    def deletion_observed(self, key: str, uid: str) -> None:
        """A deletion was seen, or could not be asked for. Seen twice, it counts once."""
        if expected := self._expected.get(key):
            expected.deletions.discard(uid)

    def satisfied(self, key: str) -> bool:
        """Whether the lister can be believed for `key`."""
        expected = self._expected.get(key)
        if expected is None or (expected.creations <= 0 and not expected.deletions):
            return True
        return self._clock.monotonic() - expected.since > TIMEOUT

    def forget(self, key: str) -> None:
        """The key is gone."""
        self._expected.pop(key, None)
