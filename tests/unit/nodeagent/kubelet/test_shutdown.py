"""Graceful node shutdown: the groups, and the manager against a real message bus with a stand-in for logind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from dbus_fast.aio import MessageBus
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_property, method, signal

from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.shutdown.groups import Period, grace, group, plan_periods
from nodeagent.kubelet.shutdown.logind import Logind, LogindProblem
from nodeagent.kubelet.shutdown.manager import MESSAGE, Hands, ShutdownManager
from nodeagent.kubelet.status.compute import Verdict

CRITICAL = 2_000_000_000


def pod(name: str, priority: int = 0, own: int | None = None) -> Pod:
    spec: dict[str, Any] = {"containers": [], "priority": priority}
    if own is not None:
        spec["terminationGracePeriodSeconds"] = own
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec}


@pytest.mark.parametrize(
    ("whole", "critical", "listed", "expected"),
    [
        (30.0, 10.0, (), [Period(0, 20), Period(CRITICAL, 10)]),
        (0.0, 0.0, (), []),
        (5.0, 10.0, (), []),
        (
            0.0,
            0.0,
            ({"priority": 1000, "shutdownGracePeriodSeconds": 5}, {"priority": 0, "shutdownGracePeriodSeconds": 9}),
            [Period(0, 9), Period(1000, 5)],
        ),
    ],
)
def test_periods(whole: float, critical: float, listed: Any, expected: list[Period]) -> None:
    assert plan_periods(whole, critical, listed) == expected


def test_pods_go_with_the_period_at_or_below_their_priority() -> None:
    periods = [Period(10, 1), Period(100, 2), Period(1000, 3)]
    active = [pod(str(priority), priority) for priority in (-5, 10, 99, 100, 5000)]
    assert [[p["metadata"]["name"] for p in listed] for _, listed in group(periods, active)] == [
        ["-5", "10", "99"],
        ["100"],
        ["5000"],
    ]


def test_a_pods_own_grace_holds_when_it_is_shorter() -> None:
    assert [grace(pod("p", own=own), Period(0, 20)) for own in (None, 5, 60)] == [20, 5, 20]


class StandIn(ServiceInterface):
    """What the kubelet uses of logind: the delay, the lock, the signal. A lock is the writing end of a pipe."""

    def __init__(self) -> None:
        super().__init__("org.freedesktop.login1.Manager")
        self.delay, self.asked = 5_000_000, []
        self.locks: list[int] = []

    @dbus_property(access=PropertyAccess.READ, name="InhibitDelayMaxUSec")
    def delay_max(self) -> "t":  # type: ignore[name-defined]  # noqa: F821, UP037
        return self.delay

    @method(name="Inhibit")
    def take(self, what: "s", who: "s", why: "s", mode: "s") -> "h":  # type: ignore[name-defined]  # noqa: F821, UP037
        reading, writing = os.pipe()
        self.asked.append((what, who, why, mode))
        self.locks.append(reading)
        asyncio.get_running_loop().call_later(0.5, os.close, writing)  # by then the kubelet has its own copy
        return writing

    @signal(name="PrepareForShutdown")
    def prepare(self, begins: bool) -> "b":  # type: ignore[name-defined]  # noqa: F821, UP037
        return begins

    def held(self, index: int = -1) -> bool:
        """Whether somebody has the lock still."""
        os.set_blocking(self.locks[index], False)
        try:
            return os.read(self.locks[index], 1) != b""
        except BlockingIOError:
            return True


class Systemd(ServiceInterface):
    """systemd's part: a SIGHUP makes logind read its configuration anew."""

    def __init__(self, logind: StandIn, overrides: Path) -> None:
        super().__init__("org.freedesktop.systemd1.Manager")
        self._logind, self._overrides = logind, overrides

    @method(name="KillUnit")
    def kill(self, unit: "s", who: "s", number: "i") -> "":  # type: ignore[name-defined, valid-type]  # noqa: F821, F722, UP037
        assert (unit, who, number) == ("systemd-logind.service", "all", 1)
        text = (self._overrides / "99-kubelet.conf").read_text()
        self._logind.delay = int(text.rpartition("InhibitDelayMaxSec=")[2]) * 1_000_000


@pytest.fixture
async def logind(address: str, tmp_path: Path) -> AsyncIterator[StandIn]:
    bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
    stand_in = StandIn()
    bus.export("/org/freedesktop/login1", stand_in)
    bus.export("/org/freedesktop/systemd1", Systemd(stand_in, tmp_path))
    await bus.request_name("org.freedesktop.login1")
    await bus.request_name("org.freedesktop.systemd1")
    yield stand_in
    bus.disconnect()


class Node:
    """A manager with pods that end when they are told."""

    def __init__(self, tmp_path: Path, *periods: Period, pods: list[Pod]) -> None:
        self.active, self.ended, self.kicks = pods, [], 0
        self.may_end = asyncio.Event()
        self.events: list[str] = []
        hands = Hands(lambda: list(self.active), self._end, self._kick)
        self.manager = ShutdownManager(
            periods, lambda: Logind.connect(tmp_path), hands, Recorder(self, "node"), SystemClock()
        )

    def event(
        self, obj: dict[str, Any], type: str, reason: str, message: str, *, field_path: str = "", **more: Any
    ) -> None:
        self.events.append(f"{reason}: {message}")

    def _kick(self) -> None:
        self.kicks += 1

    async def _end(self, doomed: Pod, verdict: Verdict, seconds: int) -> None:
        self.ended.append((doomed["metadata"]["name"], verdict, seconds))
        await self.may_end.wait()


async def until(look: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(10):
        while not look():
            await asyncio.sleep(0.01)
    assert look(), what


async def test_the_lock_is_held_until_the_pods_have_ended_group_by_group(logind: StandIn, tmp_path: Path) -> None:
    node = Node(
        tmp_path, Period(0, 20), Period(CRITICAL, 10), pods=[pod("a"), pod("b", own=3), pod("critical", CRITICAL)]
    )
    running = asyncio.create_task(node.manager.run())
    try:
        await until(lambda: logind.locks, "the lock")
        assert logind.asked == [("shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay")]
        assert logind.delay == 30_000_000, "logind's delay was too short for us, and has been made longer"
        await asyncio.sleep(0.6)
        assert logind.held() and node.manager.problem() is None and node.manager.refusal(pod("new")) is None
        logind.prepare(True)
        await until(lambda: len(node.ended) == 2, "the first group")
        assert sorted((name, seconds) for name, _, seconds in node.ended) == [("a", 20), ("b", 3)]
        verdict = node.ended[0][1]
        assert (verdict.reason, verdict.message) == ("Terminated", MESSAGE)
        assert verdict.conditions[0]["reason"] == "TerminationByKubelet"
        assert logind.held() and node.manager.problem() == "node is shutting down" and node.kicks == 1
        refusal = node.manager.refusal(pod("new"))
        assert refusal is not None
        assert (refusal.reason, refusal.message) == ("NodeShutdown", "Pod was rejected as the node is shutting down.")
        node.may_end.set()
        await until(lambda: not logind.held(), "the lock's release")
        assert [name for name, _, _ in node.ended][2:] == ["critical"]
        logind.prepare(False)
        await until(lambda: len(logind.locks) == 2, "another lock after the shutdown was cancelled")
        assert node.manager.problem() is None
        assert node.events == [
            "NodeShutdown: Shutdown manager detected shutdown event",
            "NodeShutdown: Shutdown manager detected shutdown cancellation",
        ]
    finally:
        await cancel_and_wait(running)
    await asyncio.sleep(0.6)
    assert not logind.held(), "a kubelet that ends does not hold up the machine"


async def test_a_group_gets_its_time_and_no_more(logind: StandIn, tmp_path: Path) -> None:
    node = Node(tmp_path, Period(0, 1), Period(CRITICAL, 1), pods=[pod("stuck"), pod("critical", CRITICAL)])
    began = asyncio.get_running_loop().time()
    await node.manager.end_pods()
    assert 1.9 < asyncio.get_running_loop().time() - began < 4
    assert [name for name, _, _ in node.ended] == ["stuck", "critical"]


async def test_without_a_bus_or_logind_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(LogindProblem, match="cannot connect to the system bus"):
        await Logind.connect()
    node = Node(tmp_path, Period(0, 5), pods=[])
    running = asyncio.create_task(node.manager.run())
    await until(lambda: "Failed to start node shutdown manager" in caplog.text, "the message")
    await cancel_and_wait(running)


async def test_a_bus_without_logind_is_a_problem(address: str) -> None:
    bus = await Logind.connect()
    with pytest.raises(LogindProblem, match=r"Properties\.Get"):
        await bus.longest_delay()
    await bus.close()


async def test_no_period_no_bus(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await Node(tmp_path, pods=[]).manager.run()
    assert "node shutdown will be immediate" in caplog.text
