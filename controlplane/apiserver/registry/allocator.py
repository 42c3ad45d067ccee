"""Addresses and ports that only one Service may have: each taken one is a key of its own in the store.

Creating the key is the claim, so that two servers cannot give out the same one. Keys of addresses are those of
upstream's IPAddress objects (KEP-1880); what a crash leaves behind is found by `repair`.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable

import orjson

from controlplane.apiserver.storage.interface import KeyExists, KeyMissing, RevisionMismatch, Storage

_RANDOM_ATTEMPTS = 64


class Exhausted(Exception):
    """Nothing is left in the range."""


class Taken(Exception):
    """Somebody else has it."""


class Pool:
    """Numbers of a range. `band`: how many at its start are given out only when asked for by number, or when the rest
    is used up (KEP-3070, KEP-3668)."""

    def __init__(self, storage: Storage, prefix: str, first: int, size: int, band: int) -> None:
        self._storage, self._prefix = storage, prefix
        self.first, self.size, self.band = first, size, band

    def __contains__(self, number: int) -> bool:
        return self.first <= number < self.first + self.size

    def spell(self, number: int) -> str:
        """The number as the key ends with it."""
        return str(number)

    def parse(self, text: str) -> int:
        """The number that a key ends with."""
        return int(text)

    async def claim(self, number: int, owner: str) -> None:
        """Take this one. Raises Taken."""
        document = orjson.dumps({"apiVersion": "v1", "kind": "Allocation", "metadata": {"name": owner}})
        try:
            await self._storage.create(self._prefix + self.spell(number), document)
        except KeyExists:
            raise Taken(self.spell(number)) from None

    async def claim_any(self, owner: str) -> int:
        """Take a free one, at random from the dynamic band. Raises Exhausted."""
        for low, high in ((self.band, self.size), (0, self.band)):
            for _ in range(min(_RANDOM_ATTEMPTS, high - low)):
                number = self.first + random.randrange(low, high)
                try:
                    await self.claim(number, owner)
                    return number
                except Taken:
                    continue
        used = await self._used()
        for number in range(self.first + self.size - 1, self.first - 1, -1):
            if number not in used:
                try:
                    await self.claim(number, owner)
                    return number
                except Taken:
                    continue
        raise Exhausted

    async def release(self, number: int) -> None:
        """Give it back; no error when nobody had it."""
        key = self._prefix + self.spell(number)
        stored = await self._storage.get(key)
        if stored is not None:
            try:
                await self._storage.delete(key, stored.mod_revision)
            except (KeyMissing, RevisionMismatch):
                pass

    async def repair(self, wanted: Iterable[int], suspects: set[int]) -> set[int]:
        """Claim what is in use and not claimed; release what has been a suspect since the last round (claimed, not in
        use: perhaps of a Service that is just being written). The new suspects."""
        in_use = {number for number in wanted if number in self}
        claimed = await self._used()
        for number in in_use - claimed:
            try:
                await self.claim(number, "repaired")
            except Taken:
                pass
        leaked = claimed - in_use
        for number in leaked & suspects:
            await self.release(number)
        return leaked - suspects

    async def _used(self) -> set[int]:
        page = await self._storage.list(self._prefix)
        return {self.parse(item.key[len(self._prefix) :]) for item in page.items}


class AddressPool(Pool):
    """The service addresses of one family; network and broadcast address are never given out, nor is `kubernetes`'
    (the first). The keys of both families are in one place."""

    def __init__(self, storage: Storage, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self.network = network
        self._address, self.family = type(network.network_address), f"IPv{network.version}"
        size = max(1, network.num_addresses - (2 if network.version == 4 else 1))
        band = min(max(16, size // 16), 256) if size > 16 else 0
        super().__init__(storage, "/registry/ipaddresses/", int(network.network_address) + 1, size, band)

    def spell(self, number: int) -> str:
        return str(self._address(number))

    def parse(self, text: str) -> int:
        """Raises ValueError for what is no address of this family."""
        return int(self._address(text))

    async def _used(self) -> set[int]:
        page = await self._storage.list(self._prefix)
        found = (item.key[len(self._prefix) :] for item in page.items)
        return {self.parse(text) for text in found if (":" in text) == (self.family == "IPv6")}


class PortPool(Pool):
    """The node ports."""

    def __init__(self, storage: Storage, low: int, high: int) -> None:
        size = high - low + 1
        band = min(max(16, size // 32), 128) if size > 16 else 0
        super().__init__(storage, "/registry/ranges/servicenodeports/", low, size, band)
