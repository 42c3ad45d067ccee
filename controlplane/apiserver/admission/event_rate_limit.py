"""EventRateLimit: buckets of tokens for events: of the server, a namespace, a user, or one source about one object."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review

Object = dict[str, Any]

DEFAULT_CACHE = 4096
"""Buckets that are remembered of one limit."""


class Limit(Struct, frozen=True):
    """kind: Server, Namespace, User or SourceAndObject. `rate`: events a second; `burst`: at once."""

    kind: str
    rate: float
    burst: int
    cache: int = DEFAULT_CACHE


class EventRateLimit(Plugin):
    """plugin/pkg/admission/eventratelimit. `monotonic`: seconds of a clock that never jumps."""

    name = "EventRateLimit"
    about = frozenset({("", "events"), ("events.k8s.io", "events")})

    def __init__(self, limits: Sequence[Limit], monotonic: Callable[[], float]) -> None:
        self._limits = [_Enforcer(limit, monotonic) for limit in limits]

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or review.call.dry_run:
            return
        refusals = []
        for enforcer in self._limits:
            key = _key(enforcer.limit.kind, review)
            if not enforcer.accept(key):
                refusals.append(f"limit reached on type {enforcer.limit.kind} for key {key}")
        if refusals:
            text = refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]"
            raise status.too_many_requests(text, 0)


class _Enforcer:
    def __init__(self, limit: Limit, monotonic: Callable[[], float]) -> None:
        self.limit, self._monotonic = limit, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def accept(self, key: str) -> bool:
        now = self._monotonic()
        tokens, counted = self._buckets.pop(key, (float(self.limit.burst), now))
        tokens = min(float(self.limit.burst), tokens + (now - counted) * self.limit.rate)
        accepted = tokens >= 1
        self._buckets[key] = (tokens - 1 if accepted else tokens, now)
        if len(self._buckets) > self.limit.cache:
            self._buckets.popitem(last=False)
        return accepted


def _key(kind: str, review: Review) -> str:
    match kind:
        case "Namespace":
            return review.namespace
        case "User":
            return review.call.user.name
        case "SourceAndObject":
            event: Mapping[str, Any] = review.new or {}
            source, about = event.get("source") or {}, event.get("involvedObject") or event.get("regarding") or {}
            words = [source.get("component"), source.get("host")]
            words += [about.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
            return "".join(word or "" for word in words)
    return ""
