"""The short hashes in the names of chains: the first characters of a SHA-256 in base32, as upstream has them."""

from __future__ import annotations

import hashlib

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def short_hash(text: str, characters: int) -> str:
    """characters: a multiple of 8. Several names go into every rule: this takes a fifth of base64's time."""
    bits = characters * 5
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[: bits // 8], "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(bits - 10, -1, -10)])
