"""Bootstrap token Secrets as the controllers read them (k8s.io/cluster-bootstrap/token)."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Mapping
from typing import Any

from apimachinery.meta import objects, times

Object = Mapping[str, Any]

NAMESPACE = "kube-system"
SELECTOR = "type=bootstrap.kubernetes.io/token"
PREFIX = "bootstrap-token-"


def data(secret: Object) -> dict[str, str]:
    """The decoded data; what is no text is left out."""
    decoded = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            decoded[key] = base64.b64decode(value).decode()
        except (binascii.Error, ValueError):
            continue
    return decoded


def expiration(found: Mapping[str, str], now: datetime.datetime) -> datetime.datetime | None:
    """When the token expires; None for never. A time that cannot be read has passed."""
    text = found.get("expiration", "")
    if not text:
        return None
    try:
        return times.parse(text)
    except ValueError:
        return now


def for_signing(secret: Object, now: datetime.datetime) -> tuple[str, str] | None:
    """(ID, secret) of a token that signs cluster-info now, or None."""
    found, name = data(secret), objects.name(secret)
    identity, key = found.get("token-id", ""), found.get("token-secret", "")
    if not identity or not key or name != PREFIX + identity:
        return None
    ends = expiration(found, now)
    if (ends is not None and ends <= now) or found.get("usage-bootstrap-signing") != "true":
        return None
    return identity, key
