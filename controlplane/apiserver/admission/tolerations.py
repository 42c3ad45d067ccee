"""Tolerations put together and compared (kubernetes pkg/util/tolerations)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Toleration = Mapping[str, Any]


def covers(wide: Toleration, narrow: Toleration) -> bool:
    """Whether `wide` tolerates everything that `narrow` does, for as long."""
    if wide.get("key") and wide["key"] != narrow.get("key"):
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    for_ever = wide.get("tolerationSeconds")
    if wide.get("effect") == "NoExecute" and for_ever is not None:
        least = narrow.get("tolerationSeconds")
        if least is None or for_ever < least:
            return False
    if (wide.get("operator") or "Equal") == "Exists":
        return True
    return (narrow.get("operator") or "Equal") == "Equal" and (wide.get("value") or "") == (narrow.get("value") or "")


def merged(first: Iterable[Toleration], second: Iterable[Toleration]) -> list[dict[str, Any]]:
    """Both, without those that another one covers; of two equal ones the first stays."""
    everything = [dict(each) for each in (*first, *second)]
    found: list[dict[str, Any]] = []
    for position, each in enumerate(everything):
        if any(covers(other, each) for other in found):
            continue
        if any(covers(other, each) and not covers(each, other) for other in everything[position + 1 :]):
            continue
        found.append(each)
    return found


def differences(before: Iterable[Toleration], after: Iterable[Toleration]) -> Iterator[str]:
    """What to tell a review of tolerations that were put together."""
    had, has = list(before), list(after)
    yield from (f"+spec.tolerations[{each.get('key') or '*'}]" for each in has if each not in had)
    yield from (f"-spec.tolerations[{each.get('key') or '*'}]" for each in had if each not in has)


def all_covered(tolerations: Iterable[Toleration], allowed: Iterable[Toleration]) -> bool:
    """Whether each is covered by one that is allowed; everything is where nothing is listed."""
    permitted = list(allowed)
    return not permitted or all(any(covers(wide, each) for wide in permitted) for each in tolerations)
