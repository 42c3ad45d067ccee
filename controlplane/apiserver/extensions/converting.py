"""Conversion by a webhook (KEP-598): ConversionReview of apiextensions.k8s.io/v1 or v1beta1
(k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from apimachinery.api.validation.checks import labels as check_labels
from apimachinery.api.validation.metadata import annotations as check_annotations
from apimachinery.meta import status
from apimachinery.meta.paths import Path
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient

Object = dict[str, Any]

TIMEOUT = 30.0
"""Seconds (upstream's default for conversion webhooks)."""
_KEPT = {"name": "name", "namespace": "namespace", "uid": "UID"}


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
        problem = answer_problem(answer, review, objects, api_version)
        if problem:
            raise _failed(f"conversion webhook for {group}/{version}, Kind={about.get('kind')} {problem}")
        found: list[Object] = answer["response"]["convertedObjects"]
        return found


def answer_problem(answer: Any, review: Object, objects: list[Object], api_version: str) -> str:
    """What is wrong with an answer, as the end of the sentence about the webhook; "" for nothing. An answer of v1beta1
    may be of any kind and name any request. Upstream asks about each object alone, and says so."""
    answer = answer if isinstance(answer, dict) else {}
    strict = not str(review["apiVersion"]).endswith("/v1beta1")
    if strict and (answer.get("apiVersion"), answer.get("kind")) != (review["apiVersion"], review["kind"]):
        have = f"{answer.get('apiVersion') or '/'}, Kind={answer.get('kind') or ''}"
        return f"failed: expected webhook response of {review['apiVersion']}, Kind={review['kind']}, got {have}"
    response = answer.get("response")
    if not isinstance(response, dict):
        return "failed: no response provided"
    if strict and response.get("uid") != review["request"]["uid"]:
        return f'failed: expected response.uid="{review["request"]["uid"]}", got "{response.get("uid") or ""}"'
    result = response.get("result") or {}
    if result.get("status") != "Success":
        said = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        return f"failed: {result.get('message') or said}"
    converted = response.get("convertedObjects") or []
    if len(converted) != len(objects):
        return f"returned {len(converted)} objects, expected {len(objects)}"
    for made, obj in zip(converted, objects, strict=True):
        if problem := _object_problem(made if isinstance(made, dict) else {}, obj, api_version):
            return f"returned invalid object{problem}"
        if problem := _metadata_problem(made["metadata"], obj["metadata"]):
            return f"returned invalid metadata: {problem}"
    return ""


def _object_problem(made: Object, obj: Object, api_version: str) -> str:
    have, kind = made.get("apiVersion") or "", made.get("kind") or ""
    if have != api_version:
        return f" at index 0: invalid groupVersion (expected {api_version}, received {have})"
    if kind != obj.get("kind"):
        return f" at index 0: invalid kind (expected {obj.get('kind')}, received {kind})"
    metadata = made.get("metadata")
    if not isinstance(metadata, dict):
        metadata = made["metadata"] = {}
    for field, word in _KEPT.items():
        wanted, found = obj["metadata"].get(field) or "", metadata.get(field) or ""
        if wanted != found:
            return f": must have the same {word}: {wanted} != {found}"
    return ""


def _metadata_problem(made: Object, before: Object) -> str:
    """Labels and annotations are what a webhook may change."""
    for field, check in (("labels", check_labels), ("annotations", check_annotations)):
        found = made.get(field)
        if found is None:
            continue
        if not isinstance(found, dict):
            return f"invalid metadata.{field} of type {_go_type(found)} in converted object"
        for key, value in found.items():
            if not isinstance(value, str):
                return f"metadata.{field}[{key}] must be a string, but is {_go_type(value)} in converted object"
        if found != (before.get(field) or {}):
            # Upstream names the second without its s.
            problems = check(found, Path("metadata").child(field.removesuffix("s") if field != "labels" else field))
            if problems:
                texts = ", ".join(map(str, problems))
                return texts if len(problems) == 1 else f"[{texts}]"
    return ""


def _go_type(value: Any) -> str:
    names = {
        dict: "map[string]interface {}",
        list: "[]interface {}",
        int: "int64",
        float: "float64",
        bool: "bool",
        str: "string",
    }
    return names.get(type(value), "<nil>")


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
