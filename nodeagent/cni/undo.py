"""Undoing what was half done (contextlib's ExitStack costs start-up time)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class Undo:
    """Remembers how to undo each step; when its block raises, undoes them, the last first.

    What an undo raises is dropped: the failure that led here is the one to tell.
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        self._steps.append(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return
        for step in reversed(self._steps):
            try:
                step()
            except Exception:
                continue
