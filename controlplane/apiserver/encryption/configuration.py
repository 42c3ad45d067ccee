"""The EncryptionConfiguration file (apiserver.config.k8s.io/v1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from apimachinery.kit.clock import Clock
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.encryption.kms import Kms
from controlplane.apiserver.encryption.providers import IDENTITY, Provider, Providers
from controlplane.apiserver.encryption.validation import KINDS, Resource, resource_of, timeout_of, validate, version_of
from controlplane.apiserver.strict import Shape, decode

_KIND, _VERSION = "EncryptionConfiguration", "apiserver.config.k8s.io/v1"
_OLD_KIND, _OLD_VERSION = "EncryptionConfig", "v1"  # which a page of the documentation once said
_KEYS = {"keys": [Shape("Key", {"name": "string", "secret": "string"})]}
_PROVIDER = Shape(
    "ProviderConfiguration",
    {
        "aesgcm": Shape("AESConfiguration", _KEYS),
        "aescbc": Shape("AESConfiguration", _KEYS),
        "secretbox": Shape("SecretboxConfiguration", _KEYS),
        "identity": Shape("IdentityConfiguration", {}),
        "kms": Shape(
            "KMSConfiguration",
            {
                "apiVersion": "string",
                "name": "string",
                "cachesize": "int32",
                "endpoint": "string",
                "timeout": "duration",
            },
        ),
    },
)
_CONFIGURATION = Shape(
    "EncryptionConfiguration",
    {"resources": [Shape("ResourceConfiguration", {"resources": ["string"], "providers": [_PROVIDER]})]},
)


class Encryption(Struct, frozen=True, eq=False):
    """The providers of each resource, and the KMS plug-ins among them in the file's order."""

    resources: dict[Resource, Providers]
    plugins: tuple[Kms, ...] = ()

    @property
    def grace(self) -> float:
        """Seconds for which something may still be under way with it when another has taken its place."""
        return 2 * sum(each.timeout for each in self.plugins)

    async def start(self) -> None:
        """Ask every plug-in for the first time."""
        for each in self.plugins:
            await each.start()

    async def check(self) -> None:
        """Raises ValueError naming the plug-ins that are not well."""
        wrong = []
        for position, each in enumerate(self.plugins):
            try:
                await each.check()
            except ValueError as error:
                wrong.append(f"kms-provider-{position}: {error}")
        if wrong:
            raise ValueError(aggregate(wrong))

    async def close(self) -> None:
        """Ask nothing any more."""
        for each in self.plugins:
            await each.close()


def load(path: Path, clock: Clock) -> Encryption:
    """What the file says. Raises ValueError naming every problem, OSError, ImportError."""
    try:
        document = _document(path)
    except ValueError as error:
        raise ValueError(f"error while parsing file: {error}") from None
    try:
        return build(document, clock)
    except ValueError as error:
        raise ValueError(f"error while building transformers: {error}") from None


def _document(path: Path) -> dict[str, Any]:
    text = path.read_bytes()
    found = decode(text, _KIND, (_VERSION,), _CONFIGURATION)
    if found.wrong == [f'no kind "{_OLD_KIND}" is registered for version "{_OLD_VERSION}"']:
        found = decode(text, _OLD_KIND, (_OLD_VERSION,), _CONFIGURATION)
    if wrong := [*found.wrong, *([found.unknown] if found.unknown else [])]:
        raise ValueError(f'error decoding encryption provider configuration file "{path}": {"; ".join(wrong)}')
    document = found.fields
    problems = validate(document)
    if problems:
        raise ValueError(aggregate(problems))
    return document


def build(document: Mapping[str, Any], clock: Clock) -> Encryption:
    """The providers that a valid document spells; those of several rules about one resource add up. Raises
    ValueError."""
    found: dict[Resource, list[Provider]] = {}
    plugins: list[Kms] = []
    for rule in document["resources"]:
        providers = [each for entry in rule["providers"] for each in _providers(entry, clock, plugins)]
        for name in rule["resources"]:
            resource = resource_of(name)
            for wider in ((resource[0], "*"), ("*", "*")):
                if wider != resource and wider in found:
                    raise ValueError(f'resource "{name}" is masked by earlier rule "{wider[1]}.{wider[0]}"')
            found.setdefault(resource, []).extend(providers)
    return Encryption(
        {resource: Providers(providers, _named(resource)) for resource, providers in found.items()}, tuple(plugins)
    )


def _named(resource: Resource) -> str:
    group, plural = resource
    return f"{plural}.{group}" if group else plural


def _providers(entry: Mapping[str, Any], clock: Clock, plugins: list[Kms]) -> list[Provider]:
    ((kind, about),) = ((kind, about) for kind, about in entry.items() if kind in KINDS)
    if kind == "identity":
        return [IDENTITY]
    if kind == "kms":
        if version_of(about) == "v1":
            told = "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead."
            raise ValueError(told)  # as upstream without the gate KMSv1, which opens nothing here
        plugins.append(Kms(about["name"], about["endpoint"], timeout_of(about), clock))
        return [Provider(plugins[-1].prefix, plugins[-1])]
    return [Provider.of(kind, key["name"], base64.b64decode(key["secret"])) for key in about["keys"]]
