"""Credentials that programs of the node's owner know, asked for an image and kept as long as they say: KEP-2133.

The protocol is credentialprovider.kubelet.k8s.io/v1: a CredentialProviderRequest on standard input, the response on
standard output. What fails is logged, and the image is pulled without (pkg/credentialprovider/plugin/plugin.go).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apimachinery.kit.clock import Clock
from apimachinery.kit.commands import CommandError, CommandTimeout, run
from apimachinery.meta.times import parse_duration
from nodeagent.kubelet import observed
from nodeagent.kubelet.credential_config import Provider
from nodeagent.kubelet.credentials import Auths, repository, within

log = logging.getLogger(__name__)

_TIMEOUT = 60.0
_GLOBAL = "global"


class PluginFailed(Exception):
    """The plug-in did not give an answer that counts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """cache: seconds, or None for the provider's default. key: Image, Registry or Global."""

    auths: Auths
    key: str
    cache: float | None


class CredentialPlugins:
    """All plug-ins, in the order of their configuration. folder: where their executables are."""

    def __init__(self, providers: Sequence[Provider], folder: Path, clock: Clock) -> None:
        self._plugins = [_Plugin(provider, folder, clock) for provider in providers]

    async def auths(self, image: str) -> list[Auths]:
        """What the plug-ins that match an image reference know, one after the other. Never raises."""
        name = repository(image)
        return [await plugin.auths(name) for plugin in self._plugins if plugin.matches(name)]


@dataclass(slots=True)
class _Plugin:
    provider: Provider
    folder: Path
    clock: Clock
    _held: dict[str, tuple[Auths, float]] = field(default_factory=dict)
    _asked: dict[str, asyncio.Task[Answer]] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        place, _, path = name.partition("/")
        return any(within(glob, place, path) for glob in self.provider.match_images)

    async def auths(self, name: str) -> Auths:
        """From what is held, or from the program, which is run once for those who ask for one image at a time."""
        held = self._look(name)
        if held is not None:
            return held
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = asyncio.create_task(self._ask(name))
            asked.add_done_callback(lambda done: self._ended(name, done))
        try:
            # One who is cancelled does not take the answer from the others.
            answer = await asyncio.shield(asked)
        except PluginFailed as error:
            log.error("Failed getting credential from external registry credential provider: %s", error)
            return {}
        self._keep(name, answer)
        return answer.auths

    def _ended(self, name: str, done: asyncio.Task[Answer]) -> None:
        del self._asked[name]
        if not done.cancelled():
            done.exception()  # seen, also when everybody who waited has been cancelled

    def _look(self, name: str) -> Auths | None:
        now = self.clock.monotonic()
        self._held = {key: entry for key, entry in self._held.items() if entry[1] >= now}
        for key in (name, _registry(name), _GLOBAL):
            if key in self._held:
                return self._held[key][0]
        return None

    def _keep(self, name: str, answer: Answer) -> None:
        seconds = self.provider.cache if answer.cache is None else answer.cache
        if seconds > 0:
            key = {"Image": name, "Registry": _registry(name), "Global": _GLOBAL}[answer.key]
            self._held[key] = answer.auths, self.clock.monotonic() + seconds

    async def _ask(self, name: str) -> Answer:
        """Raises PluginFailed."""
        provider, began = self.provider, self.clock.monotonic()
        request = {"kind": "CredentialProviderRequest", "apiVersion": provider.api_version, "image": name}
        failure = f"error execing credential provider plugin {provider.name} for image {name}"
        problem = ""
        try:
            done = await run(
                str(self.folder / provider.name),
                *provider.args,
                input=json.dumps(request).encode(),
                timeout=_TIMEOUT,
                env={**os.environ, **(provider.env or {})},
                check=False,
            )
            if done.code:
                status = f"exit status {done.code}" if done.code > 0 else f"signal {-done.code}"
                problem = f"{failure}: {status}: {done.stderr.decode(errors='replace')}"
        except CommandTimeout:
            problem = f"{failure}: context deadline exceeded: "
        except (CommandError, OSError) as error:
            problem = f"{failure}: {error}: "
        observed.credential_plugin_ran(provider.name, self.clock.monotonic() - began, failed=bool(problem))
        if problem:
            raise PluginFailed(problem)
        return read_answer(done.stdout, provider.api_version)


def _registry(name: str) -> str:
    return name.partition("/")[0]


def read_answer(text: bytes, api_version: str) -> Answer:
    """A CredentialProviderResponse. Raises PluginFailed, whose text never holds any of what was answered."""
    try:
        document = json.loads(text)
    except ValueError:
        raise PluginFailed("error reading GVK from response: couldn't get version/kind; json parse error") from None
    if not isinstance(document, dict):
        raise PluginFailed("error reading GVK from response: couldn't get version/kind; json parse error")
    actual = document.get("apiVersion", "")
    if actual != api_version:
        raise PluginFailed(
            "apiVersion from credential plugin response did not match expected apiVersion:"
            f"{api_version}, actual apiVersion:{actual}"
        )
    try:
        return _decode(document)
    except (ValueError, TypeError):
        raise PluginFailed("error decoding credential provider plugin response from stdout") from None


def _decode(document: Mapping[str, Any]) -> Answer:
    """Strictly. Raises ValueError; PluginFailed for a key type that there is not."""
    known = {"kind", "apiVersion", "cacheKeyType", "cacheDuration", "auth"}
    auth = document.get("auth")
    auth = {} if auth is None else auth
    if document.get("kind") != "CredentialProviderResponse" or not document.keys() <= known or not _entries(auth):
        raise ValueError
    key, cache = document.get("cacheKeyType", ""), document.get("cacheDuration")
    if key not in ("Image", "Registry", "Global"):
        raise PluginFailed(f'credential provider plugin did not return a valid cacheKeyType: "{key}"')
    found = {place: (entry.get("username", ""), entry.get("password", "")) for place, entry in auth.items()}
    return Answer(found, key, None if cache is None else parse_duration(cache))


def _entries(auth: Any) -> bool:
    return isinstance(auth, dict) and all(
        isinstance(entry, dict)
        and entry.keys() <= {"username", "password"}
        and all(isinstance(text, str) for text in entry.values())
        for entry in auth.values()
    )
