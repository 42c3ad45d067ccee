"""Where a kubelet's events go in these tests."""

from __future__ import annotations

from typing import Any


class Sink:
    """Keeps what was said: "type reason message" each."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.said.append(f"{type} {reason} {message}")
