"""A webhook that a kubeconfig file names, which says where it is and who we are to it: POSTs, tried again where that
may help (k8s.io/apiserver/pkg/util/webhook)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TypeVar

import aiohttp
from yarl import URL

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError
from apimachinery.meta.times import format_duration
from controlplane.apiserver.admission.webhooks.client import MAX_ANSWER, Endpoint, body_of, words_of

log = logging.getLogger(__name__)

T = TypeVar("T")

_TIMEOUT = 30.0  # seconds: upstream's defaultRequestTimeout
_ATTEMPTS, _PAUSE, _FACTOR, _JITTER = 5, 0.5, 1.5, 0.2  # upstream's DefaultRetryBackoffWithInitialDelay
_TIMED_OUT = 504
_PASSING = (429, 500, _TIMED_OUT)


class RemoteFailed(Exception):
    """The webhook gave no answer; the text says why, as Go's client would. result: what metrics call it; passing: it
    may well be otherwise in a moment."""

    def __init__(self, message: str, result: str = "error", *, passing: bool = False) -> None:
        super().__init__(message)
        self.result, self.passing = result, passing


def _unobserved(result: str, seconds: float) -> None:
    """Nobody counts."""


def if_passing(error: RemoteFailed) -> bool:
    """What is tried again, by default."""
    return error.passing


class Remote:
    """pause: seconds before the second of five attempts; timeout: seconds that an attempt may take; again: after which
    failures there is another; observe: hears of each attempt how it ended (success, error, timeout, canceled) and how
    many seconds it took."""

    def __init__(
        self,
        config: ClientConfig,
        clock: Clock,
        *,
        pause: float = _PAUSE,
        timeout: float = _TIMEOUT,
        again: Callable[[RemoteFailed], bool] = if_passing,
        observe: Callable[[str, float], None] = _unobserved,
    ) -> None:
        self._config, self._clock, self._pause = config, clock, pause
        self._timeout, self._again, self._observe = aiohttp.ClientTimeout(total=timeout), again, observe
        self._asking, self._retired = 0, False
        url = URL(config.server)
        url = url.update_query(timeout=format_duration(timeout))  # as client-go tells a server how long it waits
        self._endpoint = Endpoint(url, str(url), url.host or "", url.port or 0, url.host or "")
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, read: Callable[[bytes], T]) -> T:
        """What `read` makes of a good answer; it may raise RemoteFailed. Raises RemoteFailed after the last attempt."""
        attempts, pause = _ATTEMPTS, self._pause
        self._asking += 1
        try:
            while True:
                try:
                    return await self._attempt(body, read)
                except RemoteFailed as error:
                    attempts -= 1
                    if not attempts or not self._again(error):
                        raise
                    log.debug("%s; trying again", error)
                await self._clock.sleep(pause * (1 + random.random() * _JITTER))
                pause *= _FACTOR
        finally:
            self._asking -= 1
            if self._retired and not self._asking:
                await self.close()

    async def close(self) -> None:
        """End the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def retire(self) -> None:
        """End the connections as soon as those who ask have their answers."""
        self._retired = True
        if not self._asking:
            await self.close()

    async def _attempt(self, body: bytes, read: Callable[[bytes], T]) -> T:
        begun, result = self._clock.monotonic(), "canceled"
        try:
            found = read(await self._answer(body))
            result = "success"
        except RemoteFailed as error:
            result = error.result
            raise
        finally:
            self._observe(result, self._clock.monotonic() - begun)
        return found

    async def _answer(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        try:
            if self._session is None:
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(ssl=self._config.ssl_context() or True),
                    timeout=self._timeout,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            if shows := self._config.authorization():
                headers["Authorization"] = shows
            async with self._session.post(
                self._endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                data = await body_of(answer)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            told = f'Post "{self._endpoint.shown}": {words_of(error, self._endpoint)}'
            reset = isinstance(error, ConnectionResetError | aiohttp.ServerDisconnectedError)
            timeout = isinstance(error, TimeoutError)
            raise RemoteFailed(told, "timeout" if timeout else "error", passing=reset) from None
        if len(data) > MAX_ANSWER:
            raise RemoteFailed(f"the answer has more than {MAX_ANSWER} bytes")
        code = answer.status
        if not 200 <= code <= 206:
            result = "timeout" if code == _TIMED_OUT else "error"
            raise RemoteFailed(ApiError.from_status(code, data).message, result, passing=code in _PASSING)
        return data
