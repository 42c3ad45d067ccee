"""Service account tokens bound to their pod, renewed before they expire (KEP-1205; pkg/kubelet/token)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import SERVICEACCOUNTS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.go_print import quoted
from apimachinery.meta.status import ApiError
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
    expires_at: float


class TokenProblem(Exception):
    """There is no token. The text is upstream's."""


class TokenManager:
    """Tokens by pod, audience and life."""

    def __init__(self, client: Client | None, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._tokens: dict[tuple[str, str, int], _Token] = {}
        self._asking: dict[tuple[str, str, int], asyncio.Task[str]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def look_ahead(self, pod: Pod, source: Mapping[str, Any]) -> None:
        """Ask for a token that `token` will be asked for soon; what goes wrong, that tells."""
        if self._client is not None and _key(pod, source) not in self._tokens:
            self._ask(pod, source)

    async def token(self, pod: Pod, source: Mapping[str, Any]) -> str:
        """The token for a serviceAccountToken source. Raises TokenProblem.

        While it cannot be renewed, the old one is served, as long as it is good.
        """
        kept = self._tokens.get(_key(pod, source))
        if kept is not None and self._clock.monotonic() < kept.renew_at:
            return kept.text
        try:
            return await asyncio.shield(self._ask(pod, source))
        except (ApiAway, ApiError, ApiUnreachable) as error:
            if kept is None:
                raise TokenProblem(f"failed to fetch token: {error}") from error
            if self._clock.monotonic() > kept.expires_at:
                raise TokenProblem(f"token {_describe(pod, source)} expired and refresh failed: {error}") from error
            return kept.text

    def _ask(self, pod: Pod, source: Mapping[str, Any]) -> asyncio.Task[str]:
        """The request for a token that is under way, or a new one."""
        key = _key(pod, source)
        if (asking := self._asking.get(key)) is None:
            asking = self._asking[key] = asyncio.create_task(self._renew(pod, key))
            asking.add_done_callback(lambda task: self._asked(key, task))
        return asking

    def _asked(self, key: tuple[str, str, int], task: asyncio.Task[str]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits for the token raises it; after a look ahead it may be nobody

    async def _renew(self, pod: Pod, key: tuple[str, str, int]) -> str:
        _, audience, seconds = key
        async with self._turns:
            answer = await self._request(pod, audience, seconds)
        expires = times.parse(answer["status"]["expirationTimestamp"])
        life = (expires - self._clock.now()).total_seconds()
        now = self._clock.monotonic()
        renew = now + min(life * _RENEW_FRACTION, _RENEW_AT_MOST)
        self._tokens[key] = _Token(answer["status"]["token"], renew, now + life)
        return self._tokens[key].text

    async def _request(self, pod: Pod, audience: str, seconds: int) -> dict[str, Any]:
        if self._client is None:
            raise ApiAway("cannot use TokenManager when kubelet is in standalone mode")
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": uid(pod)}
        spec: dict[str, Any] = {"expirationSeconds": seconds, "boundObjectRef": reference}
        spec["audiences"] = [audience] if audience else []
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return await self._client.create_subresource(
            SERVICEACCOUNTS, _account(pod), "token", body, pod["metadata"]["namespace"]
        )

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._tokens if key[0] == pod_uid]:
            del self._tokens[key]
        for key in [key for key in self._asking if key[0] == pod_uid]:
            self._asking[key].cancel()


def _account(pod: Pod) -> str:
    return str(pod["spec"].get("serviceAccountName") or "default")


def _describe(pod: Pod, source: Mapping[str, Any]) -> str:
    """A token as Go prints what upstream keeps it by."""
    _, audience, seconds = _key(pod, source)
    audiences = f"[]string{{{quoted(audience)}}}" if audience else "[]string(nil)"
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    bound = f'v1.BoundObjectReference{{Kind:"Pod", APIVersion:"v1", Name:"{name}", UID:"{uid(pod)}"}}'
    return f'"{_account(pod)}"/"{namespace}"/{audiences}/{seconds}/{bound}'


def _key(pod: Pod, source: Mapping[str, Any]) -> tuple[str, str, int]:
    return uid(pod), str(source.get("audience") or ""), int(source.get("expirationSeconds") or 3607)
