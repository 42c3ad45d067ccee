"""A step of setting a volume up that went wrong."""

from __future__ import annotations

FAILED_MOUNT = "FailedMount"
"""The reason of the event that tells of a volume that cannot be set up."""


class SetupProblem(Exception):
    """A step of putting the volume on the node failed. step: as upstream names it in events. reason: of the event."""

    def __init__(self, step: str, name: str, why: object) -> None:
        mapped = step.startswith("MapVolume.") and step != "MapVolume.NodeAffinity check"
        self.reason = "FailedMapVolume" if mapped else FAILED_MOUNT
        super().__init__(f'{step} failed for volume "{name}" : {why}')
