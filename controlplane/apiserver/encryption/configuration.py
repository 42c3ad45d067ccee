"""The EncryptionConfiguration file (apiserver.config.k8s.io/v1)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apimachinery.meta import paths as fields
from controlplane.apiserver.encryption.providers import CIPHERS, IDENTITY, Provider, Providers

_VERSIONS = ("apiserver.config.k8s.io/v1", "v1")
_KINDS = ("secretbox", "aesgcm", "aescbc", "identity")
_LENGTHS = {"secretbox": (32,), "aesgcm": (16, 24, 32), "aescbc": (16, 24, 32)}
_NO_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")

Resource = tuple[str, str]
"""(group, plural); "*" for any."""


def load(path: Path) -> dict[Resource, Providers]:
    """Which providers each resource has. Raises ValueError naming every problem, OSError."""
    import yaml  # costs a server without encryption nothing

    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"error decoding encryption provider configuration file {str(path)!r}: {error}") from None
    if not isinstance(document, dict) or document.get("kind") != "EncryptionConfiguration":
        raise ValueError(f"{path}: not an EncryptionConfiguration")
    if document.get("apiVersion") not in _VERSIONS:
        raise ValueError(f"{path}: not of {_VERSIONS[0]}")
    problems = validate(document)
    if problems:
        raise ValueError("; ".join(str(problem) for problem in problems))
    return build(document)


def build(document: Mapping[str, Any]) -> dict[Resource, Providers]:
    """The providers that a valid document spells; those of several rules about one resource add up."""
    found: dict[Resource, list[Provider]] = {}
    for rule in document["resources"]:
        providers = [each for entry in rule["providers"] for each in _providers(entry)]
        for name in rule["resources"]:
            resource = _resource(name)
            for wider in ((resource[0], "*"), ("*", "*")):
                if wider != resource and wider in found:
                    raise ValueError(f'resource "{name}" is masked by earlier rule "{wider[1]}.{wider[0]}"')
            found.setdefault(resource, []).extend(providers)
    return {resource: Providers(providers) for resource, providers in found.items()}


def _resource(name: str) -> Resource:
    plural, _, group = name.partition(".")
    return group, plural


def _providers(entry: Mapping[str, Any]) -> list[Provider]:
    ((kind, about),) = ((kind, about) for kind, about in entry.items() if kind in _KINDS)
    if kind == "identity":
        return [IDENTITY]
    return [Provider.of(kind, key["name"], base64.b64decode(key["secret"])) for key in about["keys"]]


def validate(document: Mapping[str, Any]) -> list[fields.Problem]:
    """What is wrong with a configuration, in upstream's words."""
    root = fields.Path("resources")
    rules = document.get("resources") or []
    problems = [] if rules else [fields.required(root, "at least one resources is required")]
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
            problems += _entry(entry, providers.index(at))
    return problems


def _overlaps(names: Sequence[str], where: fields.Path) -> list[fields.Problem]:
    resources, problems = [_resource(name) for name in names], []
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
    group, plural = _resource(name)
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


def _entry(entry: Any, where: fields.Path) -> list[fields.Problem]:
    kinds = [kind for kind in (*_KINDS, "kms") if isinstance(entry, dict) and entry.get(kind) is not None]
    if not kinds:
        detail = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
        return [fields.invalid(where, entry, detail)]
    if len(kinds) > 1:
        detail = "more than one provider specified in a single element, should split into different list elements"
        return [fields.invalid(where, kinds, detail)]
    (kind,) = kinds
    if kind == "kms":
        return [fields.forbidden(where.child("kms"), "this server has no KMS providers")]
    if kind not in CIPHERS:
        return []
    keys, path = (entry[kind] or {}).get("keys") or [], where.child(kind).child("keys")
    if not keys:
        return [fields.required(path, "at least one keys is required")]
    return [problem for at, key in enumerate(keys) for problem in _key(key, path.index(at), _LENGTHS[kind])]


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
