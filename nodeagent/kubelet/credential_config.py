"""CredentialProviderConfig (kubelet.config.k8s.io/v1, KEP-2133): which plug-in is asked for which images; pure but for
reading the file.

Rules and sentences are those of pkg/credentialprovider/plugin/config.go (1.32).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from apimachinery.kit.config import Problems
from apimachinery.meta import paths
from apimachinery.meta.times import parse_duration
from apimachinery.meta.yaml_text import BadYaml, load

API_VERSIONS = tuple(f"credentialprovider.kubelet.k8s.io/{version}" for version in ("v1", "v1alpha1", "v1beta1"))
_GROUP = "kubelet.config.k8s.io"
_VERSIONS = tuple(f"{_GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_FIELDS = {
    "name": str,
    "matchImages": list,
    "defaultCacheDuration": str,
    "apiVersion": str,
    "args": list,
    "env": list,
}
_PROVIDERS = paths.Path("providers")
_WHERE = "failed to register CredentialProvider plugins"


@dataclass(frozen=True, slots=True)
class Provider:
    """One plug-in. cache: seconds that an answer is good for which does not say so itself."""

    name: str
    match_images: tuple[str, ...]
    cache: float
    api_version: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None


def read_providers(file: Path | None, folder: Path | None, problems: Problems) -> list[Provider]:
    """The plug-ins of a configuration file whose executables are in `folder`. What is wrong goes to `problems`."""
    if folder is None or not folder.exists():
        problems.add(_WHERE, f"plugin binary directory {folder or ''} did not exist")
        return []
    try:
        document = _read(file)
    except (OSError, ValueError) as error:
        problems.add(_WHERE, " ".join(str(error).split()))
        return []
    found = document.get("providers") or []
    if wrong := list(_check(found)):
        problems.add(_WHERE, f"failed to validate credential provider config: {paths.aggregate(wrong)}")
        return []
    providers = [_provider(entry) for entry in found]
    for provider in providers:
        if not os.access(folder / provider.name, os.X_OK) or not (folder / provider.name).is_file():
            problems.add(_WHERE, f"plugin binary executable {folder / provider.name} did not exist")
    return providers


def _read(file: Path | None) -> dict[str, Any]:
    """Raises OSError, ValueError."""
    if file is None:
        raise ValueError("credential provider config path is empty")
    where = f"error decoding config {file}"
    try:
        document = load(file.read_bytes())
    except OSError as error:
        text = f'unable to read external registry credential provider configuration from "{file}": {error.strerror}'
        raise ValueError(text) from None
    except BadYaml as error:
        raise ValueError(f"{where}: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{where}: Object 'Kind' is missing")
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind != "CredentialProviderConfig":
        raise ValueError(f'{where}: failed to decode "{kind}" (wrong Kind)')
    if version not in _VERSIONS:
        raise ValueError(f"{where}: failed to decode CredentialProviderConfig, unexpected Group: {version}")
    if unknown := list(_unknown(document)):
        told = ", ".join(f'unknown field "{field}"' for field in unknown)
        raise ValueError(f"{where}: strict decoding error: {told}")
    if wrong := next(_mistyped(document.get("providers") or []), ""):
        raise ValueError(f"{where}: {wrong}")
    return document


def _unknown(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in document if key not in ("apiVersion", "kind", "providers"))
    providers = document.get("providers")
    for place, entry in enumerate(providers if isinstance(providers, list) else ()):
        if isinstance(entry, dict):
            yield from (f"providers[{place}].{key}" for key in entry if key not in _FIELDS)


def _mistyped(providers: Any) -> Iterator[str]:
    """What cannot be decoded, in Go's words."""
    if not isinstance(providers, list):
        yield _cannot("providers", "[]v1.CredentialProvider")
        return
    for entry in providers:
        if not isinstance(entry, dict):
            yield _cannot("providers", "v1.CredentialProvider")
            continue
        for name, kind in _FIELDS.items():
            held = entry.get(name)
            if held is not None and not isinstance(held, kind):
                yield _cannot(f"providers.{name}", "[]string" if kind is list else "string")
        for name in ("matchImages", "args"):
            if any(not isinstance(each, str) for each in entry.get(name) or ()):
                yield _cannot(f"providers.{name}", "string")
        for each in entry.get("env") or ():
            if not isinstance(each, dict) or not {"name", "value"} >= each.keys():
                yield _cannot("providers.env", "v1.ExecEnvVar")
        if isinstance(entry.get("defaultCacheDuration"), str):
            try:
                parse_duration(entry["defaultCacheDuration"])
            except ValueError as error:
                yield str(error)


def _cannot(field: str, kind: str) -> str:
    return f"json: cannot unmarshal into Go struct field CredentialProviderConfig.{field} of type {kind}"


def _check(providers: list[dict[str, Any]]) -> Iterator[paths.Problem]:
    if not providers:
        yield paths.required(_PROVIDERS, "at least 1 item in plugins is required")
    seen = set[str]()
    for entry in providers:
        name = entry.get("name") or ""
        yield from _check_name(name)
        if name in seen:
            yield paths.duplicate(_PROVIDERS.child("name"), name)
        seen.add(name)
        version = entry.get("apiVersion") or ""
        if not version:
            yield paths.required(_PROVIDERS.child("apiVersion"))
        elif version not in API_VERSIONS:
            yield paths.not_supported(_PROVIDERS.child("apiVersion"), version, API_VERSIONS)
        images = entry.get("matchImages") or []
        if not images:
            yield paths.required(_PROVIDERS.child("matchImages"), "at least 1 item in matchImages is required")
        for image in images:
            if problem := _not_a_place(image):
                yield paths.invalid(_PROVIDERS.child("matchImages"), image, f"match image is invalid: {problem}")
        where, cache = _PROVIDERS.child("defaultCacheDuration"), entry.get("defaultCacheDuration")
        if cache is None:
            yield paths.required(where)
        elif parse_duration(cache) < 0:
            yield paths.invalid(where, cache, "defaultCacheDuration must be greater than or equal to 0")


def _check_name(name: str) -> Iterator[paths.Problem]:
    where = _PROVIDERS.child("name")
    if "/" in name:
        yield paths.invalid(where, name, "provider name cannot contain '/'")
    if " " in name:
        yield paths.invalid(where, name, "provider name cannot contain spaces")
    if name in (".", ".."):
        yield paths.invalid(where, name, f"provider name cannot be '{name}'")


def _not_a_place(image: str) -> str:
    """Why `image` is no URL without its scheme; "" when it is one."""
    host = image.partition("/")[0]
    if bad := next((letter for letter in host if letter in " <>\"'`{}|\\^%" or ord(letter) < 33), ""):
        return f'parse "https://{image}": invalid character "{bad}" in host name'
    try:
        _ = urlsplit(f"https://{image}").port
    except ValueError:
        return f'parse "https://{image}": invalid port ":{host.partition(":")[2]}" after host'
    return ""


def _provider(entry: Mapping[str, Any]) -> Provider:
    return Provider(
        name=entry.get("name") or "",
        match_images=tuple(entry["matchImages"]),
        cache=parse_duration(entry["defaultCacheDuration"]),
        api_version=entry["apiVersion"],
        args=tuple(entry.get("args") or ()),
        env={each.get("name", ""): each.get("value", "") for each in entry.get("env") or ()},
    )
