"""A provider that is asked over HTTPS: found late, keys that change, answers that are none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
from controlplane.apiserver.authn.oidc.configuration import Issuer, JWTAuthenticator, Mapping
from controlplane.apiserver.authn.oidc.provider import WELL_KNOWN
from controlplane.apiserver.authn.tokens import TokenError
from tests.openid import Key, OpenIDProvider

DEADLINE = 60.0
KEY, NEW = Key(), Key(identity="new")
BAD_SIGNATURE = "oidc: verify token: failed to verify signature: failed to verify id token signature"


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenIDProvider]:
    with OpenIDProvider(tmp_path, KEY).serving() as found:
        yield found


class Asked:
    """An authenticator of one provider on a clock that the test moves."""

    def __init__(self, provider: OpenIDProvider, **about: Any) -> None:
        self.clock = ManualClock(datetime.now(UTC))
        issuer = Issuer(provider.url, ("kubernetes",), certificate_authority=provider.authority.read_text(), **about)
        configured = JWTAuthenticator(issuer, Mapping("sub", "oidc:"))
        self.tokens = OIDCAuthenticator((configured,), ("RS256",), ("api",), self.clock)
        self.tokens.start()

    async def __aenter__(self) -> Asked:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tokens.close()

    async def found(self) -> None:
        """Return when the provider was found."""
        async with asyncio.timeout(DEADLINE):
            while self.tokens.troubles:
                await asyncio.sleep(0.01)
                await self.clock.advance(0.1)

    async def name(self, token: str) -> str:
        """The user's; or why there is none."""
        try:
            found = await self.moving(self.tokens.authenticate(token))
        except TokenError as error:
            return str(error)
        return found[0].name if found else ""

    async def moving(self, call: Any) -> Any:
        """What the call gives, while time goes on: the clock stands, so whoever waits would wait for ever."""
        task = asyncio.ensure_future(call)
        async with asyncio.timeout(DEADLINE):
            while not task.done():
                await asyncio.wait((task,), timeout=0.01)
                await self.clock.advance(0.1)
        return task.result()


async def test_keys_are_asked_for_when_a_token_needs_them(provider: OpenIDProvider) -> None:
    async with Asked(provider) as asked:
        await asked.found()
        assert provider.asked == [WELL_KNOWN]
        assert await asyncio.gather(*(asked.name(provider.token()) for _ in range(20))) == ["oidc:7"] * 20
        assert await asked.name(provider.token()) == "oidc:7"
        assert provider.asked == [WELL_KNOWN, "/keys"], "one question for all who wait, and none after it"
        found = await asked.tokens.authenticate(provider.token(), ["api", "vault"])
        assert found is not None and found[1] == ["api"]
        assert await asked.tokens.authenticate(provider.token(), ["vault"]) is None
        assert await asked.name(KEY.sign({"iss": "https://else"})) == "", "another's to judge"
        provider.keys = [NEW]
        assert await asked.name(provider.token()) == "oidc:7"
        assert provider.asked[2:] == ["/keys"]


async def test_tokens_that_anybody_makes_up_ask_seldom(provider: OpenIDProvider) -> None:
    async with Asked(provider) as asked:
        await asked.found()
        begun = asked.clock.monotonic()
        for _ in range(3):
            made_up = [NEW.sign(provider.claims()) for _ in range(3)]
            assert await asyncio.gather(*map(asked.name, made_up)) == [BAD_SIGNATURE] * 3
        assert provider.asked.count("/keys") == 3
        assert asked.clock.monotonic() - begun >= 1.99, "a second between two questions"


async def test_keys_are_kept_as_long_as_the_provider_says(provider: OpenIDProvider) -> None:
    provider.headers = {"Cache-Control": "max-age=300"}
    async with Asked(provider) as asked:
        await asked.found()
        assert await asked.name(provider.token()) == "oidc:7"
        provider.keys = [NEW]
        assert await asked.name(provider.token()) == BAD_SIGNATURE
        assert provider.asked.count("/keys") == 1
        await asked.clock.advance(271)
        assert await asked.name(provider.token()) == "oidc:7"


async def test_a_provider_that_is_away(tmp_path: Path) -> None:
    provider = OpenIDProvider(tmp_path, KEY)
    token = provider.token()
    async with Asked(provider) as asked:
        assert await asked.name(token) == "oidc: authenticator not initialized", "it does not answer yet"
        with provider.serving():
            await asked.found()
            assert await asked.name(token) == "oidc:7"
        assert await asked.name(token) == "oidc:7", "its keys are known"
        told = await asked.name(NEW.sign(provider.claims()))
        assert told.startswith("oidc: verify token: failed to verify signature: fetching keys oidc: get keys failed ")
        assert f'Get "{provider.url}/keys": dial tcp 127.0.0.1:{provider.port}: connect: connection refused' in told


async def test_a_discovery_document_elsewhere(provider: OpenIDProvider) -> None:
    provider.documents["/discovery"] = 200, {"issuer": provider.url, "jwks_uri": f"{provider.url}/keys"}
    async with Asked(provider, discovery_url=f"{provider.url}/discovery") as asked:
        await asked.found()
        assert await asked.name(provider.token()) == "oidc:7"
        assert provider.asked == ["/discovery", "/keys"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {"error": "x"}), '404 Not Found: {"error":"x"}'),
        ((200, {"issuer": "https://else"}), "oidc: issuer did not match the issuer returned by provider, expected"),
        ((200, b"<html>"), "oidc: failed to decode provider discovery object: "),
        ((200, []), "oidc: issuer did not match"),
    ],
)
async def test_a_discovery_document_that_is_none(
    provider: OpenIDProvider, answer: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider.documents[WELL_KNOWN] = answer
    async with Asked(provider) as asked:
        async with asyncio.timeout(DEADLINE):
            while not caplog.messages:
                await asyncio.sleep(0.01)
        assert caplog.messages[0].startswith(f"oidc authenticator: initializing plugin: {why}")
        del provider.documents[WELL_KNOWN]
        await asked.found()
        assert await asked.name(provider.token()) == "oidc:7"


@pytest.mark.parametrize("answer", [(500, {}), (200, b"?"), (200, {"keys": 7})])
async def test_keys_that_are_none(provider: OpenIDProvider, answer: Any) -> None:
    provider.documents["/keys"] = answer
    async with Asked(provider) as asked:
        await asked.found()
        assert "fetching keys oidc: " in await asked.name(provider.token())
        del provider.documents["/keys"]
        assert await asked.name(provider.token()) == "oidc:7"


async def test_a_provider_of_another_authority(provider: OpenIDProvider, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    configured = JWTAuthenticator(Issuer(provider.url, ("kubernetes",)), Mapping("sub", ""))
    tokens = OIDCAuthenticator((configured,), ("RS256",), ("api",), clock)
    tokens.start()
    async with asyncio.timeout(DEADLINE):
        while not caplog.messages:
            await asyncio.sleep(0.01)
    assert caplog.messages[0].endswith("x509: certificate signed by unknown authority")
    assert tokens.troubles[0].startswith(f'oidc: authenticator for issuer "{provider.url}" is not healthy: Get ')
    await tokens.close()
