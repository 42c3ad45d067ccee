from apimachinery.controller.expectations import Expectations
from apimachinery.kit.clock import ManualClock


async def test_creations_are_waited_for() -> None:
    expectations = Expectations(ManualClock())
    assert expectations.satisfied("a")
    expectations.expect_creations("a", 2)
    expectations.creation_observed("a")
    assert not expectations.satisfied("a")
    expectations.creation_observed("a")
    assert expectations.satisfied("a")


async def test_a_deletion_seen_twice_counts_once() -> None:
    expectations = Expectations(ManualClock())
    expectations.expect_deletions("a", {"u1", "u2"})
    expectations.deletion_observed("a", "u1")
    expectations.deletion_observed("a", "u1")
    assert not expectations.satisfied("a")
    expectations.deletion_observed("a", "u2")
    assert expectations.satisfied("a")


async def test_both_are_waited_for_at_once() -> None:
    expectations = Expectations(ManualClock())
    expectations.expect("a", 1, {"u1"})
    expectations.creation_observed("a")
    assert not expectations.satisfied("a")
    expectations.deletion_observed("a", "u1")
    assert expectations.satisfied("a")


async def test_after_five_minutes_the_lister_is_believed_again() -> None:
    clock = ManualClock()
    expectations = Expectations(clock)
    expectations.expect_creations("a", 1)
    await clock.advance(299)
    assert not expectations.satisfied("a")
    await clock.advance(2)
    assert expectations.satisfied("a")
