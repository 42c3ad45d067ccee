"""The host's time-stamp counter, read for real."""

from __future__ import annotations

from provisioner.drivers.tsc import kernel_argument, tsc_khz


def test_two_looks_agree_within_the_percent_that_a_guest_needs() -> None:
    first, second = tsc_khz(), tsc_khz()
    assert first is not None and second is not None
    assert 100_000 < first < 10_000_000
    assert abs(first - second) < first / 100
    assert kernel_argument().startswith(" tsc_early_khz=")
