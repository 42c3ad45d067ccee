"""--authentication-config, followed: when the file changes, the providers that it names count, once they are found.
What cannot be used changes nothing, and is told in the log and by metrics."""

from __future__ import annotations

import logging

from apimachinery.kit.clock import Clock
from apimachinery.kit.config import ConfigError
from apimachinery.meta.paths import Path, aggregate, forbidden
from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
from controlplane.apiserver.authn.oidc.configuration import AuthenticationFile
from controlplane.apiserver.authn.oidc.document import read
from controlplane.apiserver.authn.oidc.validation import validate
from controlplane.apiserver.reloads import Reloads, follow

log = logging.getLogger(__name__)


class Reloader:
    """What the file says, to the authenticator."""

    def __init__(self, file: AuthenticationFile, tokens: OIDCAuthenticator, clock: Clock) -> None:
        self._file, self._tokens, self._clock = file, tokens, clock
        self._data, self._reloads = file.data, Reloads("authentication", clock)

    async def run(self) -> None:
        """Look at the file until cancelled. What may be otherwise though the file stays as it is (a provider that is
        away) is tried again every minute."""
        await follow(self._file.path, self._clock, self._look)

    async def _look(self) -> None:
        try:
            data = self._file.path.read_bytes()
        except OSError as error:
            self._failed("failed to read authentication config file", [str(error)])
            return
        if data == self._data:
            return
        try:
            configuration = read(data)
        except ConfigError as error:
            self._data = data
            self._failed("failed to load authentication config", error.problems)
            return
        problems = validate(configuration, self._file.own_issuers)
        if configuration.anonymous != self._file.anonymous:
            problems.append(forbidden(Path("anonymous"), "changed from initial configuration file"))
        if problems:
            self._data = data
            self._failed("failed to validate authentication config", [aggregate(problems)])
        elif troubles := await self._tokens.update(configuration.jwt):
            self._failed("failed to update authentication config", troubles)
        else:
            self._data = data
            log.info("reloaded authentication config")
            self._reloads.count("success")

    def _failed(self, what: str, why: list[str]) -> None:
        log.error("%s: %s", what, why[0] if len(why) == 1 else f"[{', '.join(why)}]")
        self._reloads.count("failure")
