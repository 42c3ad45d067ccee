"""Checks of values that several groups share: conditions, qualified domains, load balancer addresses."""

import re
from typing import Any

from apimachinery.api.validation.checks import (
    Object,
    dns_subdomain,
    ip,
    qualified_name,
    sentences,
)
from apimachinery.meta import names
from apimachinery.meta.addresses import parse_ip
from apimachinery.meta.paths import Path, Problem, duplicate, forbidden, invalid, not_supported, required, too_long

_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_HTTP_PATH = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"
_STATUSES = ("False", "True", "Unknown")
_MAX_REASON = 1024
_MAX_MESSAGE = 32 * 1024
_IP_MODES = ("Proxy", "VIP")


def conditions(found: list[dict[str, Any]], path: Path) -> list[Problem]:
    """A list of metav1.Condition: unique types, all fields set (apimachinery/pkg/apis/meta/v1/validation)."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, condition in enumerate(found):
        where, kind = path.index(position), condition.get("type", "")
        if kind in seen:
            problems.append(duplicate(where.child("type"), kind))
        seen.add(kind)
        problems += qualified_name(kind, where.child("type"))
        if condition.get("status") not in _STATUSES:
            problems.append(not_supported(where.child("status"), condition.get("status", ""), _STATUSES))
        generation = condition.get("observedGeneration") or 0
        if generation < 0:
            text = "must be greater than or equal to zero"
            problems.append(invalid(where.child("observedGeneration"), generation, text))
        if not condition.get("lastTransitionTime"):
            problems.append(required(where.child("lastTransitionTime"), "must be set"))
        problems += _reason(condition.get("reason", ""), where.child("reason"))
        if len(condition.get("message", "").encode()) > _MAX_MESSAGE:
            problems.append(too_long(where.child("message"), _MAX_MESSAGE))
    return problems


def _reason(text: str, path: Path) -> list[Problem]:
    if not text:
        return [required(path, "must be set")]
    problems: list[Problem] = []
    if not re.fullmatch(_REASON, text):
        sentence = (
            "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
            "characters or '_,:', and must end with an alphanumeric character or '_'"
        )
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        problems.append(invalid(path, text, names.regex_error(sentence, _REASON, *examples)))
    if len(text.encode()) > _MAX_REASON:
        problems.append(too_long(path, _MAX_REASON))
    return problems


def domain_path(text: str, path: Path) -> list[Problem]:
    """A domain and a path below it, such as acme.io/foo."""
    if not text:
        return [required(path)]
    host, _, below = text.partition("/")
    if not host or not below:
        return [invalid(path, text, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    problems = dns_subdomain(host, path)
    if not re.fullmatch(_HTTP_PATH, below):
        problems.append(invalid(path, below, names.regex_error("Invalid path", _HTTP_PATH)))
    return problems


def fully_qualified_name(text: str, path: Path) -> list[Problem]:
    """A domain of at least three segments (names of webhooks)."""
    if not text:
        return [required(path)]
    if wrong := names.dns1123_subdomain(text):
        return [invalid(path, text, ",".join(wrong))]
    if text.count(".") < 2:
        return [invalid(path, text, "should be a domain with at least three segments separated by dots")]
    return []


def domain_name(text: str, path: Path) -> list[Problem]:
    """A domain of at least two segments (validation.IsFullyQualifiedDomainName)."""
    if not text:
        return [required(path)]
    text = text.removesuffix(".")
    if wrong := names.dns1123_subdomain(text):
        return [invalid(path, text, ",".join(wrong))]
    if "." not in text:
        return [invalid(path, text, "should be a domain with at least two segments separated by dots")]
    for label in text.split("."):
        if wrong := names.dns1123_label(label):
            return [invalid(path, label, ",".join(wrong))]
    return []


def load_balancer_ingress(found: list[dict[str, Any]], path: Path, *, modes: bool = False) -> list[Problem]:
    """What a load balancer reports. modes: whether its addresses must say their ipMode (Services)."""
    problems: list[Problem] = []
    for position, ingress in enumerate(found):
        where, address, host = path.index(position), ingress.get("ip", ""), ingress.get("hostname", "")
        if address:
            problems += ip(address, where.child("ip"))
        if modes:
            problems += _ip_mode(ingress.get("ipMode"), address, where.child("ipMode"))
        if host:
            problems += sentences(names.dns1123_subdomain(host), host, where.child("hostname"))
            if parse_ip(host) is not None:
                problems.append(invalid(where.child("hostname"), host, "must be a DNS name, not an IP address"))
    return problems


def _ip_mode(mode: str | None, address: str, path: Path) -> list[Problem]:
    if mode is None:
        return [required(path, "must be specified when `ip` is set")] if address else []
    if not address:
        return [forbidden(path, "may not be specified when `ip` is not set")]
    return [] if mode in _IP_MODES else [not_supported(path, mode, _IP_MODES)]


def token_requests(found: list[Object], path: Path) -> list[Problem]:
    """Audiences, each once, and how long their tokens live: ten minutes at least."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, request in enumerate(found):
        where, audience = path.index(position), request.get("audience", "")
        if audience in seen:
            problems.append(duplicate(where.child("audience"), audience))
            continue
        seen.add(audience)
        if request.get("expirationSeconds") is not None:
            problems += token_seconds(request["expirationSeconds"], where.child("expirationSeconds"))
    return problems


def token_seconds(seconds: int, path: Path) -> list[Problem]:
    """How long a token shall live."""
    if seconds < 600:
        return [invalid(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > 1 << 32:
        return [invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
