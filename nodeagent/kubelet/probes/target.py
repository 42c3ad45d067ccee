"""Which port a probe or hook means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resolve_port(asked: Any, container: Mapping[str, Any]) -> int:
    """A number, a number as text, or the name of one of the container's ports. Raises ValueError."""
    if isinstance(asked, int):
        number = asked
    else:
        named = {port.get("name"): port["containerPort"] for port in container.get("ports") or () if port.get("name")}
        text = str(asked)
        number = int(named.get(text) or (text if text.isdigit() else 0))
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {asked}")
    return number
