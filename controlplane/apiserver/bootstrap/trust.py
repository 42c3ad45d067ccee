"""The ConfigMap kube-system/extension-apiserver-authentication: by whose certificates and headers servers behind this
one know its clients and itself (pkg/controlplane/controller/clusterauthenticationtrust).

Several servers write it, each adding what it believes itself; only a certificate that has expired leaves it again.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from apimachinery.api.catalogue import CONFIGMAPS
from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.registry import metadata
from controlplane.apiserver.registry.registry import Registry

log = logging.getLogger(__name__)

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
CLIENTS, PROXIES = "client-ca-file", "requestheader-client-ca-file"
_LISTS = (
    "requestheader-allowed-names",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-username-headers",
)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SLACK = timedelta(minutes=5)


async def ensure_trust(registry: Registry, clock: Clock, own: Mapping[str, str]) -> None:
    """Add what this server believes. own: the data as it would be without others. Raises ApiError."""
    store, now = registry.of(CONFIGMAPS).store, clock.now()
    have = await store.find(NAMESPACE, NAME)
    held = (have or {}).get("data") or {}
    try:
        data = combined(held, own, now)
    except (ValueError, ssl.SSLError) as error:
        log.error("configmap %s/%s cannot be read: %s", NAMESPACE, NAME, error)
        return
    try:
        if have is not None:
            await store.replace({**{key: have[key] for key in have if key != "data"}, "data": data}, have)
            return
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE}}
        metadata.fill_created(store.resource, made, now)
        await store.create({**made, "data": data})
    except status.ApiError as error:
        # Another API server of the cluster was quicker.
        if not (status.is_already_exists(error) or status.is_conflict(error) or status.is_not_found(error)):
            raise


def combined(held: Mapping[str, str], own: Mapping[str, str], now: datetime) -> dict[str, str]:
    """What is held and what is this server's own, each once. Raises ValueError, ssl.SSLError."""
    data = {}
    if clients := _certificates([held.get(CLIENTS, ""), own.get(CLIENTS, "")], now):
        data[CLIENTS] = clients
    if proxies := _certificates([held.get(PROXIES, ""), own.get(PROXIES, "")], now):
        for key in _LISTS:
            words = [word for text in (held.get(key), own.get(key)) if text for word in _words(key, text)]
            data[key] = orjson.dumps(list(dict.fromkeys(words))).decode()
        data[PROXIES] = proxies
    return data


def _words(key: str, text: str) -> list[str]:
    words = orjson.loads(text)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{key} is no list of texts")
    return words


def _certificates(texts: Sequence[str], now: datetime) -> str:
    found: dict[bytes, None] = {}
    for text in filter(None, texts):
        blocks = _PEM.findall(text)
        if not blocks:
            raise ValueError("data does not contain any valid RSA or ECDSA certificates")
        found.update(dict.fromkeys(map(ssl.PEM_cert_to_DER_cert, blocks)))
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in found if _holds(each, now))


def _holds(certificate: bytes, now: datetime) -> bool:
    # ssl reads it, which is loaded anyway, but tells of authorities only.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=certificate)
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    return all(end > (now - _SLACK).timestamp() for end in ends)
