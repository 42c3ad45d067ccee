"""The authorizers as configured, and as --authorization-config says whenever it changes (pkg/kubeapiserver/authorizer:
reload.go)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from apimachinery.kit.clock import Clock
from apimachinery.kit.config import ConfigError
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.authz.attributes import Authorizer
from controlplane.apiserver.authz.configuration import AuthorizerSettings, ConfigurationFile, Settings, parse
from controlplane.apiserver.authz.union import Named, Union
from controlplane.apiserver.reloads import Reloads, follow

if TYPE_CHECKING:
    from controlplane.apiserver.authz.webhook import WebhookAuthorizer

log = logging.getLogger(__name__)


class Chain:
    """`union` asks them in turn. makers: what makes an authorizer of each type that is no webhook and that was there at
    the start."""

    def __init__(self, settings: Settings, makers: Mapping[str, Callable[[], Authorizer]], clock: Clock) -> None:
        """Raises ConfigError for a webhook's kubeconfig file that cannot be read."""
        self._required = frozenset(each.type for each in settings) - {"Webhook"}
        # Those that hold nothing may come later; Node and RBAC follow the store from the start or not at all.
        self._made = {kind: makers[kind]() for kind in {*self._required, "AlwaysAllow", "AlwaysDeny"}}
        self._clock, self._settings = clock, settings
        self._reloads = Reloads("authorization", clock)
        self._webhooks: list[WebhookAuthorizer] = []
        self.union = Union(self._build(settings))

    async def close(self) -> None:
        """End the webhooks' connections."""
        for each in self._webhooks:
            await each.reviews.close()

    async def follow(self, file: ConfigurationFile) -> None:
        """For ever: use what the file says whenever it changes. A file that is wrong changes nothing, and is told in
        the log. file: as it was read when the chain was made."""
        read = file.text

        async def look() -> None:
            nonlocal read
            read = await self.look(file.path, read)

        await follow(file.path, self._clock, look)

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
        self._reloads.count("success")

    def _failed(self, problems: list[str]) -> None:
        log.error("reloading authorization config: %s", aggregate(problems))
        self._reloads.count("failure")

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
