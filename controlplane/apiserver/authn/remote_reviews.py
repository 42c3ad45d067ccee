"""Reviews that a webhook answers, TokenReview, SubjectAccessReview and ImageReview: a kubeconfig file says where it is
and who we are to it (k8s.io/apiserver/pkg/util/webhook)."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from apimachinery.meta.status import ApiError
from apimachinery.meta.times import format_duration
from controlplane.apiserver.admission.webhooks.client import MAX_ANSWER, Endpoint, body_of, words_of

log = logging.getLogger(__name__)

Object = dict[str, Any]

_TIMEOUT = 30.0  # seconds: upstream's defaultRequestTimeout
_ATTEMPTS, _PAUSE, _FACTOR, _JITTER = 5, 0.5, 1.5, 0.2  # upstream's DefaultRetryBackoffWithInitialDelay
_ANSWERS = 8192  # that are remembered


class ReviewFailed(Exception):
    """The webhook gave no answer; the text says why, as Go's client would. result: what metrics call it."""

    def __init__(self, message: str, result: str = "error") -> None:
        super().__init__(message)
        self.result = result


class _Again(ReviewFailed):
    """Of what may well be otherwise in a moment."""


def _unobserved(result: str, seconds: float) -> None:
    """Nobody counts."""


class RemoteReviews:
    """Asks for reviews of one kind, and remembers what it was told. pause: seconds before the second attempt;
    answers: that are remembered; timeout: seconds that an attempt may take; observe: hears of each attempt how it
    ended (success, error, timeout, canceled) and how many seconds it took."""

    def __init__(
        self,
        config: ClientConfig,
        api_version: str,
        kind: str,
        clock: Clock,
        *,
        pause: float = _PAUSE,
        answers: int = _ANSWERS,
        timeout: float = _TIMEOUT,
        observe: Callable[[str, float], None] = _unobserved,
    ) -> None:
        self._config, self._clock, self._pause, self._most = config, clock, pause, answers
        self._timeout, self._observe = aiohttp.ClientTimeout(total=timeout), observe
        self._asking, self._retired = 0, False
        self._head = {"kind": kind, "apiVersion": api_version, "metadata": {"creationTimestamp": None}}
        url = URL(config.server)
        url = url.update_query(timeout=format_duration(timeout))  # as client-go tells a server how long it waits
        port = url.port or 0
        self._endpoint = Endpoint(url, str(url), url.host or "", port, url.host or "")
        self._session: aiohttp.ClientSession | None = None
        self._answers: OrderedDict[bytes, tuple[float, Object]] = OrderedDict()

    def remembered(self, key: bytes) -> Object | None:
        """The status that was kept under that key, unless it is too old."""
        found = self._answers.get(key)
        if found is None or found[0] <= self._clock.monotonic():
            return None
        self._answers.move_to_end(key)
        return found[1]

    def remember(self, key: bytes, answer: Object, seconds: float) -> None:
        """Keep a status for so long."""
        self._answers[key] = self._clock.monotonic() + seconds, answer
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    async def ask(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Object:
        """The status that the webhook gives a review with this spec. status: what a review without an answer says.
        Raises ReviewFailed, after a few attempts where another may help."""
        body, pause = orjson.dumps({**self._head, "spec": spec, "status": status}), self._pause
        attempts = _ATTEMPTS
        self._asking += 1
        try:
            while True:
                try:
                    return await self._attempt(body)
                except _Again as error:
                    attempts -= 1
                    if not attempts:
                        raise ReviewFailed(str(error), error.result) from None
                    log.debug("%s; asking again", error)
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

    async def _attempt(self, body: bytes) -> Object:
        begun, result = self._clock.monotonic(), "canceled"
        try:
            found = self._read(*await self._post(body))
            result = "success"
        except ReviewFailed as error:
            result = error.result
            raise
        finally:
            self._observe(result, self._clock.monotonic() - begun)
        return found

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._config.ssl_context() or True),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers = {"Content-Type": "application/json", "Accept": "application/json, */*"}
        if token := self._config.bearer():
            headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.post(
                self._endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                data = await body_of(answer)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            told = f'Post "{self._endpoint.shown}": {words_of(error, self._endpoint)}'
            if isinstance(error, ConnectionResetError | aiohttp.ServerDisconnectedError):
                raise _Again(told) from None
            raise ReviewFailed(told, "timeout" if isinstance(error, TimeoutError) else "error") from None
        if len(data) > MAX_ANSWER:
            raise ReviewFailed(f"the answer has more than {MAX_ANSWER} bytes")
        return answer.status, data

    def _read(self, code: int, data: bytes) -> Object:
        if not 200 <= code <= 206:
            message = ApiError.from_status(code, data).message
            raise (
                _Again(message) if code in (429, 500) else ReviewFailed(message, "timeout" if code == 504 else "error")
            )
        try:
            review = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ReviewFailed(f"couldn't get version/kind; json parse error: {error}") from None
        wanted = self._head["apiVersion"], self._head["kind"]
        if not isinstance(review, dict) or (review.get("apiVersion"), review.get("kind")) != wanted:
            raise ReviewFailed(f"the answer is no {wanted[1]} of {wanted[0]}")
        status = review.get("status") or {}
        if not isinstance(status, dict):
            raise ReviewFailed("the answer's status is no object")
        return status
