"""Who leads when a holder is cut off, with upstream's times (lease 15 s, renewal 10 s, retry 2 s)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from apimachinery.client.config import ClientConfig
from apimachinery.client.leader import LeaderElector, LeadershipLost
from apimachinery.client.rest import Client
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import ApiError

STEP = 2  # seconds: the time between two tries
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


class WatchedClock(ManualClock):
    """Knows how many sleep, so that a test can wait until everybody is done with what their last waking led to."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = 0

    async def sleep(self, seconds: float) -> None:
        self.asleep += 1
        try:
            await super().sleep(seconds)
        finally:
            self.asleep -= 1


class Leases:
    """A server of one lease, with compare-and-set. deaf: user agents that it answers 503."""

    def __init__(self) -> None:
        self.lease: dict[str, dict[str, object]] | None = None
        self.deaf: set[str] = set()
        self._version = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers["User-Agent"].partition("/")[0] in self.deaf:
            return web.json_response({"code": 503, "reason": "ServiceUnavailable"}, status=503)
        if request.method == "GET":
            if self.lease is None:
                return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
            return web.json_response(self.lease)
        wanted = await request.json()
        held = self.lease["metadata"]["resourceVersion"] if self.lease is not None else None
        if wanted["metadata"].get("resourceVersion") != held:
            return web.json_response({"code": 409, "reason": "Conflict"}, status=409)
        self._version += 1
        self.lease = wanted
        self.lease["metadata"]["resourceVersion"] = str(self._version)
        return web.json_response(wanted)


class Candidate:
    """One process that would lead."""

    def __init__(self, client: Client, identity: str, clock: WatchedClock) -> None:
        self.told: list[tuple[str, str]] = []
        self.elector = LeaderElector(client, "kube-scheduler", "kube-system", identity, clock, tell=self._tell)
        self.leads = False
        self.task = asyncio.create_task(self.elector.run(self._lead))

    def _tell(self, lease: dict[str, dict[str, str]], what: str) -> None:
        self.told.append((lease["metadata"]["name"], what))

    async def _lead(self) -> None:
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False


class Election:
    """Two candidates, of whom "a" leads."""

    def __init__(self, leases: Leases, clock: WatchedClock, a: Candidate, b: Candidate) -> None:
        self.leases, self.clock, self.a, self.b = leases, clock, a, b

    async def settle(self) -> None:
        """Wait until every candidate that still runs sleeps until its next try."""
        while self.clock.asleep < sum(not each.task.done() for each in (self.a, self.b)):
            await asyncio.sleep(0.001)

    async def pass_by(self, seconds: float) -> list[tuple[float, str]]:
        """Let time pass, try by try. Returns when the leader changed, and to whom. There are never two."""
        changes, leader = [], self.leader()
        for _ in range(int(seconds // STEP)):
            await self.clock.advance(STEP)
            await self.settle()
            if self.leader() != leader:
                leader = self.leader()
                changes.append((self.clock.monotonic(), leader))
        return changes

    def leader(self) -> str:
        assert not (self.a.leads and self.b.leads)
        assert not (self.a.elector.holds() and self.b.elector.holds())
        return "a" if self.a.leads else "b" if self.b.leads else "nobody"


@asynccontextmanager
async def election() -> AsyncIterator[Election]:
    leases, clock = Leases(), WatchedClock()
    application = web.Application()
    application.router.add_route("*", LEASE, leases.answer)
    application.router.add_route("*", f"{LEASE}/kube-scheduler", leases.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = ClientConfig(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with asyncio.timeout(60), Client(config, "a") as first, Client(config, "b") as second:
            a = Candidate(first, "a", clock)
            while not a.leads:
                await asyncio.sleep(0.001)
            b = Candidate(second, "b", clock)
            found = Election(leases, clock, a, b)
            try:
                await found.settle()
                yield found
            finally:
                await cancel_and_wait(a.task, b.task)
    finally:
        await runner.cleanup()


async def test_who_renews_leads_for_ever() -> None:
    async with election() as both:
        assert await both.pass_by(120) == []
        assert both.leader() == "a" and both.a.elector.holds()


async def test_who_cannot_renew_stops_in_time_and_the_other_waits_for_the_lease_to_end() -> None:
    async with election() as both:
        both.leases.deaf.add("a")
        # Its last renewal is of second 0: it stops at 10, and the other's first try from 15 on is at 16.
        assert await both.pass_by(30) == [(10, "nobody"), (16, "b")]
        with pytest.raises(LeadershipLost, match=r"^leaderelection lost$"):
            await both.a.task
        assert not both.a.elector.holds() and both.b.elector.holds()
        assert both.leases.lease is not None
        spec = both.leases.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("b", 15, 1)


@pytest.mark.parametrize("silence", [2, 8])
async def test_a_short_silence_changes_nothing(silence: int) -> None:
    async with election() as both:
        both.leases.deaf.add("a")
        assert await both.pass_by(silence) == []
        both.leases.deaf.clear()
        assert await both.pass_by(60) == []
        assert both.leader() == "a"


async def test_a_lease_that_is_given_back_is_taken_at_the_next_try() -> None:
    async with election() as both:
        await cancel_and_wait(both.a.task)
        assert await both.pass_by(STEP) == [(2, "b")]


async def test_who_finds_the_lease_taken_stops_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with election() as both:
        lease = both.leases.lease
        assert lease is not None
        both.leases.lease = {**lease, "spec": {**lease["spec"], "holderIdentity": "somebody else"}}
        assert await both.pass_by(STEP) == [(2, "nobody")]
        with pytest.raises(LeadershipLost):
            await both.a.task
        assert "failed to renew lease kube-system/kube-scheduler: lock is held by somebody else" in caplog.text


async def test_a_lease_lasts_as_long_as_its_holder_said() -> None:
    async with election() as both:
        lease = both.leases.lease
        assert lease is not None
        spec = {**lease["spec"], "holderIdentity": "somebody else", "leaseDurationSeconds": 40}
        both.leases.lease = {**lease, "spec": spec}
        # b heard of it at second 2, or 4, and counts from there.
        (lost, taken) = await both.pass_by(60)
        assert lost == (2, "nobody") and taken[1] == "b" and taken[0] in (42, 44)


async def test_who_begins_to_lead_says_so() -> None:
    async with election() as both:
        assert both.leases.lease is not None
        assert both.a.told == [(both.leases.lease["metadata"]["name"], "a became leader")] and both.b.told == []
        await cancel_and_wait(both.a.task)
        await both.pass_by(STEP)
        assert both.b.told == [("kube-scheduler", "b became leader")]


async def test_the_check_fails_for_who_leads_by_a_lease_long_ended() -> None:
    def master() -> float | None:
        return REGISTRY.get_sample_value("leader_election_master_status", {"name": "lately"})

    class Stuck:
        """A client whose later requests are never answered."""

        async def get(self, *_: object) -> dict[str, object]:
            if master():
                await asyncio.Event().wait()
            raise ApiError(404, "NotFound", "", {})

        async def create(self, _: object, lease: dict[str, object]) -> dict[str, object]:
            return lease

        update = create

    clock = ManualClock()
    elector = LeaderElector(Stuck(), "lately", "kube-system", "a", clock)
    await elector.check()
    assert master() == 0
    running = asyncio.ensure_future(elector.run(asyncio.Event().wait))
    await clock.advance(0)
    assert master() == 1
    await clock.advance(35)
    await elector.check()
    await clock.advance(1)
    with pytest.raises(RuntimeError, match="failed election to renew leadership on lease lately"):
        await elector.check()
    await cancel_and_wait(running)
    assert master() == 0
