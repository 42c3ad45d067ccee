"""Conversion by a webhook (KEP-598): ConversionReview of apiextensions.k8s.io/v1 or v1beta1
(k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery.meta import status
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient

Object = dict[str, Any]

TIMEOUT = 30.0
"""Seconds (upstream's default for conversion webhooks)."""
_KEPT = ("name", "namespace", "uid")


class Converter:
    """The webhook of one definition."""

    def __init__(self, webhook: Mapping[str, Any], client: WebhookClient) -> None:
        self._config: Mapping[str, Any] = webhook.get("clientConfig") or {}
        versions = webhook.get("conversionReviewVersions") or ()
        self._version = next((each for each in versions if each in ("v1", "v1beta1")), "v1")
        self._client = client

    async def convert(self, objects: list[Object], api_version: str) -> list[Object]:
        """Each object in that version, in order; those that are in it already go nowhere. Raises ApiError 500."""
        foreign = [obj for obj in objects if obj.get("apiVersion") != api_version]
        if not foreign:
            return objects
        made = iter(await self._ask(foreign, api_version))
        return [obj if obj.get("apiVersion") == api_version else _restored(next(made), obj) for obj in objects]

    async def _ask(self, objects: list[Object], api_version: str) -> list[Object]:
        about = objects[0]
        group, _, version = str(about.get("apiVersion")).rpartition("/")
        where = f"conversion webhook for {group}/{version}, Kind={about.get('kind')} failed"
        uid = str(uuid.uuid4())
        review = {
            "kind": "ConversionReview",
            "apiVersion": f"apiextensions.k8s.io/{self._version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        try:
            answer = orjson.loads(await self._client.post(self._config, orjson.dumps(review), TIMEOUT))
        except CallFailed as e:
            raise _failed(f"{where}: {str(e).removeprefix('failed to call webhook: ')}") from None
        except orjson.JSONDecodeError as e:
            raise _failed(f"{where}: {e}") from None
        problem = _problem(answer, review, objects, api_version)
        if problem:
            raise _failed(f"conversion webhook for {group}/{version}, Kind={about.get('kind')} {problem}")
        found: list[Object] = answer["response"]["convertedObjects"]
        return found


def _problem(answer: Any, review: Object, objects: list[Object], api_version: str) -> str:
    """What is wrong with an answer, as the end of the sentence about the webhook; "" for nothing."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        return "failed: returned response is nil"
    if answer.get("apiVersion") != review["apiVersion"] or answer.get("kind") != "ConversionReview":
        have = f"{answer.get('apiVersion')}, Kind={answer.get('kind')}"
        return f"failed: expected {review['apiVersion']}, Kind=ConversionReview, got {have}"
    if response.get("uid") != review["request"]["uid"]:
        return f'failed: expected response.uid="{review["request"]["uid"]}", got "{response.get("uid")}"'
    result = response.get("result") or {}
    if result.get("status") != "Success":
        said = result.get("message")
        return f"failed: {said}" if said else "failed: Internal error"
    converted = response.get("convertedObjects")
    if not isinstance(converted, list) or len(converted) != len(objects):
        count = len(converted) if isinstance(converted, list) else 0
        return f"returned {count} objects, expected {len(objects)}"
    for at, (made, obj) in enumerate(zip(converted, objects, strict=True)):
        if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
            return f"returned invalid converted object at index {at}: metadata: Required value"
        if made.get("apiVersion") != api_version:
            return (
                f"returned invalid converted object at index {at}: invalid apiVersion: "
                f"expected {api_version}, got {made.get('apiVersion')}"
            )
        if made.get("kind") != obj.get("kind"):
            return f"returned invalid converted object at index {at}: invalid kind: {made.get('kind')}"
        for field in _KEPT:
            if (made["metadata"].get(field) or "") != (obj["metadata"].get(field) or ""):
                return f"returned invalid metadata in object at index {at}: metadata.{field}: field is immutable"
    return ""


def _restored(made: Object, obj: Object) -> Object:
    """A webhook may change labels and annotations of the metadata, nothing else."""
    metadata = dict(obj["metadata"])
    for field in ("labels", "annotations"):
        if made["metadata"].get(field):
            metadata[field] = made["metadata"][field]
        else:
            metadata.pop(field, None)
    return {**made, "metadata": metadata}


def _failed(sentence: str) -> status.ApiError:
    return status.ApiError(500, "", sentence, {})
