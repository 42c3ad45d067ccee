"""Groups that a token does not hold, and another endpoint tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import SystemClock
from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
from controlplane.apiserver.authn.oidc.configuration import Issuer, JWTAuthenticator, Mapping
from controlplane.apiserver.authn.tokens import TokenError
from tests.openid import Key, OpenIDProvider

DEADLINE = 60.0
TOLD = "verify distributed claim token: "
WHERE = "oidc: could not expand distributed claims: "


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenIDProvider]:
    with OpenIDProvider(tmp_path, Key("ES256")).serving() as found:
        yield found


@asynccontextmanager
async def asking(provider: OpenIDProvider, groups: Mapping, authority: str = "") -> AsyncIterator[OIDCAuthenticator]:
    """An authenticator that has found the provider."""
    issuer = Issuer(provider.url, ("kubernetes",), certificate_authority=authority or provider.authority.read_text())
    configured = JWTAuthenticator(issuer, Mapping("sub", ""), groups)
    tokens = OIDCAuthenticator((configured,), ("ES256",), ("api",), SystemClock())
    tokens.start()
    try:
        async with asyncio.timeout(DEADLINE):
            while tokens.troubles:
                await asyncio.sleep(0.01)
        yield tokens
    finally:
        await tokens.close()


async def groups_of(tokens: OIDCAuthenticator, token: str) -> Any:
    """The groups, or why there are none."""
    try:
        found = await tokens.authenticate(token)
    except TokenError as error:
        return str(error)
    assert found is not None
    return found[0].groups[:-1]


def naming(url: str, **source: str) -> dict[str, Any]:
    """Claims that name an endpoint for the groups."""
    return {"_claim_names": {"groups": "one"}, "_claim_sources": {"one": {"endpoint": url, **source}}}


async def test_groups_that_the_provider_tells_itself(provider: OpenIDProvider) -> None:
    provider.documents["/groups"] = 200, provider.token(groups=["devs", "ops"]).encode()
    endpoint = f"{provider.url}/groups"
    async with asking(provider, Mapping("groups", "g:")) as tokens:
        assert await groups_of(tokens, provider.token(**naming(endpoint))) == ("g:devs", "g:ops")
        assert provider.bearers[provider.asked.index("/groups")] == ""
        provider.asked.clear()
        provider.bearers.clear()
        assert await groups_of(tokens, provider.token(**naming(endpoint, access_token="secret"))) == ("g:devs", "g:ops")
        assert (provider.asked, provider.bearers) == (["/groups"], ["Bearer secret"])
        assert await groups_of(tokens, provider.token(**naming(endpoint), groups="own")) == ("g:own",)
        assert len(provider.asked) == 1, "what the token holds counts"
        for answer, why in (
            (
                provider.token(roles=[]),
                f'jwt returned by distributed claim endpoint "{endpoint}" did not contain',
            ),
            (
                provider.token(groups=[], aud="x"),
                f'{TOLD}oidc: expected audience "kubernetes"',
            ),
            (provider.token(groups=[], exp=1), f"{TOLD}oidc: token is expired"),
            (
                Key("ES256").sign(provider.claims(groups=[])),
                f"{TOLD}failed to verify signature",
            ),
            ("?", f'getting untrusted issuer from endpoint {endpoint} failed for claim "groups": malformed token'),
        ):
            provider.documents["/groups"] = 200, answer.encode()
            assert (await groups_of(tokens, provider.token(**naming(endpoint)))).startswith(WHERE + why)
        del provider.documents["/groups"]
        assert await groups_of(tokens, provider.token(**naming(endpoint))) == (
            f'{WHERE}while getting distributed claim "groups": error while getting distributed claim JWT: 404 Not Found'
        )
    async with asking(provider, Mapping()) as tokens:
        assert await groups_of(tokens, provider.token(**naming(endpoint))) == (), "nobody wants them"


async def test_groups_that_another_issuer_tells(tmp_path: Path, provider: OpenIDProvider) -> None:
    with ExitStack() as stack:
        (tmp_path / "other").mkdir()
        other = stack.enter_context(OpenIDProvider(tmp_path / "other", Key("ES256")).serving())
        other.documents["/groups"] = 200, other.token(groups=["devs"]).encode()
        both = provider.authority.read_text() + other.authority.read_text()
        token = provider.token(**naming(f"{other.url}/groups"))
        async with asking(provider, Mapping("groups", ""), both) as tokens:
            assert await groups_of(tokens, token) == (
                f"{WHERE}verifying untrusted issuer {other.url} failed: "
                f'verifier not initialized for issuer: "{other.url}"'
            )
            async with asyncio.timeout(DEADLINE):
                while await groups_of(tokens, token) != ("devs",):
                    await asyncio.sleep(0.01)
            assert other.asked.count("/keys") == 1
