"""What authentication adds to the answer of a request and to its audit event, besides saying who asks; and how much of
its time others took."""

from __future__ import annotations

from contextvars import ContextVar

from msgspec import Struct, field


class Remarks(Struct):
    """Of one request. warnings: Warning headers of the answer; annotations: of the audit event.

    waited: seconds for a seat and for mutating webhooks, which are asked one after another; validated: for the slowest
    of the validating ones, which are asked at once.
    """

    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    waited: float = 0.0
    validated: float = 0.0


_CURRENT: ContextVar[Remarks | None] = ContextVar("remarks", default=None)


def begin() -> Remarks:
    """The remarks of a request that begins now in this task, which may have served others before."""
    found = Remarks()
    _CURRENT.set(found)
    return found


def current() -> Remarks:
    """Those of the request that this task serves; outside of one, new ones that nobody reads."""
    return _CURRENT.get() or Remarks()


def warn(text: str) -> None:
    """Tell the client, each sentence once."""
    if text not in (warnings := current().warnings):
        warnings.append(text)


def annotate(key: str, value: str) -> None:
    """Add to the audit event; the first value of a key stays (audit.AddAuditAnnotation)."""
    current().annotations.setdefault(key, value)
