"""The request as webhooks and expressions are told of it: admission.k8s.io/v1 AdmissionRequest without its objects."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.versions import kind_of

Object = dict[str, Any]

# By operation, not by verb: a patch is told as the creation or the update that it comes to.
_KINDS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def admission_request(review: Review, resource: Resource) -> Object:
    """`resource`: the one it is told as (matchPolicy Equivalent). Empty texts are left out."""
    call = review.call
    found: Object = {
        "kind": _kind(kind_of(review, resource)),
        "resource": _resource(resource),
        "requestKind": _kind(kind_of(review, review.resource)),
        "requestResource": _resource(review.resource),
        "operation": review.operation,
        "userInfo": call.user.to_info(),
        "dryRun": call.dry_run,
        "options": options(review),
    }
    for field, value in (
        ("subResource", call.subresource),
        ("requestSubResource", call.subresource),
        ("name", review.name),
        ("namespace", review.namespace),
    ):
        if value:
            found[field] = value
    return found


def options(review: Review) -> Object | None:
    """The options of the request as an object; None for a CONNECT."""
    call = review.call
    if review.operation == "CONNECT":
        return None
    kind = _KINDS[review.operation]
    found: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if call.dry_run:
        found["dryRun"] = ["All"]
    if review.options is not None:
        return {**found, **review.options}
    if kind != "DeleteOptions":
        found |= {field: call.query[field] for field in ("fieldManager", "fieldValidation") if call.query.get(field)}
    return found


def _kind(gvk: tuple[str, str, str]) -> Object:
    group, version, kind = gvk
    return {"group": group, "version": version, "kind": kind}


def _resource(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
