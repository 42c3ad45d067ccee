"""A step of setting a volume up that went wrong."""

from __future__ import annotations


class SetupProblem(Exception):
    """A step of putting the volume on the node failed. step: as upstream names it in events."""

    def __init__(self, step: str, name: str, why: object) -> None:
        super().__init__(f'{step} failed for volume "{name}" : {why}')
