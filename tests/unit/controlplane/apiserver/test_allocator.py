"""Service addresses and node ports, on the real embedded store."""

import asyncio
import ipaddress

import pytest

from controlplane.apiserver.registry.allocator import AddressPool, Exhausted, PortPool, Taken
from controlplane.apiserver.storage.sqlite import SqliteStorage


@pytest.fixture
async def storage(tmp_path):
    store = await SqliteStorage.open(tmp_path / "store.db")
    yield store
    await store.close()


async def test_what_is_asked_for_is_given_once(storage):
    pool = AddressPool(storage, ipaddress.IPv4Network("10.96.0.0/24"))
    number = int(ipaddress.IPv4Address("10.96.0.10"))
    await pool.claim(number, "dns")
    with pytest.raises(Taken):
        await pool.claim(number, "other")
    await pool.release(number)
    await pool.claim(number, "other")


async def test_two_servers_never_give_out_the_same(storage):
    pools = [PortPool(storage, 30000, 30199) for _ in range(2)]
    given = await asyncio.gather(*(pools[turn % 2].claim_any("x") for turn in range(200)))
    assert sorted(given) == list(range(30000, 30200))
    with pytest.raises(Exhausted):
        await pools[0].claim_any("one too many")


async def test_the_low_band_is_kept_for_those_who_ask(storage):
    pool = AddressPool(storage, ipaddress.IPv4Network("10.96.0.0/16"))
    low = int(ipaddress.IPv4Address("10.96.0.0")) + pool.band
    for _ in range(50):
        assert await pool.claim_any("x") > low


async def test_repair_takes_back_what_nobody_uses(storage):
    pool = PortPool(storage, 30000, 30099)
    await pool.claim(30001, "leaked")
    suspects = await pool.repair([30002], set())
    assert suspects == {30001}
    with pytest.raises(Taken):
        await pool.claim(30001, "x")
    assert await pool.repair([30002], suspects) == set()
    await pool.claim(30001, "x")
    with pytest.raises(Taken):
        await pool.claim(30002, "in use, so repaired")


async def test_both_families_are_claimed_in_one_place(storage):
    four = AddressPool(storage, ipaddress.IPv4Network("10.96.0.0/24"))
    six = AddressPool(storage, ipaddress.IPv6Network("fd00:96::/112"))
    number = await six.claim_any("web")
    assert ipaddress.IPv6Address(six.spell(number)) in ipaddress.IPv6Network("fd00:96::/112")
    assert await four.repair([], set()) == set()  # the other family's is none of its business
    assert await six.repair([], set()) == {number}
    await six.repair([], {number})
    await six.claim(number, "other")
