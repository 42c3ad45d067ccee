"""When the kernel is looked at, by a clock that only the test moves: the ten seconds that a flush may last."""

import asyncio

import pytest

from apimachinery.cache.lister import Lister
from apimachinery.kit.clock import ManualClock
from nodeagent.proxy.config import Config
from nodeagent.proxy.health import ServiceHealth
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.loop import SETTLE_SECONDS, SyncLoop
from nodeagent.proxy.node import NodeView, Settings
from nodeagent.proxy.proxier import SLICES_OF_SERVICE, Proxier
from tests.unit.nodeagent.proxy.test_ruleset import Model, empty_kernel

PROMISE = 10.0  # seconds from a flush to the rules' return


@pytest.mark.parametrize("flushed_at", [0.0, 1.0, 4.9, 5.1, 29.9], ids=lambda at: f"{at:g} s after the first sync")
async def test_where_the_kernel_tells_nothing_a_flush_is_repaired_within_the_promise(flushed_at: float) -> None:
    clock, kernel, slices = ManualClock(), Model(), Lister()
    slices.add_index(SLICES_OF_SERVICE, lambda _: ())
    rules = IptablesRules(kernel, Settings())
    proxier = Proxier("node-1", Lister(), slices, rules, 4, NodeView(), clock, lambda _: 0)
    periods = {"min_period": Config().min_sync_period, "sync_period": Config().sync_period}
    loop = SyncLoop([proxier], ServiceHealth(lambda: True, lambda *_: None), clock, **periods)
    running = asyncio.ensure_future(loop.run(told_by_kernel=False))
    await clock.advance(flushed_at)
    written = kernel.kernel
    assert written != empty_kernel()

    kernel.kernel = empty_kernel()
    await clock.advance(PROMISE)
    assert kernel.kernel == written
    running.cancel()
    await asyncio.wait([running])


def test_where_the_kernel_tells_of_it_the_look_comes_well_within_the_promise() -> None:
    assert SETTLE_SECONDS + Config().min_sync_period < PROMISE / 2
