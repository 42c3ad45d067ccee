"""Forms of an object other than its own."""

from __future__ import annotations

from typing import Any

from apimachinery.meta import status

Object = dict[str, Any]


def partial(obj: Object, version: str) -> Object:
    """The object's metadata alone: a PartialObjectMetadata of meta.k8s.io/`version`."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def unlike(wanted: str, what: str, kind: str, group: str) -> status.ApiError:
    """406 for a form that an answer has not. what: "a list" or "not a list"."""
    package = group.partition(".")[0] or "core"
    sentence = f"you requested {wanted}, but the requested object is {what} (*{package}.{kind})"
    return status.ApiError(406, "NotAcceptable", sentence)


def untyped(obj: Object) -> Object:
    """An item of a typed list: without the apiVersion and kind that the list's own say."""
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
