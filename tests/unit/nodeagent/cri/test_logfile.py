"""The times of a log's lines, as they are shown."""

from __future__ import annotations

import pytest

from nodeagent.cri.logfile import nine_digits


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        (b"2026-11-22T12:24:59.238218760Z", b"2026-11-22T12:24:59.238218760Z"),
        (b"2026-11-22T12:24:59.23821876Z", b"2026-11-22T12:24:59.238218760Z"),
        (b"2026-11-22T12:24:59Z", b"2026-11-22T12:24:59.000000000Z"),
        (b"2026-11-22T13:24:59.5+01:00", b"2026-11-22T13:24:59.500000000+01:00"),
        (b"2026-11-22T13:24:59-05:00", b"2026-11-22T13:24:59.000000000-05:00"),
    ],
)
def test_nine_digits(moment: bytes, shown: bytes) -> None:
    assert nine_digits(moment) == shown
