"""What is asked of a webhook, and what its answer means (admission.k8s.io AdmissionReview, v1 and v1beta1). Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation.json_errors import object_error
from apimachinery.meta.status import ApiError, internal
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.request import admission_request
from controlplane.apiserver.admission.versions import present

Object = dict[str, Any]

_KNOWN = ("v1", "v1beta1")
_OTHER_REVIEWS = {"v1": ("admission.k8s.io/v1beta1",), "v1beta1": ("admission.k8s.io/v1",)}
_CALL = "failed to call webhook: "
_JSON_PATCH = "JSONPatch"
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")
_MAP = "map[string]interface {}"
# What upstream reads the version and kind into, as Go spells it.
_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'


class InvalidAnswer(Exception):
    """The webhook's answer is none; the message is upstream's."""


class Verdict(Struct, frozen=True):
    """A verified answer. `patch`: a JSON patch as it came, not looked into; `status`: of a refusal."""

    allowed: bool
    status: Mapping[str, Any]
    patch: bytes
    warnings: tuple[str, ...]
    annotations: Mapping[str, str]


def review_version(versions: tuple[str, ...]) -> str:
    """The first version that both sides know. Raises InvalidAnswer when there is none."""
    for version in versions:
        if version in _KNOWN:
            return version
    raise InvalidAnswer(
        "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
    )


def ask(review: Review, resource: Resource, version: str, uid: str) -> bytes:
    """The AdmissionReview to send."""
    new, old = present(review, resource)
    request = {"uid": uid, **admission_request(review, resource), "object": new, "oldObject": old}
    document = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
    return orjson.dumps(document)


def read(data: bytes, version: str, uid: str, *, mutating: bool) -> Verdict:
    """The answer. Raises InvalidAnswer."""
    document = _document(data)
    if _group_version(document) in _OTHER_REVIEWS[version]:
        given = document["apiVersion"].rpartition("/")[2]
        conversion = f"converting ({given}.AdmissionReview) to ({version}.AdmissionReview): unknown conversion"
        raise InvalidAnswer(f"{_CALL}{conversion}")
    response = document.get("response")
    if not isinstance(response, dict):
        raise InvalidAnswer("received invalid webhook response: webhook response was absent")
    patch = _decoded(response.get("patch") or "")
    if version == "v1":
        _check(document, response, uid, mutating=mutating)
        if patch and response["patchType"] != _JSON_PATCH:
            raise InvalidAnswer(f'unsupported patch type "{response["patchType"]}"')
    annotations = response.get("auditAnnotations") or {}
    return Verdict(
        response.get("allowed") is True,
        response.get("status") or {},
        patch if mutating else b"",
        tuple(str(each) for each in response.get("warnings") or ()),
        annotations if isinstance(annotations, dict) else {},
    )


def _document(data: bytes) -> Mapping[str, Any]:
    if (problem := object_error(data)) is not None:
        raise InvalidAnswer(f"{_CALL}couldn't get version/kind; json parse error: {problem.replace(_MAP, _TYPE_META)}")
    try:
        return orjson.loads(data) or {}
    except orjson.JSONDecodeError as error:
        raise InvalidAnswer(f"{_CALL}couldn't get version/kind; json parse error: {error}") from None


def _group_version(document: Mapping[str, Any]) -> str:
    return str(document.get("apiVersion") or "") if document.get("kind") == "AdmissionReview" else ""


def _decoded(patch: Any) -> bytes:
    """The bytes of a patch, which is in base64."""
    if not isinstance(patch, str):
        raise InvalidAnswer(f"{_CALL}response.patch is not a text in base64")
    text = patch.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        strange = _NOT_BASE64.search(text)
        at = strange.start() if strange is not None else len(text) - len(text) % 4
        raise InvalidAnswer(f"{_CALL}illegal base64 data at input byte {at}") from None


def operations(patch: bytes) -> list[Any]:
    """The operations of a JSON patch. Raises ApiError 500 for what is none: no failurePolicy ignores that."""
    try:
        found = orjson.loads(patch) if patch else []
    except orjson.JSONDecodeError as error:
        raise internal(object_error(patch) or str(error)) from None
    if found is not None and not isinstance(found, list):
        problem = object_error(patch) or f"json: cannot unmarshal object into Go value of type {_MAP}"
        raise internal(problem.replace(_MAP, "jsonpatch.Patch"))
    for each in found or ():
        if (problem_of_one := object_error(orjson.dumps(each))) is not None:
            raise internal(problem_of_one.replace(_MAP, "jsonpatch.Operation"))
    return found or []


def _check(document: Mapping[str, Any], response: Mapping[str, Any], uid: str, *, mutating: bool) -> None:
    prefix = "received invalid webhook response: "
    if response.get("uid") != uid:
        raise InvalidAnswer(f'{prefix}expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    kind, version = document.get("kind") or "", document.get("apiVersion") or ""
    if (version, kind) != ("admission.k8s.io/v1", "AdmissionReview"):
        wanted = "admission.k8s.io/v1, Kind=AdmissionReview"
        given = version if "/" in version else f"/{version}"
        raise InvalidAnswer(f"{prefix}expected webhook response of {wanted}, got {given}, Kind={kind}")
    patch, patch_type = response.get("patch"), response.get("patchType")
    if not mutating:
        for field, value in (("patch", patch), ("patchType", patch_type)):
            if value:
                raise InvalidAnswer(f"{prefix}validating webhook may not return response.{field}")
    elif patch and not patch_type:
        raise InvalidAnswer(f"{prefix}webhook returned response.patch but not response.patchType")
    elif patch_type and not patch:
        raise InvalidAnswer(f"{prefix}webhook returned response.patchType but not response.patch")


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
