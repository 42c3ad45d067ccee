"""What is wrong with an EncryptionConfiguration, in upstream's words (apis/apiserver/validation)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from apimachinery.meta import paths as fields
from apimachinery.meta import times
from controlplane.apiserver.encryption.providers import CIPHERS

KINDS = ("secretbox", "aesgcm", "aescbc", "identity", "kms")
"""Of providers."""
_LENGTHS = {"secretbox": (32,), "aesgcm": (16, 24, 32), "aescbc": (16, 24, 32)}
_NO_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_KMS_TIMEOUT = 3.0  # seconds

Resource = tuple[str, str]
"""(group, plural); "*" for any."""


def resource_of(name: str) -> Resource:
    """As a rule names it: `secrets`, `deployments.apps`, `*.`, `*.*`."""
    plural, _, group = name.partition(".")
    return group, plural


def version_of(about: Mapping[str, Any]) -> str:
    """Of the protocol of a KMS plug-in; the first when it says nothing."""
    return str(about.get("apiVersion") or "v1")


def timeout_of(about: Mapping[str, Any]) -> float:
    """Seconds that a call of a KMS plug-in may take."""
    return float(about.get("timeout", _KMS_TIMEOUT))


def validate(document: Mapping[str, Any]) -> list[fields.Problem]:
    """What is wrong with a configuration, in upstream's words."""
    root = fields.Path("resources")
    rules = document.get("resources") or []
    problems = [] if rules else [fields.required(root, "at least one resources is required")]
    names_of_plugins: set[str] = set()
    for position, rule in enumerate(rules):
        names, providers = root.index(position).child("resources"), root.index(position).child("providers")
        resources: list[str] = rule.get("resources") or []
        if not resources:
            problems.append(fields.required(names, f"at least one {names} is required"))
        problems += _overlaps(resources, names)
        problems += [each for at, name in enumerate(resources) for each in _name(name, names.index(at))]
        if not rule.get("providers"):
            problems.append(fields.required(providers, f"at least one {providers} is required"))
        for at, entry in enumerate(rule.get("providers") or ()):
            problems += _entry(entry, providers.index(at), names_of_plugins)
    return problems


def _overlaps(names: Sequence[str], where: fields.Path) -> list[fields.Problem]:
    resources, problems = [resource_of(name) for name in names], []
    if len(set(resources)) < len(resources):
        detail = "the same resource cannot be specified multiple times"
        problems.append(fields.invalid(where, names, detail))
    different = set(resources)
    groups = [group for group, _ in different]
    wide = any(plural == "*" and (groups.count(group) > 1 or group == "*") for group, plural in different)
    if len(different) > 1 and wide:
        detail = (
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they "
            "will be masked"
        )
        problems.append(fields.invalid(where, names, detail))
    return problems


def _name(name: str, where: fields.Path) -> list[fields.Problem]:
    group, plural = resource_of(name)
    detail = ""
    if name != name.lower():
        detail = "resource name should not contain capital letters"
    elif name == "*":
        detail = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    elif name in _NO_API:
        detail = "resources which do not have REST API/s cannot be encrypted"
    elif group == "events.k8s.io":
        detail = (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the "
            "config file"
        )
    elif group == "extensions":
        detail = "'extensions' group has been removed and cannot be used for encryption"
    elif group == "*" and plural != "*":
        detail = "encrypting the same resource across groups is not supported"
    return [fields.invalid(where, name, detail)] if detail else []


def _entry(entry: Any, where: fields.Path, plugins: set[str]) -> list[fields.Problem]:
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and entry.get(kind) is not None]
    if not kinds:
        detail = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
        return [fields.invalid(where, entry, detail)]
    if len(kinds) > 1:
        detail = "more than one provider specified in a single element, should split into different list elements"
        return [fields.invalid(where, kinds, detail)]
    (kind,) = kinds
    if kind == "kms":
        return _plugin(entry[kind], where.child(kind), plugins)
    if kind not in CIPHERS:
        return []
    keys, path = (entry[kind] or {}).get("keys") or [], where.child(kind).child("keys")
    if not keys:
        return [fields.required(path, "at least one keys is required")]
    return [problem for at, key in enumerate(keys) for problem in _key(key, path.index(at), _LENGTHS[kind])]


def _plugin(about: Mapping[str, Any], where: fields.Path, others: set[str]) -> list[fields.Problem]:
    """others: the names of those before, to which this one's is added."""
    name, version, endpoint = about.get("name") or "", version_of(about), about.get("endpoint") or ""
    problems = [] if name else [fields.required(where.child("name"), "name is a mandatory field for a provider")]
    if version != "v1" and ":" in name:
        detail = f"invalid KMS provider name {name}, must not contain ':'"
        problems.append(fields.invalid(where.child("name"), name, detail))
    if version != "v1" and name in others:
        detail = f"duplicate KMS provider name {name}, names must be unique"
        problems.append(fields.invalid(where.child("name"), name, detail))
    others.add(name)
    if (seconds := timeout_of(about)) <= 0:
        detail = "timeout should be a positive value"
        problems.append(fields.invalid(where.child("timeout"), times.format_duration(seconds), detail))
    scheme = urlsplit(endpoint).scheme
    if not endpoint:
        detail = "endpoint is a mandatory field for a kms"
        problems.append(fields.invalid(where.child("endpoint"), "", detail))
    elif scheme != "unix":
        detail = f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        problems.append(fields.invalid(where.child("endpoint"), endpoint, detail))
    if version != "v1" and about.get("cachesize") is not None:
        problems.append(
            fields.invalid(where.child("cachesize"), about["cachesize"], "cachesize is not supported in v2")
        )
    if version not in ("v1", "v2"):
        detail = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        problems.append(fields.invalid(where.child("apiVersion"), version, detail))
    return problems


def _key(key: Mapping[str, Any], where: fields.Path, lengths: tuple[int, ...]) -> list[fields.Problem]:
    problems = []
    if not key.get("name"):
        problems.append(fields.required(where.child("name"), "name is a mandatory field for a key"))
    secret = where.child("secret")
    if not key.get("secret"):
        return [*problems, fields.required(secret, "secret is a mandatory field for a key")]
    try:
        held = base64.b64decode(key["secret"], validate=True)
    except (binascii.Error, ValueError):
        return [*problems, fields.invalid(secret, "REDACTED", "secrets must be base64 encoded")]
    if len(held) not in lengths:
        wanted = " ".join(str(length) for length in lengths)
        detail = f"secret is not of the expected length, got {len(held)}, expected one of [{wanted}]"
        problems.append(fields.invalid(secret, "REDACTED", detail))
    return problems
