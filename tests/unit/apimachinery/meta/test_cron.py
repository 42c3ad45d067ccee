"""Cron schedules: syntax, next times, time zones (the tables follow robfig/cron's own tests)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta import cron


def at(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2012-07-09 14:45:00", "2012-07-09 14:46:00"),
        ("* * * * *", "2012-07-09 14:45:59", "2012-07-09 14:46:00"),
        ("*/15 * * * *", "2012-07-09 14:45:00", "2012-07-09 15:00:00"),
        ("20-35/15 * * * *", "2012-07-09 15:45:00", "2012-07-09 16:20:00"),
        ("5/20 * * * *", "2012-07-09 15:26:00", "2012-07-09 15:45:00"),
        ("*/15 * * * *", "2012-07-09 23:46:00", "2012-07-10 00:00:00"),
        ("20-35/15 1/2 */2 * *", "2012-07-09 23:35:51", "2012-07-11 01:20:00"),
        ("0 0 9 Apr-Oct ?", "2012-07-09 23:35:00", "2012-08-09 00:00:00"),
        ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09 23:35:00", "2012-08-01 00:00:00"),
        ("0 0 */5 OCT mon", "2012-07-09 23:35:00", "2012-10-01 00:00:00"),
        ("0 0 * Feb Mon", "2012-07-09 23:35:00", "2013-02-04 00:00:00"),
        ("0 0 29 2 *", "2013-01-01 00:00:00", "2016-02-29 00:00:00"),
        ("30 6-16/4 * * 1-5", "2025-05-30 14:31:00", "2025-06-02 06:30:00"),
        ("0 0 13 * 5", "2025-06-01 00:00:00", "2025-06-06 00:00:00"),
        ("0 0 13 * */1", "2025-06-14 00:00:00", "2025-07-13 00:00:00"),
        ("0 0 13 * */2", "2025-06-14 00:00:00", "2025-06-15 00:00:00"),
        ("59 23 31 12 *", "2025-12-31 23:59:00", "2026-12-31 23:59:00"),
        ("@hourly", "2025-06-01 12:00:00", "2025-06-01 13:00:00"),
        ("@daily", "2025-06-01 12:00:00", "2025-06-02 00:00:00"),
        ("@midnight", "2025-06-01 12:00:00", "2025-06-02 00:00:00"),
        ("@weekly", "2025-06-01 00:00:00", "2025-06-08 00:00:00"),
        ("@monthly", "2025-06-01 00:00:00", "2025-07-01 00:00:00"),
        ("@yearly", "2025-06-01 00:00:00", "2026-01-01 00:00:00"),
        ("@annually", "2025-06-01 00:00:00", "2026-01-01 00:00:00"),
        ("@every 90s", "2025-06-01 00:00:10", "2025-06-01 00:01:40"),
        ("@every 1ms", "2025-06-01 00:00:10", "2025-06-01 00:00:11"),
        ("TZ=Asia/Tokyo 30 4 * * *", "2025-06-01 00:00:00", "2025-06-01 19:30:00"),
        ("CRON_TZ=Asia/Tokyo @daily", "2025-06-01 00:00:00", "2025-06-01 15:00:00"),
    ],
)
def test_next(schedule: str, after: str, expected: str) -> None:
    assert cron.parse(schedule).next(at(after)) == at(expected)


@pytest.mark.parametrize(
    ("zone", "schedule", "after", "expected"),
    [
        ("America/New_York", "0 9 * * *", "2012-11-04 12:00:00", "2012-11-04 14:00:00"),
        # 02:30 does not exist on the day that summer time begins.
        ("America/New_York", "30 2 11 Mar ?", "2012-03-11 05:00:00", "2013-03-11 06:30:00"),
        ("America/New_York", "0 * * * *", "2012-03-11 06:00:00", "2012-03-11 07:00:00"),
        # 01:30 comes twice on the day that it ends.
        ("America/New_York", "30 1 4 Nov ?", "2012-11-04 04:00:00", "2012-11-04 05:30:00"),
        # No midnight in São Paulo.
        ("America/Sao_Paulo", "0 9 10 Oct ?", "2017-10-08 12:00:00", "2017-10-10 12:00:00"),
        ("America/Sao_Paulo", "0 9 16 Oct ?", "2017-10-15 00:00:00", "2017-10-16 11:00:00"),
        ("America/Sao_Paulo", "0 1 15 Oct ?", "2017-10-14 12:00:00", "2017-10-15 03:00:00"),
        ("Asia/Kathmandu", "0 0 * * *", "2025-06-01 00:00:00", "2025-06-01 18:15:00"),
    ],
)
def test_zones(zone: str, schedule: str, after: str, expected: str) -> None:
    assert cron.parse(schedule, cron.load_zone(zone)).next(at(after)) == at(expected)


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "59 23 31 4,6 ?", ", * * * *"])
def test_never(schedule: str) -> None:
    assert cron.parse(schedule).next(at("2025-06-01 00:00:00")) is None


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("*/-5 * * * *", "negative number (-5) not allowed: -5"),
        ("-5 * * * *", 'failed to parse int from : strconv.Atoi: parsing "": invalid syntax'),
        ("٣ * * * *", 'failed to parse int from ٣: strconv.Atoi: parsing "٣": invalid syntax'),
        ("* * * foo *", 'failed to parse int from foo: strconv.Atoi: parsing "foo": invalid syntax'),
        ("@never", "unrecognized descriptor: @never"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("TZ=Mars/Base 0 0 * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
        ("TZ=UTC", "expected exactly 5 fields, found 0: []"),
    ],
)
def test_what_cannot_be_read(schedule: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        cron.parse(schedule)
    assert str(caught.value) == told


@pytest.mark.parametrize("name", ["Nowhere", "../../etc/passwd", "Africa", "", "a\0b"])
def test_zones_that_are_none(name: str) -> None:
    if name:
        with pytest.raises(ValueError, match="unknown time zone"):
            cron.load_zone(name)
    else:
        assert cron.load_zone(name) is UTC


@given(st.text(alphabet="0123456789*/-,? @everyTZ=monjan ", max_size=24), st.datetimes(timezones=st.just(UTC)))
def test_any_text_is_read_or_refused(text: str, after: datetime) -> None:
    """Never another exception, and what comes next comes later."""
    if not 1980 < after.year < 2100:
        return
    try:
        schedule = cron.parse(text)
    except ValueError:
        return
    found = schedule.next(after)
    assert found is None or found > after


@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo"]))
def test_times_grow_and_fit(minute: int, hour: int, name: str) -> None:
    zone = cron.load_zone(name)
    schedule, moment = cron.parse(f"{minute} {hour} * * *", zone), at("2017-10-01 00:00:00")
    found = [moment]
    for _ in range(40):
        following = schedule.next(found[-1])
        assert following is not None
        found.append(following)
        local = following.astimezone(zone)
        assert (local.minute, local.hour) == (minute, hour)
    assert all(a < b for a, b in pairwise(found))
