"""timestamp and duration: reading, printing and taking apart (cel-go's standard library, Go's time formats)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.overloads import Overload, overload
from controlplane.apiserver.cel.values import INT_MAX, Duration, Timestamp

_SECOND = 10**9
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PIECE = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration(text: str) -> Duration:
    """Go's time.ParseDuration: "1h30m", "-1.5s". Raises CelError."""
    wrong = CelError("type conversion error from 'string' to 'google.protobuf.Duration'")
    body = text.lstrip("+-") if text[:1] in ("+", "-") else text
    if len(text) - len(body) > 1 or not body:
        raise wrong
    if body == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(body):
        match = _PIECE.match(body, at)
        if match is None or not (match[1] or match[2]):
            raise wrong
        unit = _UNITS[match[3]]
        fraction = (match[2] or "")[:18]
        total += int(match[1] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        at = match.end()
    if total > INT_MAX:
        raise wrong
    return Duration(-total if text[0] == "-" else total)


def timestamp_of(text: str) -> Timestamp:
    """RFC 3339 with up to nanoseconds. Raises CelError."""
    wrong = CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'")
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise wrong
    try:
        year, month, day, hour, minute, second = (int(match[part]) for part in range(1, 7))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise wrong from None
    ns = (moment - _EPOCH) // timedelta(seconds=1) * _SECOND + int(((match[7] or "") + "0" * 9)[:9])
    offset = 0
    if match[8] != "Z":
        shift = int(match[8][1:3]) * 3600 + int(match[8][4:6]) * 60
        offset = shift if match[8][0] == "+" else -shift
    return operators.timestamp(ns - offset * _SECOND, offset)


def text_of(value: Any) -> str:
    """A timestamp as RFC 3339 in its own zone, with as many digits as it needs; a duration in seconds ("5400s")."""
    if type(value) is Timestamp:
        seconds, ns = divmod(value.ns, _SECOND)
        fraction = f".{ns:09d}".rstrip("0") if ns else ""
        shown = (_EPOCH + timedelta(seconds=seconds + value.offset)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
        return f"{shown}{fraction}{_zone(value.offset)}"
    sign, ns = ("-", -value.ns) if value.ns < 0 else ("", value.ns)
    seconds, ns = divmod(ns, _SECOND)
    return f"{sign}{seconds}{f'.{ns:09d}'.rstrip('0') if ns else ''}s"


def _zone(offset: int) -> str:
    if not offset:
        return "Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'+' if offset > 0 else '-'}{hours:02d}:{minutes:02d}"


def _local(value: Timestamp, zone: str) -> datetime:
    where: tzinfo
    match = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", zone)
    try:
        if match:
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            where = timezone(-offset if match[1] == "-" else offset)
        else:
            where = UTC if zone in ("", "UTC") else ZoneInfo(zone)
        return (_EPOCH + timedelta(seconds=value.ns // _SECOND)).astimezone(where)
    except (ValueError, OSError, KeyError, OverflowError):
        raise CelError(f"unknown time zone {zone}") from None


def _parts(name: str, part: Callable[[datetime, int], int]) -> list[Overload]:
    def read(value: Timestamp, zone: str = "UTC") -> int:
        return part(_local(value, zone), value.ns % _SECOND)

    return [overload(f"timestamp.{name}(): int", read), overload(f"timestamp.{name}(string): int", read)]


def _toward_zero(number: int, unit: int) -> int:
    return -(-number // unit) if number < 0 else number // unit


FUNCTIONS = [
    overload("duration(string): duration", duration, 0.1),
    overload("duration(duration): duration", lambda value: value),
    overload("duration(int): duration", Duration),
    overload("timestamp(string): timestamp", timestamp_of, 0.1),
    overload("timestamp(timestamp): timestamp", lambda value: value),
    overload("timestamp(int): timestamp", lambda seconds: operators.timestamp(seconds * _SECOND)),
    overload("string(timestamp): string", text_of),
    overload("string(duration): string", text_of),
    *_parts("getFullYear", lambda moment, _: moment.year),
    *_parts("getMonth", lambda moment, _: moment.month - 1),
    *_parts("getDate", lambda moment, _: moment.day),
    *_parts("getDayOfMonth", lambda moment, _: moment.day - 1),
    *_parts("getDayOfWeek", lambda moment, _: moment.isoweekday() % 7),
    *_parts("getDayOfYear", lambda moment, _: moment.timetuple().tm_yday - 1),
    *_parts("getHours", lambda moment, _: moment.hour),
    *_parts("getMinutes", lambda moment, _: moment.minute),
    *_parts("getSeconds", lambda moment, _: moment.second),
    *_parts("getMilliseconds", lambda _, ns: ns // 10**6),
    overload("duration.getHours(): int", lambda value: _toward_zero(value.ns, 3600 * _SECOND)),
    overload("duration.getMinutes(): int", lambda value: _toward_zero(value.ns, 60 * _SECOND)),
    overload("duration.getSeconds(): int", lambda value: _toward_zero(value.ns, _SECOND)),
    overload("duration.getMilliseconds(): int", lambda value: _toward_zero(value.ns, 10**6)),
]
