"""--audit-log-format=legacy: an event as a line for people (k8s.io/apiserver/pkg/audit: EventString)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def line(event: Mapping[str, Any]) -> bytes:
    """The event in one line, without a newline."""
    user, other = event.get("user") or {}, event.get("impersonatedUser")
    name, groups, acting, of = "<none>", "<none>", "<self>", "<lookup>"
    if user.get("username"):
        name = user["username"]
        groups = _all(user["groups"]) if user.get("groups") else groups
    if other is not None:
        acting = other.get("username") or ""
        of = _all(other["groups"]) if other.get("groups") is not None else of
    status = event.get("responseStatus")
    quoted = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": next(iter(event.get("sourceIPs") or ()), "<unknown>"),
        "method": event["verb"],
        "user": name,
        "groups": groups,
        "as": acting,
        "asgroups": of,
        "user-agent": event.get("userAgent") or "",
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"],
        "response": "<deferred>" if status is None else str(status.get("code") or 0),
    }
    words = " ".join(f"{key}={_quoted(value)}" for key, value in quoted.items())
    return f"{_moment(event['requestReceivedTimestamp'])} AUDIT: {words}".encode(errors="replace")


def _moment(micro: str) -> str:
    """Go's RFC3339Nano of a time with six digits: without the zeros behind."""
    return micro[:-1].rstrip("0").rstrip(".") + "Z"


def _all(words: Iterable[str]) -> str:
    return ",".join(map(_quoted, words))


def _quoted(text: str) -> str:
    """As Go's %q does, but for letters that are written as they are or by number."""
    return json.dumps(text, ensure_ascii=False)
