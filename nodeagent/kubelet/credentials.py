"""Which credentials are for an image: pull secrets and the node's own docker configuration (pkg/credentialprovider).

A key of `auths` is a registry, with a path perhaps, and with `*` and `?` inside the parts of its host name.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodeagent.cri import messages as cri
from nodeagent.kubelet.objects import ApiAway, ObjectStore
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.volumes.payload import secret_data

log = logging.getLogger(__name__)

_DEFAULT_REGISTRY = "index.docker.io"


Auths = Mapping[str, tuple[str, str]]
"""Place → (user, password)."""


def credentials(
    image: str, secrets: Sequence[Mapping[str, Any]], files: Sequence[Path] = (), plugins: Sequence[Auths] = ()
) -> list[cri.AuthConfig]:
    """What may be shown to the registry of `image`: of the secrets, of the node's files, of its plug-ins; of each the
    most particular first.

    files: docker configuration files (`config.json`); one that is not there holds nothing.
    """
    found: dict[tuple[str, str], cri.AuthConfig] = {}
    for source in (_of_secrets(secrets), _of_files(files), plugins):
        for user, password in _lookup(image, source):
            found.setdefault((user, password), cri.AuthConfig(username=user, password=password))
    return list(found.values())


def _lookup(image: str, source: Iterable[Auths]) -> Iterator[tuple[str, str]]:
    """Those for an image, the most particular place first; of one place in the order they are given."""
    by_place: dict[str, list[tuple[str, str]]] = {}
    for auths in source:
        for key, entry in auths.items():
            by_place.setdefault(_place(key), []).append(entry)
    for place in sorted(by_place, reverse=True):
        if matches(place, image):
            yield from by_place[place]


def _of_secrets(secrets: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, tuple[str, str]]]:
    for secret in secrets:
        data = secret_data(secret)
        for name in (".dockerconfigjson", ".dockercfg"):
            if data.get(name):
                yield _entries(data[name], secret.get("metadata", {}).get("name", ""))


def _of_files(files: Sequence[Path]) -> Iterator[dict[str, tuple[str, str]]]:
    for file in files:
        try:
            yield _entries(file.read_bytes(), str(file))
        except OSError:
            continue


def _entries(text: bytes, source: str) -> dict[str, tuple[str, str]]:
    """`auths` of a configuration, or the older form, which is `auths` alone. What cannot be read is left out."""
    found: dict[str, tuple[str, str]] = {}
    try:
        document = json.loads(text)
        auths = document.get("auths", document)
        for key, entry in auths.items():
            user, password = entry.get("username", ""), entry.get("password", "")
            if entry.get("auth"):
                user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            found[key] = user, password
    except (ValueError, binascii.Error, AttributeError, TypeError) as error:
        log.error("Unable to read registry credentials of %s: %s", source, error)
    return found


def _place(key: str) -> str:
    """`https://host/v1/path` is the place `host/path`."""
    host, _, path = key.partition("://")[2].partition("/") if "://" in key else key.partition("/")
    for version in ("v1", "v2"):
        if path == version or path.startswith(f"{version}/"):
            path = path[len(version) :].lstrip("/")
    return f"{host}/{path.rstrip('/')}" if path.rstrip("/") else host


def matches(key: str, image: str) -> bool:
    """Whether a place of a configuration holds the image."""
    place, slash, path = key.partition("/")
    if place == "docker.io":
        place = _DEFAULT_REGISTRY
    return within(f"{place}{slash}{path}", *_split(image))


def within(glob: str, registry: str, repository: str) -> bool:
    """Whether a glob holds a repository: the same host, part by part, the same port, and a prefix of the path."""
    place, _, path = glob.partition("/")
    host, _, port = place.partition(":")
    wanted, _, wanted_port = registry.partition(":")
    parts, wanted_parts = host.split("."), wanted.split(".")
    return (
        port == wanted_port
        and len(parts) == len(wanted_parts)
        and all(fnmatch.fnmatchcase(there, here) for here, there in zip(parts, wanted_parts, strict=True))
        and repository.startswith(path)
    )


def repository(image: str) -> str:
    """An image reference in full, without tag and digest: `nginx:1` is `docker.io/library/nginx`."""
    registry, path = _split(image.partition("@")[0])
    if registry == _DEFAULT_REGISTRY:
        registry, path = "docker.io", path if "/" in path else f"library/{path}"
    head, slash, last = path.rpartition("/")
    return f"{registry}/{head}{slash}{last.partition(':')[0]}"


def _split(image: str) -> tuple[str, str]:
    """(registry, repository) of a reference; docker.io's is called index.docker.io in configurations."""
    first, slash, rest = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return _DEFAULT_REGISTRY, image
    return (_DEFAULT_REGISTRY if first == "docker.io" else first), rest


async def pull_secrets(store: ObjectStore, pod: Pod) -> tuple[list[Mapping[str, Any]], list[str]]:
    """(the Secrets of the pod's imagePullSecrets, the names of those that are not to be had)."""
    secrets, missing = list[Mapping[str, Any]](), list[str]()
    for reference in pod["spec"].get("imagePullSecrets") or ():
        try:
            found = await store.latest("secret", pod["metadata"]["namespace"], reference.get("name", ""))
        except ApiAway:
            found = None
        if found is not None:
            secrets.append(found)
        else:
            missing.append(reference.get("name", ""))
    return secrets, missing
