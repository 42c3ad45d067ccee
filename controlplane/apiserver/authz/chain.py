"""The authorizers as configured, and as --authorization-config says whenever it changes (pkg/kubeapiserver/authorizer:
reload.go)."""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery.kit.clock import Clock
from apimachinery.kit.config import ConfigError
from apimachinery.kit.metrics import Counter, Gauge
from controlplane.apiserver.authz.attributes import Authorizer
from controlplane.apiserver.authz.configuration import AuthorizerSettings, ConfigurationFile, Settings, parse
from controlplane.apiserver.authz.union import Named, Union

if TYPE_CHECKING:
    from controlplane.apiserver.authz.webhook import WebhookAuthorizer

log = logging.getLogger(__name__)

_LOOK, _EVERY = 1.0, 60.0
"""Seconds between two looks at the file's times, and after which it is read all the same."""
_PREFIX = "apiserver_authorization_config_controller_automatic_reload"
_RELOADS = Counter(f"{_PREFIX}s_total", "Reloads of the authorization configuration", ["status", "apiserver_id_hash"])
_LAST = Gauge(f"{_PREFIX}_last_timestamp_seconds", "When it was last reloaded", ["status", "apiserver_id_hash"])


class Chain:
    """`union` asks them in turn. makers: what makes an authorizer of each type that is no webhook and that was there at
    the start."""

    def __init__(self, settings: Settings, makers: Mapping[str, Callable[[], Authorizer]], clock: Clock) -> None:
        """Raises ConfigError for a webhook's kubeconfig file that cannot be read."""
        self._required = frozenset(each.type for each in settings) - {"Webhook"}
        # Those that hold nothing may come later; Node and RBAC follow the store from the start or not at all.
        self._made = {kind: makers[kind]() for kind in {*self._required, "AlwaysAllow", "AlwaysDeny"}}
        self._clock, self._settings = clock, settings
        self._webhooks: list[WebhookAuthorizer] = []
        self.union = Union(self._build(settings))

    @property
    def asks_webhooks(self) -> bool:
        """Whether a webhook is among them now."""
        return bool(self._webhooks)

    async def close(self) -> None:
        """End the webhooks' connections."""
        for each in self._webhooks:
            await each.reviews.close()

    async def follow(self, file: ConfigurationFile) -> None:
        """For ever: use what the file says whenever it changes. A file that is wrong changes nothing, and is told in
        the log. file: as it was read when the chain was made."""
        seen: tuple[int, int, int] | None = (0, 0, 0)
        read, next_read = file.text, 0.0
        while True:
            now = self._clock.monotonic()
            if (found := _look(file.path)) != seen or now >= next_read:
                seen, next_read = found, now + _EVERY
                read = await self.look(file.path, read)
            await self._clock.sleep(_LOOK)

    async def look(self, file: Path, read: bytes) -> bytes:
        """Use what the file says if that is something new; what it says. read: what it said before."""
        try:
            text = file.read_bytes()
        except OSError as error:
            self._failed([f"{file}: {error.strerror}"])
            return read
        if text == read:
            return read
        log.info("found new authorization config data")
        try:
            settings = parse(text, self._required)
            if settings != self._settings:
                await self._use(settings)
        except ConfigError as error:
            self._failed(error.problems)
        return text

    async def _use(self, settings: Settings) -> None:
        before = self._webhooks
        try:
            self.union.authorizers = self._build(settings)
        except ConfigError:
            self._webhooks = before
            raise
        self._settings = settings
        for each in before:
            await each.reviews.retire()
        log.info("reloaded authz config")
        self._count("success")

    def _failed(self, problems: list[str]) -> None:
        told = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        log.error("reloading authorization config: %s", told)
        self._count("failure")

    def _count(self, outcome: str) -> None:
        _RELOADS.labels(outcome, server_identity()).inc()
        _LAST.labels(outcome, server_identity()).set(self._clock.now().timestamp())

    def _build(self, settings: Settings) -> list[Named]:
        """Raises ConfigError."""
        self._webhooks = []
        return [Named(each.type, each.name, self._authorizer(each)) for each in settings]

    def _authorizer(self, each: AuthorizerSettings) -> Authorizer:
        if each.webhook is not None:
            from apimachinery.client.config import load_kubeconfig
            from controlplane.apiserver.authz.webhook import WebhookAuthorizer  # few servers have one

            made = WebhookAuthorizer(each.webhook, load_kubeconfig(each.webhook.kubeconfig), each.name, self._clock)
            self._webhooks.append(made)
            return made
        if each.type not in self._made:
            told = f"authorizer type {each.type} is not allowed if it was not enabled at initial server startup"
            raise ConfigError([told])
        return self._made[each.type]


def _look(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def server_identity() -> str:
    """The hash of what upstream calls an API server by: `apiserver-` and the hash of the host's and the server's name,
    each behind its length in two bytes."""
    words = (socket.gethostname().encode(), b"kube-apiserver")
    named = sha256(b"".join(len(word).to_bytes(2, "big") + word for word in words)).digest()[:16]
    name = f"apiserver-{base64.b32encode(named).decode().rstrip('=').lower()}"
    return f"sha256:{sha256(name.encode()).hexdigest()}"
