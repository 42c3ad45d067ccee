"""A `kms` provider of apiVersion v2 (KEP-3299): values are encrypted here, with keys derived from a seed that a plug-in
has encrypted; the plug-in is asked when a seed is made or first read, not for every value.

Upstream: k8s.io/apiserver/pkg/server/options/encryptionconfig (kmsv2PluginProbe) and .../envelope/kmsv2.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
from datetime import datetime, timedelta
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from apimachinery.kit.clock import Clock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta import times
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.encryption.envelope import SEED, Source, check_key_id, hashed, unseal
from controlplane.apiserver.encryption.kms_service import KmsError, KmsService, Status
from controlplane.apiserver.encryption.metrics import Metrics
from controlplane.apiserver.encryption.providers import AesGcm, Locked
from controlplane.apiserver.encryption.transformations import PluginFailed, generated, missed
from controlplane.apiserver.storage.served import ENCRYPTED

log = logging.getLogger(__name__)

# Seconds, all of them upstream's. Polls of the plug-in while it is well and while it is not:
_POLL, _POLL_UNWELL = 60.0, 10.0
# for which an answer about its health holds,
_WELL, _UNWELL = 20.0, 3.0
# for which a seed is still written with after the plug-in was last well,
_WRITES = timedelta(minutes=3)
# and for which a seed that is not used is remembered.
_REMEMBERED = 24 * 3600.0
_SEED_SIZE = _INFO_SIZE = 32  # bytes
_VERSIONS = ("v2", "v2beta1")


class ExtendedNonceGcm:
    """AES-GCM with a key of its own for every value, so that nonces never collide: HKDF-Expand(seed, info) with SHA-256
    and 32 random bytes of info, which are stored in front (aes_extended_nonce.go)."""

    def __init__(self, seed: bytes) -> None:
        """Raises ValueError for a seed that is too short."""
        if len(seed) < _SEED_SIZE:
            raise ValueError(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        info = os.urandom(_INFO_SIZE)
        return info + self._derived(info).encrypt(plain, context)

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        """Raises ValueError."""
        if len(stored) < _INFO_SIZE:
            raise ValueError("the stored data was shorter than the required size")
        return self._derived(stored[:_INFO_SIZE]).decrypt(stored[_INFO_SIZE:], context)

    def _derived(self, info: bytes) -> AesGcm:
        # The first block of HKDF-Expand (RFC 5869 section 2.3) is all of a key of 32 bytes.
        return AesGcm(hmac.digest(self._seed, info + b"\x01", "sha256"))


class _State(Struct, frozen=True):
    """What is written with, until when."""

    cipher: ExtendedNonceGcm
    source: Source
    expires: datetime


class Kms:
    """The cipher of one provider, and the health of its plug-in. It reads and writes once `start` has returned, if the
    plug-in was well; otherwise as soon as it is. name: the provider's; timeout: seconds of one call."""

    def __init__(self, name: str, endpoint: str, timeout: float, clock: Clock) -> None:
        self.name, self.timeout = name, timeout
        self.prefix = b"%bkms:v2:%b:" % (ENCRYPTED, name.encode())
        self._clock, self._metrics = clock, Metrics(name, clock)
        self._service = KmsService(endpoint, timeout, self._metrics.called)
        self._state: _State | None = None
        self._version = ""
        self._seeds: dict[bytes, tuple[float, ExtendedNonceGcm | AesGcm]] = {}
        self._unlocking: dict[bytes, asyncio.Task[None]] = {}
        self._checking = asyncio.Lock()
        self._checked = float("-inf"), ""  # until when it holds, and what was wrong
        self._probing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask the plug-in once, and from now on again and again."""
        well = await self._probe()
        self._probing = asyncio.create_task(self._poll(well))

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = [*self._unlocking.values(), *([self._probing] if self._probing else [])]
        await cancel_and_wait(*tasks)
        await self._service.close()

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """Raises ValueError while nothing may be written."""
        state, now = self._current(), self._clock.now()
        if now > state.expires:
            raise ValueError(
                f'encryptedDEKSource with keyID hash "{hashed(state.source.key_id)}" expired at '
                f"{times.rfc3339(state.expires)} (current time is {times.rfc3339(now)})"
            )
        self._remember(state.source.tail, state.cipher)
        self._metrics.used("to_storage", state.source.key_id)
        return state.source.seal(state.cipher.encrypt(plain, context))

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        """As every cipher; whether it would be written otherwise: with another key of the plug-in's. Raises Locked when
        the plug-in has to be asked first."""
        data, source = unseal(stored)
        state = self._current()
        known = self._seeds.get(source.tail)
        if known is None:
            missed()
            raise Locked(lambda: self._unlock(source))
        self._metrics.used("from_storage", source.key_id)
        plain, stale = known[1].decrypt(data, context)
        return plain, stale or (source.key_id, source.kind) != (state.source.key_id, state.source.kind)

    async def check(self) -> None:
        """Raises ValueError when the plug-in is not well, by an answer of the last seconds. A new key of the plug-in's
        is taken up on the way."""
        async with self._checking:
            until, wrong = self._checked
            if self._clock.monotonic() < until:
                if wrong:
                    raise ValueError(wrong)
                return
            try:
                await self._look(await self._service.status())
            except (KmsError, ValueError) as error:
                self._checked = self._clock.monotonic() + _UNWELL, str(error)
                if isinstance(error, ValueError):
                    raise
                sentence = f"failed to perform status section of the healthz check for KMS Provider {self.name}"
                raise ValueError(f"{sentence}, error: {error}") from None
            self._checked = self._clock.monotonic() + _WELL, ""

    async def _probe(self) -> bool:
        try:
            await self.check()
        except ValueError as error:
            log.warning("kms plugin %s failed health check probe: %s", self.name, error)
            return False
        return True

    async def _poll(self, well: bool) -> None:
        while True:
            await self._clock.sleep(_POLL if well else _POLL_UNWELL)
            well = await self._probe()

    async def _look(self, status: Status) -> None:
        wrong: list[str] = []
        if status.healthz != "ok":
            wrong.append(f"got unexpected healthz status: {status.healthz}")
        if status.version not in _VERSIONS:
            wrong.append(f"expected KMSv2 API version {_VERSIONS[0]}, got {status.version}")
        else:
            self._version = self._version or status.version
            if self._version != status.version:
                wrong.append(
                    "KMSv2 API version should not change after the initial status response version "
                    f"{self._version}, got {status.version}"
                )
        try:
            check_key_id(status.key_id)
        except ValueError as error:
            self._metrics.invalid(status.key_id)
            wrong.append(f'got invalid KMSv2 KeyID hash "{hashed(status.key_id)}": {error}')
        else:
            self._metrics.told(status.key_id)
            try:
                await self._follow(status.key_id)
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError(f"kmsv2 Provider {self.name} is not healthy, error: {aggregate(wrong)}")

    async def _follow(self, key_id: str) -> None:
        """Write with that key of the plug-in's from now on: with a new seed, if it is another one."""
        expires = self._clock.now() + _WRITES  # before the plug-in is asked
        if self._state is not None and self._state.source.key_id == key_id:
            self._state = replace(self._state, expires=expires)
            return
        began = time.perf_counter()
        uid, seed, made = str(uuid4()), os.urandom(_SEED_SIZE), ""
        generated(time.perf_counter() - began)
        try:
            source = await self._service.encrypt(uid, seed)
            made = source.key_id
            source.check()
        except KmsError as error:
            why = f"failed to encrypt DEK, error: {error}"
        except ValueError as error:
            why, made = str(error), ""
        else:
            if source.key_id == key_id:
                self._state = _State(ExtendedNonceGcm(seed), source, expires)
                log.debug("the seed of KMS provider %s is new, uid %s", self.name, uid)
                return
            why = "<nil>"
        state = self._state
        error_of_state = "got unexpected nil transformer" if state is None else "<nil>"
        raise ValueError(
            f'failed to rotate DEK uid="{uid}", useSeed=true, errState={error_of_state}, errGen={why}, '
            f'statusKeyIDHash="{hashed(key_id)}", encryptKeyIDHash="{hashed(made)}", '
            f'stateKeyIDHash="{hashed(state.source.key_id if state else "")}", '
            f"expirationTimestamp={times.rfc3339(state.expires) if state else '0001-01-01T00:00:00Z'}"
        )

    def _current(self) -> _State:
        if self._state is None:
            raise ValueError("got unexpected nil transformer")
        return self._state

    async def _unlock(self, source: Source) -> None:
        """Remember what the plug-in decrypts. Who wants the same waits for the same call. Raises ValueError."""
        tail = source.tail
        task = self._unlocking.get(tail)
        if task is None:
            task = self._unlocking[tail] = asyncio.create_task(self._decrypt(source))
            task.add_done_callback(lambda _: self._unlocking.pop(tail, None))
        await asyncio.shield(task)

    async def _decrypt(self, source: Source) -> None:
        try:
            plain = await self._service.decrypt(str(uuid4()), source)
        except KmsError as error:
            raise PluginFailed(f"failed to decrypt DEK, error: {error}", error.status) from None
        self._remember(source.tail, ExtendedNonceGcm(plain) if source.kind == SEED else AesGcm(plain))

    def _remember(self, tail: bytes, cipher: ExtendedNonceGcm | AesGcm) -> None:
        now, known = self._clock.monotonic(), tail in self._seeds
        if not known:
            self._seeds = {key: each for key, each in self._seeds.items() if each[0] > now}
        self._seeds[tail] = now + _REMEMBERED, cipher
        if not known:
            self._metrics.seeds(len(self._seeds))
