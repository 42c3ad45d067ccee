"""Times and durations as the API writes them (RFC 3339 in UTC; Go's duration syntax; kubectl's ages)."""

import re
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def rfc3339(moment: datetime) -> str:
    """metav1.Time's spelling: whole seconds, UTC, `2024-01-02T03:04:05Z`. A naive datetime is taken as UTC."""
    if moment.tzinfo is not UTC:
        moment = _utc(moment)
    return moment.isoformat(timespec="seconds")[:-6] + "Z"  # without the "+00:00"


def rfc3339_micro(moment: datetime) -> str:
    """metav1.MicroTime's spelling: always six digits, `2024-01-02T03:04:05.000000Z` (Leases, events.k8s.io)."""
    return _utc(moment).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def go_string(moment: datetime) -> str:
    """As Go's time.Time prints itself: `2025-01-02 03:04:05.6 +0000 UTC`."""
    day, _, clock = rfc3339_micro(moment).removesuffix("Z").partition("T")
    return f"{day} {clock.rstrip('0').rstrip('.')} +0000 UTC"


def parse(text: str) -> datetime:
    """The moment an RFC 3339 text names, in UTC. Digits beyond microseconds are dropped. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f'parsing time "{text}": not an RFC 3339 time')
    year, month, day, hour, minute, second = (int(match.group(i)) for i in range(1, 7))
    micro = int(((match.group(7) or "") + "000000")[:6])
    zone: timezone = UTC
    if match.group(9):
        offset = timedelta(hours=int(match.group(10)), minutes=int(match.group(11)))
        zone = timezone(-offset if match.group(9) == "-" else offset)
    try:
        return datetime(year, month, day, hour, minute, second, micro, zone).astimezone(UTC)
    except ValueError as problem:
        raise ValueError(f'parsing time "{text}": {problem}') from None


def parse_duration(text: str) -> float:
    """Seconds in a Go duration: "1h2m", "1.5s", "-300ms", "0". Raises ValueError with Go's sentence."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0.0
    seconds, position = 0.0, 0
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        if match is None:
            break
        seconds += float(match.group(1)) * _UNIT_SECONDS[match.group(2)]
        position = match.end()
    if not body or position != len(body):
        if body and re.fullmatch(r"[\d.]+", body):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    return -seconds if text[0] == "-" else seconds


def format_duration(seconds: float) -> str:
    """Go's `Duration.String()`: 0 → "0s", 90 → "1m30s", 0.25 → "250ms", 3600 → "1h0m0s"."""
    nanos = round(abs(seconds) * 1_000_000_000)
    sign = "-" if seconds < 0 and nanos else ""
    if nanos == 0:
        return "0s"
    if nanos < 1_000:
        return f"{sign}{nanos}ns"
    if nanos < 1_000_000:
        return f"{sign}{_decimal(nanos, 1_000)}µs"
    if nanos < 1_000_000_000:
        return f"{sign}{_decimal(nanos, 1_000_000)}ms"
    minutes, rest = divmod(nanos, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{_decimal(rest, 1_000_000_000)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{tail}"
    return f"{sign}{minutes}m{tail}" if minutes else f"{sign}{tail}"


def human_duration(seconds: float) -> str:
    """kubectl's AGE column (k8s.io/apimachinery/pkg/util/duration.HumanDuration): two or three significant figures."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
