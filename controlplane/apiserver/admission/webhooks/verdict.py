"""What is asked of a webhook, and what its answer means (admission.k8s.io AdmissionReview, v1 and v1beta1). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.api.catalogue import Resource
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.request import admission_request
from controlplane.apiserver.admission.versions import present

Object = dict[str, Any]

_KNOWN = ("v1", "v1beta1")


class InvalidAnswer(Exception):
    """The webhook's answer is none; the message is upstream's."""


class Verdict(Struct, frozen=True):
    """A verified answer. `patch`: the operations of a JSON patch; `status`: of a refusal."""

    allowed: bool
    status: Mapping[str, Any]
    patch: list[Any]
    warnings: tuple[str, ...]
    annotations: Mapping[str, str]


def review_version(versions: tuple[str, ...]) -> str:
    """The first version that both sides know. Raises InvalidAnswer when there is none."""
    for version in versions:
        if version in _KNOWN:
            return version
    raise InvalidAnswer("webhook does not accept known AdmissionReview versions (v1, v1beta1)")


def ask(review: Review, resource: Resource, version: str, uid: str) -> bytes:
    """The AdmissionReview to send."""
    new, old = present(review, resource)
    request = {"uid": uid, **admission_request(review, resource), "object": new, "oldObject": old}
    document = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
    return orjson.dumps(document)


def read(data: bytes, version: str, uid: str, *, mutating: bool) -> Verdict:
    """The answer. Raises InvalidAnswer."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidAnswer(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(document, dict):
        raise InvalidAnswer("couldn't get version/kind; json parse error: the answer is not an object")
    response = document.get("response")
    if not isinstance(response, dict):
        raise InvalidAnswer("received invalid webhook response: webhook response was absent")
    if version == "v1":
        _check(document, response, uid, mutating=mutating)
    operations: list[Any] = []
    if mutating and response.get("patch"):
        operations = _operations(response["patch"])
        kind = response.get("patchType") or "JSONPatch"
        if kind != "JSONPatch":
            raise InvalidAnswer(f'unsupported patch type "{kind}"')
    annotations = response.get("auditAnnotations") or {}
    return Verdict(
        response.get("allowed") is True,
        response.get("status") or {},
        operations,
        tuple(str(each) for each in response.get("warnings") or ()),
        annotations if isinstance(annotations, dict) else {},
    )


def _check(document: Mapping[str, Any], response: Mapping[str, Any], uid: str, *, mutating: bool) -> None:
    prefix = "received invalid webhook response: "
    if response.get("uid") != uid:
        raise InvalidAnswer(f'{prefix}expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    kind, version = document.get("kind") or "", document.get("apiVersion") or ""
    if (version, kind) != ("admission.k8s.io/v1", "AdmissionReview"):
        wanted = "admission.k8s.io/v1, Kind=AdmissionReview"
        raise InvalidAnswer(f"{prefix}expected webhook response of {wanted}, got {version}, Kind={kind}")
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        for field, value in (("patch", patch), ("patchType", patch_type)):
            if value:
                raise InvalidAnswer(f"{prefix}validating webhook may not return response.{field}")
    elif patch and not patch_type:
        raise InvalidAnswer(f"{prefix}webhook returned response.patch but not response.patchType")
    elif patch_type and not patch:
        raise InvalidAnswer(f"{prefix}webhook returned response.patchType but not response.patch")


def _operations(patch: Any) -> list[Any]:
    try:
        found = orjson.loads(base64.b64decode(patch, validate=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidAnswer(f"received invalid webhook response: the patch cannot be read: {error}") from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidAnswer("received invalid webhook response: the patch is not a list of operations")
    return found


def refusal(name: str, said: Mapping[str, Any]) -> ApiError:
    """The error of a webhook that does not allow (webhookerrors.ToStatusErr): never a success, always named."""
    code, reason, message = said.get("code"), said.get("reason") or "", said.get("message") or ""
    head = f'admission webhook "{name}" denied the request'
    text = f"{head}: {message or reason}" if message or reason else f"{head} without explanation"
    details = said.get("details")
    return ApiError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(reason),
        text,
        details if isinstance(details, dict) else None,
    )
