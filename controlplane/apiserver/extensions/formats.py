"""The formats of strings that a schema may ask for (kube-openapi's strfmt, as far as the API server knows them)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date

from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library import times, url
from controlplane.apiserver.cel.library.formats import is_uuid

_HOSTNAME = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_HEX_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")
_UUID_OF = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?([345])[0-9a-f]{3}-?[89ab0-7][0-9a-f]{3}-?[0-9a-f]{12}")


def _accepts(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except (ValueError, CelError, binascii.Error):
            return False
        return True

    return check


def _uuid(version: str) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        match = _UUID_OF.fullmatch(text)
        return match is not None and match[1] == version

    return check


def _base64(text: str) -> None:
    base64.b64decode(text, validate=True)


def _date_time(text: str) -> None:
    times.timestamp_of(text.upper().replace(" ", "T", 1) if text[10:11] in ("t", " ") else text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _accepts(_date_time),
    "datetime": _accepts(_date_time),
    "date": _accepts(date.fromisoformat),
    "duration": _accepts(times.duration),
    "byte": _accepts(_base64),
    "ipv4": _accepts(ipaddress.IPv4Address),
    "ipv6": _accepts(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _accepts(ipaddress.ip_interface)(text),
    "uri": _accepts(url.parse),
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "uuid": is_uuid,
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "hexcolor": lambda text: _HEX_COLOR.fullmatch(text) is not None,
}
