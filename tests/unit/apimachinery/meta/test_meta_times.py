"""Times and durations."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta import times


def test_written_in_utc_whole_seconds():
    moment = datetime(2024, 1, 2, 4, 4, 5, 999999, timezone(timedelta(hours=1)))
    assert times.rfc3339(moment) == "2024-01-02T03:04:05Z"
    assert times.rfc3339_micro(moment) == "2024-01-02T03:04:05.999999Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.5Z", datetime(2024, 1, 2, 3, 4, 5, 500000, UTC)),
        ("2024-01-02T03:04:05.123456789Z", datetime(2024, 1, 2, 3, 4, 5, 123456, UTC)),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05-02:30", datetime(2024, 1, 2, 5, 34, 5, tzinfo=UTC)),
    ],
)
def test_read(text, expected):
    assert times.parse(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2024-01-02", "2024-02-30T00:00:00Z", "2024-01-02T03:04:05"])
def test_refused(text):
    with pytest.raises(ValueError, match="parsing time"):
        times.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1h2m3s", 3723), ("1.5s", 1.5), ("-300ms", -0.3), ("1us", 1e-6), ("2µs", 2e-6), ("+10m", 600)],
)
def test_durations_read(text, seconds):
    assert times.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1x", 'time: invalid duration "1x"'),
        ("-", 'time: invalid duration "-"'),
    ],
)
def test_durations_refused(text, message):
    with pytest.raises(ValueError) as refusal:
        times.parse_duration(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (3600, "1h0m0s"), (0.25, "250ms"), (1.5, "1.5s"), (-2, "-2s"), (1.5e-6, "1.5µs")],
)
def test_durations_written_as_go_does(seconds, text):
    assert times.format_duration(seconds) == text


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_a_written_duration_reads_back(millis):
    assert times.parse_duration(times.format_duration(millis / 1000)) == pytest.approx(millis / 1000)


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (7 * 3600 + 60, "7h1m"),
        (8 * 3600 + 60, "8h"),
        (48 * 3600, "2d"),
        (50 * 3600, "2d2h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (800 * 86400, "2y70d"),
        (3000 * 86400, "8y"),
    ],
)
def test_ages_as_kubectl_shows_them(seconds, age):
    assert times.human_duration(seconds) == age
