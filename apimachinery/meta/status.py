"""API errors: the Status object on the wire and the exception in code, with upstream's reasons and messages.

k8s.io/apimachinery/pkg/api/errors. A `resource` is anything with `group` and `plural` (a catalogue Resource) or a text
such as "deployments.apps"; a `kind` anything with `group` and `kind`, or a text such as "Deployment.apps".
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from apimachinery.meta.paths import Problem, aggregate

Details = dict[str, Any]


class GroupResource(Protocol):
    """Whatever names a resource."""

    @property
    def group(self) -> str: ...
    @property
    def plural(self) -> str: ...


class GroupKind(Protocol):
    """Whatever names a kind."""

    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...


class ApiError(Exception):
    """A refusal by the API. `code` is the HTTP status, `reason` the machine-readable word, `details` may be None.

    `continue_`: a token with which an expired list may be continued all the same (its metadata.continue)."""

    def __init__(self, code: int, reason: str, message: str, details: Details | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.continue_ = ""

    @property
    def retry_after(self) -> int | None:
        """Seconds the server asks to wait before another try, or None."""
        seconds = (self.details or {}).get("retryAfterSeconds")
        return int(seconds) if seconds else None

    def to_status(self) -> dict[str, Any]:
        """The metav1.Status object to send."""
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        if self.continue_:
            status["metadata"] = {"continue": self.continue_}
        if self.message:
            status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = {key: value for key, value in self.details.items() if value not in ("", None, 0, [])}
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, code: int, body: Mapping[str, Any] | str | bytes | None) -> "ApiError":
        """The error of an HTTP answer: `body` is the Status, decoded or not, or whatever else came instead of one."""
        if isinstance(body, bytes) and body.lstrip()[:1] == b"{":
            with contextlib.suppress(orjson.JSONDecodeError):
                body = orjson.loads(body)
        if isinstance(body, Mapping) and body.get("kind") == "Status":
            return cls(
                int(body.get("code") or code), body.get("reason") or "", body.get("message") or "", body.get("details")
            )
        if isinstance(body, bytes):
            body = body.decode(errors="replace")
        reason, message = _GENERIC.get(code, ("", ""))
        text = body.strip() if isinstance(body, str) else ""
        if not reason and code >= 500:
            reason, message = (
                "InternalError",
                f'an error on the server ("{text or "unknown"}") has prevented the request from succeeding',
            )
        if code in (403, 406, 415) and text:
            message = text
        if not message:
            message = f"the server responded with the status code {code} but did not return more information"
        cause = [{"reason": "UnexpectedServerResponse", "message": text or "unknown"}]
        return cls(code, reason or "Unknown", message, {"causes": cause})


class NoSuchPath(ApiError):
    """404 for a path below which there is nothing at all: Go's own page, no Status."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "the server could not find the requested resource", {})


class Busy(ApiError):
    """429: more requests than may run at once. Told in plain text, as upstream, which knows nothing of clients yet.

    headers: what the answer says of the level that refused."""

    def __init__(self, retry_after: int = 1, headers: Mapping[str, str] | None = None) -> None:
        self.headers = headers or {}
        message = "Too many requests, please try again later."
        super().__init__(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


class Denied(ApiError):
    """403 of those who authorize."""


class Undecodable(ApiError):
    """400: a body that does not become an object of its kind. `why`: the message without the kind it was to be."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(400, "BadRequest", where + why)
        self.why = why


_REJECTED = "the server rejected our request due to an error in our request"

_GENERIC = {
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    403: ("Forbidden", ""),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    406: ("NotAcceptable", "the server was unable to respond with a content type that the client supports"),
    409: ("Conflict", "the server reported a conflict"),
    415: ("UnsupportedMediaType", ""),
    422: ("Invalid", _REJECTED),
    429: (
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be processing the request",
    ),
}


def not_found(resource: GroupResource | str, name: str) -> ApiError:
    """404: there is no such object."""
    text, details = _resource(resource, name)
    return ApiError(404, "NotFound", f'{text} "{name}" not found', details)


def path_not_found() -> ApiError:
    """404 for a path that no resource is served under."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: GroupResource | str, name: str) -> ApiError:
    """409 on create: the name is taken."""
    text, details = _resource(resource, name)
    return ApiError(409, "AlreadyExists", f'{text} "{name}" already exists', details)


def generate_name_conflict(resource: GroupResource | str, name: str, retry_after: int = 1) -> ApiError:
    """409: no free name was found for a generateName."""
    text, details = _resource(resource, name)
    message = f'{text} "{name}" already exists, the server was not able to generate a unique name for the object'
    return ApiError(409, "AlreadyExists", message, {**details, "retryAfterSeconds": retry_after})


CHANGED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: GroupResource | str, name: str, detail: str = CHANGED) -> ApiError:
    """409: the precondition (resourceVersion, uid) does not hold."""
    text, details = _resource(resource, name)
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {text} "{name}": {detail}', details)


def apply_conflict(causes: Sequence[Mapping[str, Any]], message: str) -> ApiError:
    """409 of server-side apply: fields belong to other managers."""
    return ApiError(409, "Conflict", message, {"causes": [dict(cause) for cause in causes]})


def invalid(kind: GroupKind | str, name: str, problems: Iterable[Problem]) -> ApiError:
    """422: the object is well formed and wrong; every problem is a cause."""
    found = list(problems)
    if isinstance(kind, str):
        word, _, group = kind.partition(".")
    else:
        word, group = kind.kind, kind.group
    text = f"{word}.{group}" if group else word
    causes = [{"reason": problem.type, "message": problem.message, "field": problem.path} for problem in found]
    message = f'{text} "{name}" is invalid' + (f": {aggregate(found)}" if found else "")
    return ApiError(422, "Invalid", message, {"name": name, "group": group, "kind": word, "causes": causes})


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> ApiError:
    """401: nobody knows who asks."""
    return ApiError(401, "Unauthorized", message)


def forbidden(resource: GroupResource | str | None, name: str, detail: str) -> ApiError:
    """403: known, and not allowed. `resource` None is for paths that are no resource."""
    if resource is None or resource == "":
        return ApiError(403, "Forbidden", f"forbidden: {detail}", {})
    text, details = _resource(resource, name)
    quoted = f' "{name}"' if name else ""
    return ApiError(403, "Forbidden", f"{text}{quoted} is forbidden: {detail}", details)


def method_not_allowed(resource: GroupResource | str, action: str) -> ApiError:
    """405: the resource has no such verb."""
    text, details = _resource(resource, "")
    message = f'{action} is not supported on resources of kind "{text}"'
    return ApiError(405, "MethodNotAllowed", message, details)


def no_such_method() -> ApiError:
    """405: the path is one of a built-in kind or of discovery, and has no route of that method."""
    sentence = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", sentence, {})


def expired(message: str) -> ApiError:
    """410 Expired: the resourceVersion or continue token is too old; list again."""
    return ApiError(410, "Expired", message)


def gone(message: str) -> ApiError:
    """410 Gone."""
    return ApiError(410, "Gone", message)


def timeout(message: str, retry_after: int = 0) -> ApiError:
    """504: not done in time; it may still be done."""
    return ApiError(504, "Timeout", f"Timeout: {message}", {"retryAfterSeconds": retry_after})


def server_timeout(resource: GroupResource | str, operation: str, retry_after: int = 0) -> ApiError:
    """500 ServerTimeout: a passing error; try again."""
    text, details = _resource(resource, operation)
    message = f"The {operation} operation against {text} could not be completed at this time, please try again."
    return ApiError(500, "ServerTimeout", message, {**details, "retryAfterSeconds": retry_after})


def too_many_requests(message: str, retry_after: int = 0) -> ApiError:
    """429: come back in `retry_after` seconds."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def not_acceptable(accepted: Iterable[str]) -> ApiError:
    """406: none of the media types asked for can be had."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return ApiError(406, "NotAcceptable", message)


def unsupported_media_type(content_type: str, accepted: Iterable[str]) -> ApiError:
    """415: the body is of a type that is not read here."""
    listed = ", ".join(accepted)
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {listed}"
        if listed
        else f"the media type {content_type!r} is not supported"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def not_routed(code: int, produced: Iterable[str] | None = None) -> ApiError:
    """406 or 415 in the words of a kube-apiserver's router, which paths of built-in kinds and discovery get. produced:
    what there would be."""
    reason, words = _UNROUTED[code]
    listed = "" if produced is None else f"\n\nAvailable representations: {', '.join(produced)}"
    return ApiError(code, reason, f"{code}: {words}{listed}", {})


def request_entity_too_large(message: str) -> ApiError:
    """413: the body is larger than the limit."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def unprocessable(why: str) -> ApiError:
    """422: a patch that does not apply. Upstream keeps to itself why; here it is a cause, which kubectl shows."""
    return ApiError(422, "Invalid", _REJECTED, {"causes": [{"message": why, "field": "patch"}]})


def internal(message: str) -> ApiError:
    """500: our fault."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def service_unavailable(message: str) -> ApiError:
    """503: not now."""
    return ApiError(503, "ServiceUnavailable", message)


_UNROUTED = {
    406: ("NotAcceptable", "Not Acceptable"),
    415: ("UnsupportedMediaType", "Unsupported Media Type"),
}


def _resource(resource: GroupResource | str, name: str) -> tuple[str, Details]:
    if isinstance(resource, str):
        plural, _, group = resource.partition(".")
    else:
        plural, group = resource.plural, resource.group
    return (f"{plural}.{group}" if group else plural), {"name": name, "group": group, "kind": plural}


def _is(error: BaseException | None, reason: str) -> bool:
    return isinstance(error, ApiError) and error.reason == reason


def is_not_found(error: BaseException | None) -> bool:
    """True for 404 NotFound."""
    return _is(error, "NotFound")


def is_already_exists(error: BaseException | None) -> bool:
    """True for 409 AlreadyExists."""
    return _is(error, "AlreadyExists")


def is_conflict(error: BaseException | None) -> bool:
    """True for 409 Conflict (read again and retry); not for AlreadyExists."""
    return _is(error, "Conflict")


def is_invalid(error: BaseException | None) -> bool:
    """True for 422 Invalid."""
    return _is(error, "Invalid")


def is_forbidden(error: BaseException | None) -> bool:
    """True for 403 Forbidden."""
    return _is(error, "Forbidden")


def is_unauthorized(error: BaseException | None) -> bool:
    """True for 401 Unauthorized."""
    return _is(error, "Unauthorized")


def is_bad_request(error: BaseException | None) -> bool:
    """True for 400 BadRequest."""
    return _is(error, "BadRequest")


def is_expired(error: BaseException | None) -> bool:
    """True for 410 Expired and Gone: list again."""
    return _is(error, "Expired") or _is(error, "Gone")


def is_timeout(error: BaseException | None) -> bool:
    """True for Timeout and ServerTimeout."""
    return _is(error, "Timeout") or _is(error, "ServerTimeout")


def is_too_many_requests(error: BaseException | None) -> bool:
    """True for 429 TooManyRequests."""
    return _is(error, "TooManyRequests")


def is_method_not_allowed(error: BaseException | None) -> bool:
    """True for 405 MethodNotAllowed."""
    return _is(error, "MethodNotAllowed")


def is_internal(error: BaseException | None) -> bool:
    """True for 500 InternalError."""
    return _is(error, "InternalError")


def is_service_unavailable(error: BaseException | None) -> bool:
    """True for 503 ServiceUnavailable."""
    return _is(error, "ServiceUnavailable")
