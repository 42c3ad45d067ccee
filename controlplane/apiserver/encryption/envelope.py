"""What a value is stored as when a KMS plug-in guards its key: the EncryptedObject of KMS v2 (KEP-3299;
k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2/v2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import force_setattr

from apimachinery.api.validation.syntax import domain_name
from apimachinery.kit import protowire
from apimachinery.meta.paths import Path, aggregate

KEY, SEED = 0, 1
"""EncryptedDEKSourceType: the source is AES-GCM's key itself (Kubernetes before 1.29), or the seed of many keys."""

_DATA = b"\x0a"  # field 1, of bytes
_KEY_ID_MAX = _SOURCE_MAX = 1024  # bytes
_ANNOTATIONS_MAX = 32 * 1024


class _Refused(ValueError):
    """A message, but none that anybody wrote."""


class Source(Struct, frozen=True):
    """Where a data key comes from: a key or seed, encrypted by the plug-in. annotations: the plug-in's own notes. tail:
    all of that as it is stored, behind the data; different for any two that differ."""

    key_id: str
    encrypted: bytes
    annotations: Mapping[str, bytes]
    kind: int = SEED
    tail: bytes = b""

    def __post_init__(self) -> None:
        kind = protowire.encode_varint(5 << 3) + protowire.encode_varint(self.kind) if self.kind else b""
        texts = protowire.encode_bytes(2, self.key_id.encode()) + protowire.encode_bytes(3, self.encrypted)
        force_setattr(self, "tail", texts + protowire.encode_map(4, self.annotations) + kind)

    def check(self) -> None:
        """Raises ValueError, in upstream's words, for what no plug-in may say."""
        if self.kind not in (KEY, SEED):
            raise _Refused(f"unknown encryptedDEKSourceType: {self.kind}")
        if not self.encrypted:
            raise _Refused("failed to validate encrypted DEK source: encrypted DEK source is empty")
        if (size := len(self.encrypted)) > _SOURCE_MAX:
            words = f"encrypted DEK source is {size} bytes, which exceeds the max size of {_SOURCE_MAX}"
            raise _Refused(f"failed to validate encrypted DEK source: {words}")
        try:
            check_key_id(self.key_id)
        except ValueError as error:
            raise _Refused(f"failed to validate key id: {error}") from None
        wrong = [str(each) for key in sorted(self.annotations) for each in domain_name(key, Path("annotations"))]
        size = sum(len(key.encode()) + len(value) for key, value in self.annotations.items())
        if size > _ANNOTATIONS_MAX:
            wrong.append(f"total size of annotations is {size}, which exceeds the max size of {_ANNOTATIONS_MAX}")
        if wrong:
            raise _Refused(f"failed to validate annotations: {aggregate(wrong)}")

    def seal(self, data: bytes) -> bytes:
        """The EncryptedObject that says how `data` was encrypted."""
        return protowire.encode_bytes(1, data) + self.tail


def check_key_id(key_id: str) -> None:
    """Raises ValueError for an identifier of a key that is empty or too long."""
    if not key_id:
        raise ValueError("keyID is empty")
    if (size := len(key_id.encode())) > _KEY_ID_MAX:
        raise ValueError(f"keyID is {size} bytes, which exceeds the max size of {_KEY_ID_MAX}")


def unseal(stored: bytes) -> tuple[bytes, Source]:
    """The encrypted data of an EncryptedObject, and where its key comes from. Raises ValueError."""
    try:
        # Data first, as everybody writes it, and then what thousands of values have in common.
        size, at = protowire.read_varint(stored, 1) if stored[:1] == _DATA else (0, 0)
        data, source = _known(stored[at + size :]) if 0 < at + size < len(stored) else _parsed(stored)
    except _Refused:
        raise
    except ValueError as error:
        raise ValueError(f"proto: cannot parse invalid wire-format data: {error}") from None
    data = data or stored[at : at + size]
    if not data:
        raise ValueError("encrypted data is empty")
    return data, source


def _parsed(stored: bytes) -> tuple[bytes, Source]:
    data, key_id, encrypted, kind = b"", b"", b"", KEY
    annotations: dict[str, bytes] = {}
    for number, value in protowire.fields(stored):
        if isinstance(value, int):
            kind = value if number == 5 else kind
        elif number == 1:
            data = value
        elif number == 2:
            key_id = value
        elif number == 3:
            encrypted = value
        elif number == 4:
            key, note = protowire.map_entry(value)
            annotations[key] = note
    source = Source(key_id.decode(), encrypted, annotations, kind)
    source.check()
    return data, source


_known = lru_cache(maxsize=1024)(_parsed)


def hashed(key_id: str) -> str:
    """How sentences name a key: not by its identifier, which may be a secret."""
    return f"sha256:{sha256(key_id.encode()).hexdigest()}" if key_id else ""
