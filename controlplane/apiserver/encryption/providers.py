"""The providers of an EncryptionConfiguration: stored bytes to plain ones and back, in upstream's formats
(k8s.io/apiserver/pkg/storage/value/encrypt)."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from controlplane.apiserver.encryption import transformations
from controlplane.apiserver.encryption.transformations import READING, WRITING, Transformations
from controlplane.apiserver.storage.interface import Unreadable, Unwritable
from controlplane.apiserver.storage.served import ENCRYPTED

_BLOCK, _GCM_NONCE = 16, 12  # bytes
_SHORT = "the stored data was shorter than the required size"


class Undecipherable(Unreadable):
    """No provider reads what is stored under a key."""


class Locked(Exception):
    """The key is not known yet. unlock: learns it; raises ValueError. told: as Provider.told, of whose key it is."""

    told: tuple[str, ...] = ()

    def __init__(self, unlock: Callable[[], Awaitable[None]]) -> None:
        super().__init__("the key is not known yet")
        self.unlock = unlock


class _Cipher(Protocol):
    """One key of one provider. context: the key under which the value is stored."""

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """Raises ValueError while nothing may be written."""
        ...

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        """The plain value, and whether this provider would store it otherwise now. Raises ValueError, Locked."""
        ...


class SecretBox:
    """XSalsa20 and Poly1305 (NaCl's secretbox), the nonce in front."""

    def __init__(self, key: bytes) -> None:
        from nacl import bindings  # libsodium: only for who asks for it

        self._key, self._nacl = key, bindings

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(self._nacl.crypto_secretbox_NONCEBYTES)
        return nonce + self._nacl.crypto_secretbox(plain, nonce, self._key)

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        from nacl.exceptions import CryptoError

        size = self._nacl.crypto_secretbox_NONCEBYTES
        if len(stored) < size + self._nacl.crypto_secretbox_MACBYTES:
            raise ValueError(_SHORT)
        try:
            return self._nacl.crypto_secretbox_open(stored[size:], stored[:size], self._key), False
        except CryptoError:
            raise ValueError("output array was not large enough for encryption") from None  # so upstream says it


class AesGcm:
    """AES in Galois/Counter mode, bound to the key it is stored under, the nonce in front."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_GCM_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(stored) < _GCM_NONCE:
            raise ValueError(_SHORT)
        try:
            return self._cipher.decrypt(stored[:_GCM_NONCE], stored[_GCM_NONCE:], context), False
        except InvalidTag:
            raise ValueError("cipher: message authentication failed") from None


class AesCbc:
    """AES in cipher block chaining with PKCS #7 padding, the initialization vector in front. It is not authenticated:
    upstream keeps it for what was stored long ago."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES(key)

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        vector, padder = os.urandom(_BLOCK), padding.PKCS7(8 * _BLOCK).padder()
        encryptor = Cipher(self._algorithm, modes.CBC(vector)).encryptor()
        return vector + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()

    def decrypt(self, stored: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(stored) < _BLOCK:
            raise ValueError(_SHORT)
        if len(stored) % _BLOCK:
            raise ValueError("the stored data is not a multiple of the block size")
        decryptor = Cipher(self._algorithm, modes.CBC(stored[:_BLOCK])).decryptor()
        padded = decryptor.update(stored[_BLOCK:]) + decryptor.finalize()
        return _unpadded(padded), False


def _unpadded(padded: bytes) -> bytes:
    """Without the padding of PKCS #7, which shows another key most of the time. Raises ValueError."""
    length = padded[-1] if padded else 0
    if not 0 < length <= len(padded):
        raise ValueError("invalid PKCS7 data (empty or not padded)")
    if padded[-length:] != bytes((length,)) * length:
        raise ValueError("invalid padding on input")
    return padded[:-length]


CIPHERS: dict[str, type[SecretBox] | type[AesGcm] | type[AesCbc]] = {
    "secretbox": SecretBox,
    "aesgcm": AesGcm,
    "aescbc": AesCbc,
}


class Provider(Struct, frozen=True):
    """One key of a provider, or identity (an empty prefix). prefix: what its values begin with; key: the last part of
    it, when it names the key."""

    prefix: bytes
    cipher: _Cipher | None = None
    key: bytes = b""

    @property
    def told(self) -> tuple[str, ...]:
        """The prefixes that metrics name."""
        whole = self.prefix.removesuffix(self.key).decode()
        return (self.key.decode(), whole) if self.key else (whole,)

    @classmethod
    def of(cls, kind: str, name: str, key: bytes) -> Provider:
        """kind: one of CIPHERS."""
        part = name.encode() + b":"
        return cls(b"%bv1:%b" % (ENCRYPTED + kind.encode() + b":", part), CIPHERS[kind](key), part)


IDENTITY = Provider(b"")


class Providers:
    """All that may read a resource, in order; the first one writes. resource: how metrics name it."""

    def __init__(self, providers: Sequence[Provider], resource: str = "") -> None:
        self._providers = tuple((each, each.told) for each in providers)
        self._metrics = Transformations(resource)

    def write(self, plain: bytes, key: str) -> bytes:
        """What to store. Raises Unwritable."""
        (first, told), began = self._providers[0], time.perf_counter()
        try:
            stored = plain if first.cipher is None else first.prefix + first.cipher.encrypt(plain, key.encode())
        except ValueError as error:
            self._metrics.failed(WRITING, told, error)
            raise Unwritable(str(error)) from None
        self._metrics.done(WRITING, told, time.perf_counter() - began)
        return stored

    async def opened(self, stored: bytes, key: str) -> tuple[bytes, bool]:
        """As `read`, of a value whose key may have to be learned first."""
        began = time.perf_counter()
        while True:
            try:
                return self.read(stored, key, began)
            except Locked as locked:
                try:
                    await locked.unlock()
                except ValueError as error:
                    self._metrics.failed(READING, locked.told, error)
                    raise _undecipherable(key, error) from None

    def read(self, stored: bytes, key: str, began: float | None = None) -> tuple[bytes, bool]:
        """The plain value, and whether it would be stored otherwise now. began: when somebody first wanted it, by
        perf_counter. Raises Undecipherable, Locked."""
        began = time.perf_counter() if began is None else began
        wrong: list[str] = []
        for position, (provider, told) in enumerate(self._providers):
            if provider.cipher is None:
                if not stored.startswith(ENCRYPTED):
                    self._metrics.done(READING, (transformations.IDENTITY,), time.perf_counter() - began)
                    return stored, position > 0
            elif stored.startswith(provider.prefix):
                try:
                    plain, stale = provider.cipher.decrypt(stored[len(provider.prefix) :], key.encode())
                except Locked as locked:
                    locked.told = told
                    raise
                except ValueError as error:
                    self._metrics.failed(READING, told, error)
                    if str(error) not in wrong:
                        wrong.append(str(error))
                else:
                    self._metrics.done(READING, told, time.perf_counter() - began)
                    return plain, stale or position > 0
        if len(wrong) > 1:
            raise _undecipherable(key, f"[{', '.join(wrong)}]")
        if not wrong:
            self._metrics.failed(READING, (transformations.UNKNOWN,))
        raise _undecipherable(key, wrong[0] if wrong else "no matching prefix found")


def _undecipherable(key: str, why: object) -> Undecipherable:
    return Undecipherable(f'unable to transform key "{key}": {why}', str(why))
