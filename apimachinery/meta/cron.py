"""Cron schedules as CronJobs write them: five fields or a macro, in a time zone.

The syntax, the arithmetic and the error texts are those of github.com/robfig/cron v3 (ParseStandard), which upstream
uses: fields hold lists, ranges, steps and names; day of month and day of week are alternatives unless one is a star.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from msgspec import Struct

from apimachinery.meta import times

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_YEARS = 5
"""How far a time is looked for."""
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


class Schedule(Protocol):
    """When something is to happen."""

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`, in UTC, to the second; None if there is none within five years."""


class Every(Struct, frozen=True):
    """`@every 1h30m`: so many seconds after the last time."""

    seconds: int

    def next(self, after: datetime) -> datetime | None:
        """Always one."""
        return after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=self.seconds)


class Field(Struct, frozen=True):
    """The values of one field; star: written as `*` or `?`, without a step."""

    values: frozenset[int]
    star: bool = False


class Crontab(Struct, frozen=True):
    """Minutes, hours, days of the month, months and days of the week (0 is Sunday) by the wall clock of a zone."""

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field
    zone: tzinfo = UTC

    def next(self, after: datetime) -> datetime | None:
        """Wall clock times that a change of summer time skips do not happen; the first of doubled ones counts."""
        now = self._wall(int(after.timestamp()) + 1)
        limit = now.year + _YEARS
        while now.year <= limit:
            if now.month not in self.months.values:
                now = self._midnight(now.year + now.month // 12, now.month % 12 + 1, 1)
            elif not self._is_day(now):
                tomorrow = now.date() + timedelta(days=1)
                now = self._midnight(tomorrow.year, tomorrow.month, tomorrow.day)
            elif now.hour not in self.hours.values:
                now = self._add(now, 3600 - now.minute * 60 - now.second)
            elif now.minute not in self.minutes.values or now.second:
                now = self._add(now, 60 - now.second)
            else:
                return now.astimezone(UTC)
        return None

    def _is_day(self, moment: datetime) -> bool:
        day, weekday = moment.day in self.days.values, moment.isoweekday() % 7 in self.weekdays.values
        return (day and weekday) if self.days.star or self.weekdays.star else (day or weekday)

    def _add(self, moment: datetime, seconds: int) -> datetime:
        return self._wall(int(moment.timestamp()) + seconds)

    def _midnight(self, year: int, month: int, day: int) -> datetime:
        """The first moment of the day: one o'clock where summer time begins at midnight."""
        start = datetime(year, month, day, tzinfo=self.zone)
        found = self._wall(int(start.timestamp()))
        while (found.month, found.day) != (month, day):
            found = self._add(found, 3600 - found.minute * 60 - found.second)
        return found

    def _wall(self, seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, self.zone)


def load_zone(name: str) -> tzinfo:
    """Return the zone of the IANA database; "" is UTC. Raises ValueError."""
    if name in ("", "UTC"):
        return UTC
    try:
        from zoneinfo import ZoneInfo  # looks for the zones' folder when it is loaded

        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, a directory of zones
        raise ValueError(f"unknown time zone {name}") from None


def parse(text: str, zone: tzinfo = UTC) -> Schedule:
    """Read a schedule; `TZ=` or `CRON_TZ=` before it counts instead of `zone`. Raises ValueError with robfig's text."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = text.partition("=")[2].partition(" ")
        try:
            zone = load_zone(name)
        except ValueError as error:
            raise ValueError(f"provided bad location {name}: {error}") from None
        text = text.strip()
    if text.startswith("@every "):
        return _every(text)
    if text.startswith("@"):
        if text not in _MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    return Crontab(
        _field(fields[0], 0, 59, {}),
        _field(fields[1], 0, 23, {}),
        _field(fields[2], 1, 31, {}),
        _field(fields[3], 1, 12, _MONTHS),
        _field(fields[4], 0, 6, _DAYS),
        zone,
    )


def _every(text: str) -> Every:
    try:
        seconds = times.parse_duration(text.removeprefix("@every "))
    except ValueError as error:
        raise ValueError(f"failed to parse duration {text}: {error}") from None
    return Every(min(max(1, int(seconds)), 2**31))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> Field:
    found = [_range(part, low, high, names) for part in text.split(",") if part]
    return Field(frozenset().union(*(each.values for each in found)), any(each.star for each in found))


def _range(text: str, low: int, high: int, names: dict[str, int]) -> Field:
    span, *steps = text.split("/")
    ends, star = span.split("-"), False
    if ends[0] in ("*", "?"):
        start, end, star = low, high, True
    else:
        start = end = _number(ends[0], names)
        if len(ends) == 2:
            end = _number(ends[1], names)
        elif len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0], {})
        if len(ends) == 1:
            end = high  # "N/step" means "N-max/step"
        star = star and step <= 1
    elif steps:
        raise ValueError(f"too many slashes: {text}")
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return Field(frozenset(range(start, end + 1, step)), star)


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > 19:
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
