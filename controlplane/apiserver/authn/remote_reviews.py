"""Reviews that a webhook answers, TokenReview, SubjectAccessReview and ImageReview: a kubeconfig file says where it is
and who we are to it (k8s.io/apiserver/pkg/util/webhook)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from controlplane.apiserver.remote import Remote, RemoteFailed

Object = dict[str, Any]

_ANSWERS = 8192  # that are remembered

ReviewFailed = RemoteFailed
"""The webhook gave no answer; the text says why, as Go's client would."""


class RemoteReviews:
    """Asks for reviews of one kind, and remembers what it was told. answers: that are remembered; options: of the
    Remote that asks."""

    def __init__(
        self,
        config: ClientConfig,
        api_version: str,
        kind: str,
        clock: Clock,
        *,
        answers: int = _ANSWERS,
        **options: Any,
    ) -> None:
        self._remote, self._clock, self._most = Remote(config, clock, **options), clock, answers
        self._head = {"kind": kind, "apiVersion": api_version, "metadata": {"creationTimestamp": None}}
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
        body = orjson.dumps({**self._head, "spec": spec, "status": status})
        return await self._remote.post(body, self._read)

    async def close(self) -> None:
        """End the connections."""
        await self._remote.close()

    async def retire(self) -> None:
        """End the connections as soon as those who ask have their answers."""
        await self._remote.retire()

    def _read(self, data: bytes) -> Object:
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
