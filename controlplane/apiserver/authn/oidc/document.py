"""The file of --authentication-config, read as strictly as upstream reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping as Members
from typing import Any

from apimachinery.kit.config import ConfigError
from controlplane.apiserver.authn.oidc.configuration import (
    Anonymous,
    AuthenticationConfiguration,
    ClaimRule,
    ExtraMapping,
    Issuer,
    JWTAuthenticator,
    Mapping,
    UserRule,
)
from controlplane.apiserver.strict import Shape, decode

_VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1beta1", "v1alpha1"))
"""Those of 1.32; v1 came with 1.34. They have the same fields."""
_ISSUER = Shape(
    "Issuer",
    {
        "url": "string",
        "discoveryURL": "string",
        "certificateAuthority": "string",
        "audiences": ["string"],
        "audienceMatchPolicy": "string",
    },
)
_MAPPING = Shape("PrefixedClaimOrExpression", {"claim": "string", "prefix": "string", "expression": "string"})
_MAPPINGS = Shape(
    "ClaimMappings",
    {
        "username": _MAPPING,
        "groups": _MAPPING,
        "uid": Shape("ClaimOrExpression", {"claim": "string", "expression": "string"}),
        "extra": [Shape("ExtraMapping", {"key": "string", "valueExpression": "string"})],
    },
)
_CLAIM_RULE = Shape(
    "ClaimValidationRule",
    {"claim": "string", "requiredValue": "string", "expression": "string", "message": "string"},
)
_PROVIDER = Shape(
    "JWTAuthenticator",
    {
        "issuer": _ISSUER,
        "claimValidationRules": [_CLAIM_RULE],
        "claimMappings": _MAPPINGS,
        "userValidationRules": [Shape("UserValidationRule", {"expression": "string", "message": "string"})],
    },
)
_ANONYMOUS = Shape(
    "AnonymousAuthConfig",
    {"enabled": "bool", "conditions": [Shape("AnonymousAuthCondition", {"path": "string"})]},
)
_CONFIGURATION = Shape("AuthenticationConfiguration", {"jwt": [_PROVIDER], "anonymous": _ANONYMOUS})


def read(data: bytes) -> AuthenticationConfiguration:
    """What the file says; whether it makes sense is `validation`'s. Raises ConfigError."""
    if not data:
        raise ConfigError(["empty config data"])
    decoded = decode(data, "AuthenticationConfiguration", _VERSIONS, _CONFIGURATION)
    if wrong := [each for each in (decoded.unknown, *decoded.wrong) if each]:
        raise ConfigError(wrong)
    said, anonymous = decoded.fields, decoded.fields.get("anonymous")
    return AuthenticationConfiguration(
        tuple(_provider(each) for each in said.get("jwt") or ()),
        _anonymous(anonymous) if anonymous is not None else None,
    )


def _provider(said: Members[str, Any]) -> JWTAuthenticator:
    issuer, maps = said.get("issuer") or {}, said.get("claimMappings") or {}
    return JWTAuthenticator(
        Issuer(
            issuer.get("url", ""),
            tuple(issuer.get("audiences", ())),
            issuer.get("discoveryURL", ""),
            issuer.get("certificateAuthority", ""),
            issuer.get("audienceMatchPolicy", ""),
        ),
        _mapping(maps.get("username") or {}),
        _mapping(maps.get("groups") or {}),
        _mapping(maps.get("uid") or {}),
        tuple(ExtraMapping(each.get("key", ""), each.get("valueExpression", "")) for each in maps.get("extra", ())),
        tuple(_claim_rule(each) for each in said.get("claimValidationRules", ())),
        tuple(
            UserRule(each.get("expression", ""), each.get("message", ""))
            for each in said.get("userValidationRules", ())
        ),
    )


def _mapping(said: Members[str, Any]) -> Mapping:
    return Mapping(said.get("claim", ""), said.get("prefix"), said.get("expression", ""))


def _claim_rule(said: Members[str, Any]) -> ClaimRule:
    return ClaimRule(*(said.get(name, "") for name in ("claim", "requiredValue", "expression", "message")))


def _anonymous(said: Members[str, Any]) -> Anonymous:
    return Anonymous(said.get("enabled", False), tuple(each.get("path", "") for each in said.get("conditions", ())))
