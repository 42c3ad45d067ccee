from apimachinery.kit.backoff import Backoff
from apimachinery.kit.clock import ManualClock


async def test_doubles_up_to_the_cap_and_starts_anew() -> None:
    clock = ManualClock()
    backoff = Backoff(10, 300, clock)
    assert [backoff.next("a") for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.next("b") == 10
    await clock.advance(601)
    assert backoff.next("a") == 10
    backoff.next("a")
    backoff.reset("a")
    assert backoff.next("a") == 10


async def test_remaining_counts_down_on_the_monotonic_clock() -> None:
    clock = ManualClock()
    backoff = Backoff(10, 300, clock)
    assert backoff.remaining("a") == 0
    backoff.next("a")
    clock.jump(3600)
    await clock.advance(4)
    assert backoff.remaining("a") == 6
    await clock.advance(7)
    assert backoff.remaining("a") == 0


async def test_forget_idle_keeps_what_fails_now() -> None:
    clock = ManualClock()
    backoff = Backoff(1, 10, clock)
    backoff.next("old")
    await clock.advance(21)
    backoff.next("new")
    backoff.forget_idle()
    assert (backoff.delay("old"), backoff.delay("new")) == (0, 1)
