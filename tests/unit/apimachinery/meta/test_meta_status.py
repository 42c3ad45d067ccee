"""Status errors (k8s.io/apimachinery/pkg/api/errors)."""

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, PODS
from apimachinery.meta import status
from apimachinery.meta.paths import Path, invalid, required


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (status.not_found(PODS, "a"), 404, "NotFound", 'pods "a" not found'),
        (status.not_found("deployments.apps", "a"), 404, "NotFound", 'deployments.apps "a" not found'),
        (status.already_exists(DEPLOYMENTS, "a"), 409, "AlreadyExists", 'deployments.apps "a" already exists'),
        (
            status.conflict(PODS, "a"),
            409,
            "Conflict",
            'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to '
            "the latest version and try again",
        ),
        (status.bad_request("what?"), 400, "BadRequest", "what?"),
        (status.unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (status.forbidden(PODS, "a", "no"), 403, "Forbidden", 'pods "a" is forbidden: no'),
        (status.forbidden(PODS, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (status.forbidden(None, "", "no"), 403, "Forbidden", "forbidden: no"),
        (
            status.method_not_allowed(PODS, "create"),
            405,
            "MethodNotAllowed",
            'create is not supported on resources of kind "pods"',
        ),
        (status.expired("old"), 410, "Expired", "old"),
        (status.timeout("slow"), 504, "Timeout", "Timeout: slow"),
        (status.too_many_requests("later", 3), 429, "TooManyRequests", "later"),
        (status.request_entity_too_large("3 MiB"), 413, "RequestEntityTooLarge", "Request entity too large: 3 MiB"),
        (status.internal("oops"), 500, "InternalError", "Internal error occurred: oops"),
    ],
)
def test_reasons_and_messages(error, code, reason, message):
    assert (error.code, error.reason, error.message) == (code, reason, message)
    body = error.to_status()
    assert body["kind"] == "Status" and body["status"] == "Failure" and body["code"] == code
    again = status.ApiError.from_status(code, body)
    assert (again.code, again.reason, again.message) == (code, reason, message)


def test_invalid_lists_every_cause():
    problems = [required(Path("spec.selector")), invalid(Path("spec.replicas"), -1, "low")]
    error = status.invalid(DEPLOYMENTS, "web", problems)
    assert error.message == (
        'Deployment.apps "web" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: low]'
    )
    assert error.to_status()["details"] == {
        "name": "web",
        "group": "apps",
        "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
            {"reason": "FieldValueInvalid", "message": "Invalid value: -1: low", "field": "spec.replicas"},
        ],
    }


def test_details_leave_out_what_is_empty():
    assert status.not_found(PODS, "a").to_status()["details"] == {"name": "a", "kind": "pods"}


@pytest.mark.parametrize(
    ("predicate", "error"),
    [
        (status.is_not_found, status.not_found(PODS, "a")),
        (status.is_already_exists, status.already_exists(PODS, "a")),
        (status.is_conflict, status.conflict(PODS, "a")),
        (status.is_expired, status.gone("x")),
        (status.is_timeout, status.server_timeout(PODS, "list")),
        (status.is_too_many_requests, status.too_many_requests("x")),
    ],
)
def test_predicates_hold_for_their_own_only(predicate, error):
    assert predicate(error)
    assert not predicate(status.bad_request("x"))
    assert not predicate(ValueError("x"))
    assert not predicate(None)


@pytest.mark.parametrize(
    ("code", "body", "reason", "message"),
    [
        (404, "404 page not found", "NotFound", "the server could not find the requested resource"),
        (403, b"nope", "Forbidden", "nope"),
        (502, "bad gateway", "InternalError", 'an error on the server ("bad gateway") has prevented the request'),
        (418, None, "Unknown", "the server responded with the status code 418 but did not return more information"),
    ],
)
def test_an_answer_that_is_no_status(code, body, reason, message):
    error = status.ApiError.from_status(code, body)
    assert (error.code, error.reason) == (code, reason)
    assert error.message.startswith(message)


def test_the_time_to_wait():
    assert status.too_many_requests("x", 7).retry_after == 7
    assert status.bad_request("x").retry_after is None
