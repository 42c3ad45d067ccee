"""Service account tokens bound to their pod, renewed before they expire (KEP-1205; pkg/kubelet/token)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import SERVICEACCOUNTS
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from nodeagent.kubelet.objects import ApiAway
from nodeagent.kubelet.pods import Pod, uid

# Renewed at 80 % of its life, and after a day at the latest.
_RENEW_FRACTION = 0.8
_RENEW_AT_MOST = 24 * 3600.0
# Requests under way at a time: each more is a connection with a handshake of its own.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class TokenManager:
    """Tokens by pod, audience and life."""

    def __init__(self, client: Client | None, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._tokens: dict[tuple[str, str, int], _Token] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def token(self, pod: Pod, source: Mapping[str, Any]) -> str:
        """The token for a serviceAccountToken source. Raises ApiAway, ApiUnreachable or ApiError.

        While it cannot be renewed, the old one is served: it may still be good.
        """
        audience, seconds = str(source.get("audience") or ""), int(source.get("expirationSeconds") or 3607)
        key = (uid(pod), audience, seconds)
        kept = self._tokens.get(key)
        if kept is not None and self._clock.monotonic() < kept.renew_at:
            return kept.text
        if self._client is None:
            raise ApiAway("service account tokens need an API server")
        try:
            async with self._turns:
                answer = await self._request(pod, audience, seconds)
        except Exception:
            if kept is not None:
                return kept.text
            raise
        expires = times.parse(answer["status"]["expirationTimestamp"])
        life = (expires - self._clock.now()).total_seconds()
        renew = self._clock.monotonic() + min(life * _RENEW_FRACTION, _RENEW_AT_MOST)
        self._tokens[key] = _Token(answer["status"]["token"], renew)
        return self._tokens[key].text

    async def _request(self, pod: Pod, audience: str, seconds: int) -> dict[str, Any]:
        assert self._client is not None
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": uid(pod)}
        spec: dict[str, Any] = {"expirationSeconds": seconds, "boundObjectRef": reference}
        spec["audiences"] = [audience] if audience else []
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = pod["spec"].get("serviceAccountName") or "default"
        return await self._client.create_subresource(
            SERVICEACCOUNTS, account, "token", body, pod["metadata"]["namespace"]
        )

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._tokens if key[0] == pod_uid]:
            del self._tokens[key]
