"""Client certificates: the common name is the user, each organization a group.

TLS has verified the chain by the time a request is read; validity is looked at again, for connections outlive it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from controlplane.apiserver.authn.user import User, authenticated

_Name = tuple[tuple[tuple[str, str], ...], ...]


@lru_cache(maxsize=1024)
def _user(subject: _Name) -> User | None:
    words = [word for relative in subject for word in relative]
    name = next((value for key, value in words if key == "commonName"), "")
    groups = tuple(value for key, value in words if key == "organizationName")
    return authenticated(name, groups) if name else None


@lru_cache(maxsize=1024)
def _seconds(text: str) -> int:
    return ssl.cert_time_to_seconds(text)


def common_name(cert: Mapping[str, Any]) -> str:
    """The subject's common name, or ""."""
    found = _user(cert.get("subject", ()))
    return found.name if found else ""


def issuer_name(cert: Mapping[str, Any]) -> str:
    """The issuer's common name, or ""."""
    found = _user(cert.get("issuer", ()))
    return found.name if found else ""


def is_valid(cert: Mapping[str, Any], now: float) -> bool:
    """Whether the certificate (as ssl's getpeercert gives it) is within its validity. now: seconds since the epoch."""
    return _seconds(cert["notBefore"]) <= now <= _seconds(cert["notAfter"])


def user_of(cert: Mapping[str, Any]) -> User | None:
    """The user a verified certificate names; None without a common name."""
    return _user(cert.get("subject", ()))
