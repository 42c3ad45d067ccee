"""--authorization-config: who decides, in what order (apiserver.config.k8s.io AuthorizationConfiguration, KEP-3221).

Rules, field paths and sentences are those of k8s.io/apiserver/pkg/apis/apiserver/validation and of
pkg/kubeapiserver/authorizer (1.32).
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from apimachinery.kit.config import ConfigError
from apimachinery.meta import names
from apimachinery.meta import paths as fields
from apimachinery.meta.times import format_duration
from controlplane.apiserver.strict import Shape, decode

TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_CONDITION = Shape("WebhookMatchCondition", {"expression": "string"})
_CONNECTION = Shape("WebhookConnectionInfo", {"type": "string", "kubeConfigFile": "string"})
_WEBHOOK = Shape(
    "WebhookConfiguration",
    {
        "authorizedTTL": "duration",
        "unauthorizedTTL": "duration",
        "timeout": "duration",
        "subjectAccessReviewVersion": "string",
        "matchConditionSubjectAccessReviewVersion": "string",
        "failurePolicy": "string",
        "connectionInfo": _CONNECTION,
        "matchConditions": [_CONDITION],
    },
)
_AUTHORIZER = Shape("AuthorizerConfiguration", {"type": "string", "name": "string", "webhook": _WEBHOOK})
_CONFIGURATION = Shape("AuthorizationConfiguration", {"authorizers": [_AUTHORIZER]})

_AUTHORIZED_TTL, _UNAUTHORIZED_TTL, _LONGEST = 300.0, 30.0, 30.0  # seconds
_MOST_CONDITIONS = 64
_IN_CLUSTER, _BY_FILE = "InClusterConfig", "KubeConfigFile"


class WebhookSettings(Struct, frozen=True):
    """A webhook that decides. The times are seconds; version: of the reviews that it is sent; denies: whether what it
    could not be asked is denied (failurePolicy Deny), instead of left to the next; conditions: what a request must
    be for it to be asked, in CEL."""

    kubeconfig: Path
    version: str
    authorized_ttl: float = _AUTHORIZED_TTL
    unauthorized_ttl: float = _UNAUTHORIZED_TTL
    timeout: float = _LONGEST
    denies: bool = False
    conditions: tuple[str, ...] = ()


class AuthorizerSettings(Struct, frozen=True):
    """One who decides. webhook: of the type Webhook alone."""

    type: str
    name: str
    webhook: WebhookSettings | None = None


Settings = tuple[AuthorizerSettings, ...]


class ConfigurationFile(Struct, frozen=True):
    """A file, and what was read in it."""

    path: Path
    text: bytes


def usual(kind: str) -> AuthorizerSettings:
    """The authorizer of a type that is no webhook."""
    return AuthorizerSettings(kind, kind.lower())


def parse(text: bytes, required: Collection[str] = ()) -> Settings:
    """The authorizers that a file names. required: the types, other than Webhook, that must be among them, as must
    those of the start whenever the file changes. Raises ConfigError with every problem."""
    problems = []
    document: Mapping[str, Any] = {}
    if text:
        decoded = decode(text, "AuthorizationConfiguration", _VERSIONS, _CONFIGURATION)
        told = "failed to load AuthorizationConfiguration from file: "
        if decoded.wrong:
            raise ConfigError([told + each for each in (decoded.unknown, *decoded.wrong) if each])
        problems += [told + decoded.unknown] if decoded.unknown else []
        document = decoded.fields
    authorizers = document.get("authorizers") or []
    problems += [str(each) for each in validate(authorizers)]
    problems += _unusual(authorizers, required)
    if problems:
        raise ConfigError(problems)
    return tuple(_settings(each) for each in authorizers)


def _settings(authorizer: Mapping[str, Any]) -> AuthorizerSettings:
    webhook = authorizer.get("webhook")
    if webhook is None:
        return AuthorizerSettings(authorizer["type"], authorizer["name"])
    settings = WebhookSettings(
        Path(webhook["connectionInfo"]["kubeConfigFile"]),
        webhook["subjectAccessReviewVersion"],
        webhook.get("authorizedTTL") or _AUTHORIZED_TTL,
        webhook.get("unauthorizedTTL") or _UNAUTHORIZED_TTL,
        webhook["timeout"],
        webhook["failurePolicy"] == "Deny",
        tuple(each["expression"] for each in webhook.get("matchConditions") or ()),
    )
    return AuthorizerSettings(authorizer["type"], authorizer["name"], settings)


def _unusual(authorizers: list[Any], required: Collection[str]) -> Iterator[str]:
    """What kube-apiserver alone demands."""
    seen = set[str]()
    for each in authorizers:
        kind, name = each.get("type") or "", each.get("name") or ""
        if kind in TYPES and kind != "Webhook":
            seen.add(kind)
            if name and name != kind.lower():
                yield f"expected name {kind.lower()} for authorizer {kind} instead of {name}"
    if missing := sorted(set(required) - seen):
        yield f"missing required types: [{' '.join(missing)}]"


def validate(authorizers: list[Any]) -> Iterator[fields.Problem]:
    """What is wrong with the list of authorizers."""
    if not authorizers:
        yield fields.required(fields.Path("authorizers"), "at least one authorization mode must be defined")
    types, called = set[str](), set[str]()
    for position, each in enumerate(authorizers):
        where = fields.Path("authorizers").index(position)
        kind, name, webhook = each.get("type") or "", each.get("name") or "", each.get("webhook")
        if not kind:
            yield fields.required(where.child("type"))
            continue
        if kind not in TYPES:
            yield fields.not_supported(where.child("type"), kind, TYPES)
            continue
        if kind in types and kind != "Webhook":
            yield fields.duplicate(where.child("type"), kind)
            continue
        types.add(kind)
        if not name:
            yield fields.required(where.child("name"))
        elif name in called:
            yield fields.duplicate(where.child("name"), name)
        elif wrong := names.dns1123_subdomain(name):
            yield fields.invalid(where.child("name"), name, f"authorizer name is invalid: {', '.join(wrong)}")
        called.add(name)
        if kind != "Webhook":
            if webhook is not None:
                detail = "may only be specified when type=Webhook"
                yield fields.invalid(where.child("webhook"), "non-null", detail)
        elif webhook is None:
            yield fields.required(where.child("webhook"), "required when type=Webhook")
        else:
            yield from _webhook(webhook, where)


def _webhook(webhook: Mapping[str, Any], where: fields.Path) -> Iterator[fields.Problem]:
    # Upstream's paths leave out the `webhook` between an authorizer and its fields.
    timeout = webhook.get("timeout") or 0.0
    if not timeout:
        yield fields.required(where.child("timeout"))
    elif not 0 < timeout <= _LONGEST:
        yield fields.invalid(where.child("timeout"), format_duration(timeout), "must be > 0s and <= 30s")
    for key in ("authorizedTTL", "unauthorizedTTL"):
        if (seconds := webhook.get(key) or 0.0) < 0:
            yield fields.invalid(where.child(key), format_duration(seconds), "must be > 0s")
    conditions = webhook.get("matchConditions") or []
    yield from _one_of(where, webhook, "subjectAccessReviewVersion", ("v1", "v1beta1"))
    if webhook.get(key := "matchConditionSubjectAccessReviewVersion"):
        yield from _one_of(where, webhook, key, ("v1",))
    elif conditions:
        yield fields.required(where.child(key), "required if match conditions are specified")
    yield from _one_of(where, webhook, "failurePolicy", ("NoOpinion", "Deny"))
    yield from _connection(webhook.get("connectionInfo") or {}, where.child("connectionInfo"))
    yield from _conditions(conditions, where.child("matchConditions"))


def _one_of(where: fields.Path, said: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Iterator[fields.Problem]:
    value = said.get(key) or ""
    if not value:
        yield fields.required(where.child(key))
    elif value not in known:
        yield fields.not_supported(where.child(key), value, known)


def _connection(said: Mapping[str, Any], where: fields.Path) -> Iterator[fields.Problem]:
    kind, file = said.get("type") or "", said.get("kubeConfigFile")
    here = where.child("kubeConfigFile")
    if kind == _IN_CLUSTER:
        if file is not None:
            yield fields.invalid(here, file, "can only be set when type=KubeConfigFile")
        # Upstream's documentation says so; the server itself ends with a nil pointer.
        yield fields.invalid(where.child("type"), kind, "not allowed for kube-apiserver")
    elif kind != _BY_FILE:
        yield from _one_of(where, said, "type", (_IN_CLUSTER, _BY_FILE))
    elif not file:
        yield fields.required(here)
    elif not Path(file).is_absolute():
        yield fields.invalid(here, file, "must be an absolute path")
    else:
        try:
            if not stat.S_ISREG(Path(file).stat().st_mode):
                yield fields.invalid(here, file, "must be a regular file")
        except (OSError, ValueError) as error:
            told = str(getattr(error, "strerror", error)).lower()
            yield fields.invalid(here, file, f"error loading file: stat {file}: {told}")


def _conditions(conditions: list[Any], where: fields.Path) -> Iterator[fields.Problem]:
    if len(conditions) > _MOST_CONDITIONS:
        yield fields.too_many(where, len(conditions), _MOST_CONDITIONS)
        return
    seen = set[str]()
    for position, each in enumerate(conditions):
        here, text = where.index(position).child("expression"), each.get("expression") or ""
        if not text.strip():
            yield fields.required(here)
        elif text in seen:
            yield fields.duplicate(here, text)
        else:
            from controlplane.apiserver.authz.match_conditions import mistake  # which loads CEL

            seen.add(text)
            if told := mistake(text):
                yield fields.invalid(here, text, told)
