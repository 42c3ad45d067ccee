"""From when to when a certificate holds, read from its DER (RFC 5280, 4.1): the library for it takes long to import."""

from __future__ import annotations

import base64
import datetime
import re
from dataclasses import dataclass

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


@dataclass(frozen=True, slots=True)
class Validity:
    """begins, ends: in UTC."""

    begins: datetime.datetime
    ends: datetime.datetime

    def holds(self, now: datetime.datetime) -> bool:
        """Whether the certificate has not ended."""
        return now < self.ends

    def deadline(self, share: float) -> datetime.datetime:
        """When `share` of its life is over; upstream renews between 0.7 and 0.9."""
        return self.begins + (self.ends - self.begins) * share


def validity(pem: bytes) -> Validity:
    """Of the first certificate in `pem`. Raises ValueError when there is none."""
    match = _PEM.search(pem)
    if match is None:
        raise ValueError("no certificate in PEM")
    try:
        tag, body, _ = _element(base64.b64decode(match[1]), 0)
        tag, body, _ = _element(body, 0)
        at = 0
        if body[0] == _VERSION:
            _, _, at = _element(body, at)
        for _ in range(3):  # serial number, algorithm, issuer
            _, _, at = _element(body, at)
        tag, times, _ = _element(body, at)
        if tag != _SEQUENCE:
            raise ValueError("not a certificate")
        kind, begins, at = _element(times, 0)
        other, ends, _ = _element(times, at)
        return Validity(_time(kind, begins), _time(other, ends))
    except IndexError:
        raise ValueError("not a certificate") from None


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """(tag, content, where the next one begins)."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if at + length > len(data):
        raise IndexError
    return tag, data[at : at + length], at + length


def _time(tag: int, content: bytes) -> datetime.datetime:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
