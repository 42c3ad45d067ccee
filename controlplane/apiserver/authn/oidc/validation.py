"""What is wrong with an AuthenticationConfiguration, in upstream's words
(k8s.io/apiserver/pkg/apis/apiserver/validation). Pure."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from apimachinery.api.validation.syntax import domain_path
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    forbidden,
    invalid,
    render_value,
    required,
    too_many,
)
from controlplane.apiserver.authn.oidc.configuration import (
    AuthenticationConfiguration,
    ClaimRule,
    Issuer,
    JWTAuthenticator,
    Mapping,
    UserRule,
)

_MOST = 64
_BOTH = "claim and expression can't both be set"
_NEEDS_VERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression "
    "or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
)
_RESERVED = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"


def validate(
    configuration: AuthenticationConfiguration, disallowed: Sequence[str], *, conditions: bool = True
) -> list[Problem]:
    """Every problem. disallowed: issuers that are the server's own. conditions: the gate
    AnonymousAuthConfigurableEndpoints."""
    root, providers = Path("jwt"), configuration.jwt
    if len(providers) > _MOST:
        return [too_many(root, len(providers), _MOST)]
    problems: list[Problem] = []
    for position, provider in enumerate(providers):
        where, before = root.index(position), [each.issuer for each in providers[:position]]
        problems += _provider(provider, disallowed, where)
        url, discovery = provider.issuer.url, provider.issuer.discovery_url
        if url in [each.url for each in before]:
            problems.append(duplicate(where.child("issuer", "url"), url))
        if discovery and discovery in [each.discovery_url for each in before]:
            problems.append(duplicate(where.child("issuer", "discoveryURL"), discovery))
    if (anonymous := configuration.anonymous) is not None:
        if not conditions:
            detail = "anonymous is not supported when AnonymousAuthConfigurableEnpoints feature gate is disabled"
            problems.append(forbidden(Path("anonymous"), detail))
        if anonymous.paths and not anonymous.enabled:
            name = "apiserver.AnonymousAuthCondition"
            shown = ", ".join(f"{name}{{Path:{render_value(path)}}}" for path in anonymous.paths)
            detail = "enabled should be set to true when conditions are defined"
            problems.append(invalid(Path("anonymous").child("conditions"), Verbatim(f"[]{name}{{{shown}}}"), detail))
    return problems


def _provider(provider: JWTAuthenticator, disallowed: Sequence[str], where: Path) -> list[Problem]:
    return [
        *_issuer(provider.issuer, disallowed, where.child("issuer")),
        *_claim_rules(provider.claim_rules, where.child("claimValidationRules")),
        *_mappings(provider, where.child("claimMappings")),
        *_user_rules(provider.user_rules, where.child("userValidationRules")),
    ]


def _issuer(issuer: Issuer, disallowed: Sequence[str], where: Path) -> list[Problem]:
    url, discovery = issuer.url, issuer.discovery_url
    problems = _url(url, disallowed, where.child("url")) if url else [required(where.child("url"), "URL is required")]
    if discovery:
        if url and url.rstrip("/") == discovery.rstrip("/"):
            detail = "discoveryURL must be different from URL"
            problems.append(invalid(where.child("discoveryURL"), discovery, detail))
        problems += _url(discovery, (), where.child("discoveryURL"))
    problems += _audiences(issuer, where)
    if issuer.certificate_authority and not _has_certificates(issuer.certificate_authority):
        detail = "data does not contain any valid RSA or ECDSA certificates"
        problems.append(invalid(where.child("certificateAuthority"), "<omitted>", detail))
    return problems


def _url(text: str, disallowed: Sequence[str], where: Path) -> list[Problem]:
    problems = []
    if text in disallowed:
        told = f"URL must not overlap with disallowed issuers: [{' '.join(sorted(disallowed))}]"
        problems.append(invalid(where, text, told))
    try:
        url = urlsplit(text)
    except ValueError as error:
        return [*problems, invalid(where, text, f'parse "{text}": {error}')]
    try:
        _ = url.port
    except ValueError:
        wrong = url.netloc[url.netloc.rfind(":") :]
        return [*problems, invalid(where, text, f'parse "{text}": invalid port "{wrong}" after host')]
    if url.scheme != "https":
        problems.append(invalid(where, text, "URL scheme must be https"))
    if "@" in url.netloc:
        problems.append(invalid(where, text, "URL must not contain a username or password"))
    if url.query:
        problems.append(invalid(where, text, "URL must not contain a query"))
    if url.fragment:
        problems.append(invalid(where, text, "URL must not contain a fragment"))
    return problems


def _audiences(issuer: Issuer, parent: Path) -> list[Problem]:
    where, policy, audiences = parent.child("audiences"), issuer.audience_match_policy, issuer.audiences
    if not audiences:
        return [required(where, f"at least one {where} is required")]
    problems = []
    for position, audience in enumerate(audiences):
        if not audience:
            problems.append(required(where.index(position), "audience can't be empty"))
        if audience in audiences[:position]:
            problems.append(duplicate(where.index(position), audience))
    if len(audiences) > 1 and policy != "MatchAny":
        detail = "audienceMatchPolicy must be MatchAny for multiple audiences"
        problems.append(invalid(parent.child("audienceMatchPolicy"), policy, detail))
    if len(audiences) == 1 and policy not in ("", "MatchAny"):
        detail = "audienceMatchPolicy must be empty or MatchAny for single audience"
        problems.append(invalid(parent.child("audienceMatchPolicy"), policy, detail))
    return problems


def _has_certificates(pem: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return False
    return bool(context.cert_store_stats()["x509"])


def _claim_rules(rules: Sequence[ClaimRule], parent: Path) -> list[Problem]:
    problems: list[Problem] = []
    claims, expressions = set[str](), set[str]()
    for position, rule in enumerate(rules):
        where = parent.index(position)
        if rule.claim and rule.expression:
            problems.append(invalid(where, rule.claim, _BOTH))
        elif rule.claim:
            if rule.message:
                problems.append(invalid(where.child("message"), rule.message, "message can't be set when claim is set"))
            if rule.claim in claims:
                problems.append(duplicate(where.child("claim"), rule.claim))
            claims.add(rule.claim)
        elif rule.expression:
            if rule.required_value:
                detail = "requiredValue can't be set when expression is set"
                problems.append(invalid(where.child("requiredValue"), rule.required_value, detail))
            problems += _condition(rule.expression, "claims", expressions, where.child("expression"))
        else:
            problems.append(required(where, "claim or expression is required"))
    return problems


def _user_rules(rules: Sequence[UserRule], parent: Path) -> list[Problem]:
    problems: list[Problem] = []
    seen = set[str]()
    for position, rule in enumerate(rules):
        where = parent.index(position).child("expression")
        if rule.expression:
            problems += _condition(rule.expression, "user", seen, where)
        else:
            problems.append(required(where, "expression is required"))
    return problems


def _condition(text: str, variable: str, seen: set[str], where: Path) -> list[Problem]:
    if text in seen:
        return [duplicate(where, text)]
    seen.add(text)
    return _expression(text, variable, where, condition=True)


def _mappings(provider: JWTAuthenticator, where: Path) -> list[Problem]:
    name, uid = provider.username, provider.uid
    problems = _mapping(name, where.child("username"), needed=True)
    correct = not problems
    problems += _mapping(provider.groups, where.child("groups"), needed=False)
    if uid.claim and uid.expression:
        problems.append(invalid(where.child("uid"), "", _BOTH))
    elif uid.expression:
        problems += _expression(uid.expression, "claims", where.child("uid", "expression"))
    keys = set[str]()
    for position, mapping in enumerate(provider.extra):
        below, key = where.child("extra").index(position), mapping.key
        problems += domain_path(key, below.child("key"))
        if key != key.lower():
            problems.append(invalid(below.child("key"), key, "key must be lowercase"))
        if _is_reserved(key):
            problems.append(invalid(below.child("key"), key, _RESERVED))
        if key in keys:
            problems.append(duplicate(below.child("key"), key))
            continue
        keys.add(key)
        if mapping.expression:
            problems += _expression(mapping.expression, "claims", below.child("valueExpression"))
        else:
            problems.append(required(below.child("valueExpression"), "valueExpression is required"))
    if correct and name.expression and _names_unverified_addresses(provider):
        problems.append(invalid(where.child("username", "expression"), name.expression, _NEEDS_VERIFIED))
    return problems


def _mapping(mapping: Mapping, where: Path, *, needed: bool) -> list[Problem]:
    if mapping.expression and mapping.claim:
        return [invalid(where, "", _BOTH)]
    if mapping.expression:
        problems = []
        if mapping.prefix is not None:
            detail = "prefix can't be set when expression is set"
            problems.append(invalid(where.child("prefix"), mapping.prefix, detail))
        return problems + _expression(mapping.expression, "claims", where.child("expression"))
    if mapping.claim and mapping.prefix is None:
        detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        return [required(where.child("prefix"), detail)]
    return [required(where, "claim or expression is required")] if needed and not mapping.claim else []


def _is_reserved(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    return bool(slash) and any(domain == own or domain.endswith(f".{own}") for own in ("kubernetes.io", "k8s.io"))


def _expression(text: str, variable: str, where: Path, *, condition: bool = False) -> list[Problem]:
    from controlplane.apiserver.authn.oidc.expressions import compiled  # loads CEL

    try:
        compiled(text, variable, condition=condition)
    except ValueError as error:
        return [invalid(where, text, str(error))]
    return []


def _names_unverified_addresses(provider: JWTAuthenticator) -> bool:
    """Whether users are named by addresses that nobody need have verified. Of an expression that is wrong nothing is
    known, so that it counts for nothing."""
    from controlplane.apiserver.authn.oidc.expressions import reads

    if not reads(provider.username.expression, "email"):
        return False
    texts = [(provider.username.expression, False), *((each.expression, False) for each in provider.extra)]
    texts += [(rule.expression, True) for rule in provider.claim_rules]
    return not any(
        text and not _expression(text, "claims", Path(), condition=condition) and reads(text, "email_verified")
        for text, condition in texts
    )
