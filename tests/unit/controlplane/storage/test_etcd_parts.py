"""The parts of the etcd store that need no etcd: what errors mean, which lease serves whom, who shares a probe."""

import asyncio

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.storage.etcd_client import EtcdClient, classify
from controlplane.apiserver.storage.etcd_leases import Leases
from controlplane.apiserver.storage.etcd_probe import RevisionProbe
from controlplane.apiserver.storage.grpc_call import Code, RpcError
from controlplane.apiserver.storage.interface import (
    Compacted,
    FutureRevision,
    OutcomeUnknown,
    StorageError,
    Unavailable,
)

ERRORS = {
    "connection lost": (Code.UNAVAILABLE, "Socket closed", True, OutcomeUnknown),
    "connection lost in a read": (Code.UNAVAILABLE, "Socket closed", False, Unavailable),
    "deadline": (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", True, OutcomeUnknown),
    "deadline of a read": (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", False, Unavailable),
    "proposal timed out": (Code.UNAVAILABLE, "etcdserver: request timed out", True, OutcomeUnknown),
    "leader changed": (Code.UNAVAILABLE, "etcdserver: leader changed", True, OutcomeUnknown),
    "disk quota": (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", True, Unavailable),
    "compacted": (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", False, Compacted),
    "future": (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", False, FutureRevision),
    "too large": (Code.INVALID_ARGUMENT, "etcdserver: request is too large", True, StorageError),
}


@pytest.mark.parametrize(("code", "details", "write", "expected"), ERRORS.values(), ids=ERRORS)
def test_classify(code: Code, details: str, write: bool, expected: type[StorageError]) -> None:
    assert type(classify(RpcError(code, details), write=write)) is expected


SAID = {
    "a write that found no room": (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", True),
    "a write that is too large": (Code.INVALID_ARGUMENT, "etcdserver: request is too large", True),
    "a write in an election": (Code.UNAVAILABLE, "etcdserver: leader changed", True),
}


@pytest.mark.parametrize(("code", "details", "write"), SAID.values(), ids=SAID)
def test_what_etcd_says_is_passed_on(code: Code, details: str, write: bool) -> None:
    assert classify(RpcError(code, details), write=write).said == details


def test_a_read_that_may_be_repeated_and_a_broken_connection_say_nothing() -> None:
    assert classify(RpcError(Code.UNAVAILABLE, "etcdserver: no leader"), write=False).said == ""
    assert classify(RpcError(Code.UNAVAILABLE, "Socket closed"), write=True).said == ""


def test_what_never_began_has_not_happened() -> None:
    refused = RpcError(Code.UNAVAILABLE, "failed to connect", processed=False)
    assert type(classify(refused, write=True)) is Unavailable


@pytest.mark.parametrize("endpoint", ["127.0.0.1:2379", "unix:///x", "http://", "http://host:1/path"])
async def test_malformed_endpoints(endpoint: str) -> None:
    with pytest.raises(ValueError, match="an etcd endpoint is"):
        EtcdClient([endpoint], None)


async def test_leases_are_shared_for_a_twentieth_of_their_time() -> None:
    clock = ManualClock()
    granted: list[int] = []

    async def grant(ttl: int) -> int:
        granted.append(ttl)
        return len(granted)

    leases = Leases(grant, clock)
    assert [await leases.lease_for(3600) for _ in range(3)] == [1, 1, 1]
    await clock.advance(59.9)
    assert await leases.lease_for(3600) == 1
    await clock.advance(0.2)
    assert await leases.lease_for(3600) == 2
    assert await leases.lease_for(100) == 3
    assert granted == [3660, 3660, 105]
    assert {await leases.lease_for(1), await leases.lease_for(1)} == {4, 5}


async def test_a_lease_serves_a_thousand_objects() -> None:
    granted: list[int] = []

    async def grant(ttl: int) -> int:
        granted.append(ttl)
        return len(granted)

    leases = Leases(grant, ManualClock())
    assert [await leases.lease_for(3600) for _ in range(1001)] == [1] * 1000 + [2]


async def test_a_probe_is_shared_but_never_joined_late() -> None:
    started: list[asyncio.Future[int]] = []

    async def read() -> int:
        started.append(asyncio.get_running_loop().create_future())
        return await started[-1]

    probe = RevisionProbe(read)
    first = [asyncio.create_task(probe()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asyncio.create_task(probe()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(started) == 1
    started[0].set_result(5)
    assert await asyncio.gather(*first) == [5, 5, 5]
    await asyncio.sleep(0)
    assert len(started) == 2
    assert not any(task.done() for task in late)
    started[1].set_exception(Unavailable("gone"))
    for task in late:
        with pytest.raises(Unavailable):
            await task


async def test_who_stops_waiting_for_a_probe_takes_nobody_along() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read() -> int:
        return await answer

    probe = RevisionProbe(read)
    leaving, staying = asyncio.create_task(probe()), asyncio.create_task(probe())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    answer.set_result(7)
    async with asyncio.timeout(60):
        assert await staying == 7
        assert await probe() == 7
