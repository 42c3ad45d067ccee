"""Which port a probe or hook means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apimachinery.meta.go_print import quoted


def resolve_port(asked: Any, container: Mapping[str, Any]) -> int:
    """A number, a number as text, or the name of one of the container's ports. Raises ValueError."""
    if isinstance(asked, int):
        number = asked
    else:
        named = {port.get("name"): port["containerPort"] for port in container.get("ports") or () if port.get("name")}
        text = str(asked)
        if text not in named and not re.fullmatch(r"[+-]?[0-9]+", text):
            raise ValueError(f"strconv.Atoi: parsing {quoted(text)}: invalid syntax")
        number = int(named.get(text, text))
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number
