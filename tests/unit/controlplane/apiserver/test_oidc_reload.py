"""The file of --authentication-config, changed while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.jwt import ALGORITHMS
from apimachinery.kit.metrics import REGISTRY
from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
from controlplane.apiserver.authn.oidc.configuration import AuthenticationFile
from controlplane.apiserver.authn.oidc.document import read
from controlplane.apiserver.authn.oidc.reload import Reloader
from controlplane.apiserver.authn.tokens import TokenError
from tests.openid import Key, OpenIDProvider

DEADLINE = 60.0
RELOADS = "apiserver_authentication_config_controller_automatic_reloads_total"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[OpenIDProvider, OpenIDProvider]]:
    """Two providers."""
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(OpenIDProvider(tmp_path / name, Key("ES256")).serving()))
        yield found[0], found[1]


def document(*providers: OpenIDProvider, **more: Any) -> bytes:
    """A file that names these. more: members of it."""
    jwt = [
        {
            "issuer": {
                "url": each.url,
                "audiences": ["kubernetes"],
                "certificateAuthority": each.authority.read_text(),
            },
            "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
        }
        for each in providers
    ]
    head = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthenticationConfiguration"}
    return orjson.dumps({**head, "jwt": jwt, **more})


def counted() -> tuple[float, float]:
    """Successes and failures so far."""
    found = {"success": 0.0, "failure": 0.0}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            if sample.name == RELOADS:
                assert sample.labels["apiserver_id_hash"].startswith("sha256:")
                found[sample.labels["status"]] += sample.value
    return found["success"], found["failure"]


class Reloading:
    """A file that is followed, on a clock that the test moves."""

    def __init__(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.path, self.clock, self._before = path, ManualClock(datetime.now(UTC)), counted()
        configuration = read(data)
        self.tokens = OIDCAuthenticator(configuration.jwt, ALGORITHMS, ("api",), self.clock)
        self.tokens.start()
        file = AuthenticationFile(path, data, configuration.anonymous, ("https://us",))
        self._task = asyncio.create_task(Reloader(file, self.tokens, self.clock).run())

    async def __aenter__(self) -> Reloading:
        await self.until(lambda: not self.tokens.troubles)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.tokens.close()

    async def until(self, condition: Any, step: float = 0.1) -> None:
        """Return when it holds, while time goes on by `step` seconds a turn."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.01)
                await self.clock.advance(step)

    async def change(self, data: bytes, step: float = 0.1) -> tuple[float, float]:
        """Change the file; how many successes and failures there are when it has been looked at."""
        before = counted()
        self.path.write_bytes(data)
        await self.until(lambda: counted() != before, step)
        now = counted()
        return now[0] - self._before[0], now[1] - self._before[1]

    async def knows(self, provider: OpenIDProvider) -> bool:
        """Whether a token of that provider counts."""
        asked = asyncio.ensure_future(self.tokens.authenticate(provider.token()))
        await self.until(asked.done)
        try:
            return asked.result() is not None
        except TokenError:
            return False


async def test_other_providers(tmp_path: Path, pair: tuple[OpenIDProvider, OpenIDProvider]) -> None:
    one, two = pair
    async with Reloading(tmp_path / "file", document(one)) as file:
        assert (await file.knows(one), await file.knows(two)) == (True, False)
        assert await file.change(document(one, two)) == (1, 0)
        assert (await file.knows(one), await file.knows(two)) == (True, True)
        assert await file.change(document(two)) == (2, 0)
        assert (await file.knows(one), await file.knows(two)) == (False, True)
        assert await file.change(document()) == (3, 0)
        assert (await file.knows(one), await file.knows(two)) == (False, False)


async def test_what_cannot_be_used_changes_nothing(
    tmp_path: Path, pair: tuple[OpenIDProvider, OpenIDProvider], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    async with Reloading(tmp_path / "file", document(one)) as file:
        assert await file.change(b"") == (0, 1)
        assert "failed to load authentication config: empty config data" in caplog.messages
        assert await file.change(document(two, more=1)) == (0, 2)
        assert 'failed to load authentication config: strict decoding error: unknown field "more"' in caplog.messages
        assert await file.change(document(two, two, anonymous={"enabled": True})) == (0, 3)
        assert caplog.messages[-1] == (
            f'failed to validate authentication config: [jwt[1].issuer.url: Duplicate value: "{two.url}", anonymous: '
            "Forbidden: changed from initial configuration file]"
        )
        file.path.unlink()
        await file.until(lambda: "failed to read authentication config file" in caplog.messages[-1])
        assert (await file.knows(one), await file.knows(two)) == (True, False)
        assert await file.change(document(one)) == (1, 4), "right again"


async def test_a_new_provider_that_is_away(
    tmp_path: Path, pair: tuple[OpenIDProvider, OpenIDProvider], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    two.documents["/.well-known/openid-configuration"] = 503, {}
    async with Reloading(tmp_path / "file", document(one)) as file:
        assert await file.change(document(one, two), step=1.0) == (0, 1)
        assert caplog.messages[-1] == (
            f'failed to update authentication config: [oidc: authenticator for issuer "{two.url}" is not healthy: 503 '
            "Service Unavailable: {}, context deadline exceeded]"
        )
        assert (await file.knows(one), await file.knows(two)) == (True, False)
        del two.documents["/.well-known/openid-configuration"]
        before = counted()
        await file.until(lambda: counted() != before, step=1.0)
        assert (await file.knows(one), await file.knows(two)) == (True, True), "tried again after a minute"
