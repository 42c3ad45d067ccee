"""--cors-allowed-origins and --strict-transport-security-directives: what browsers are told."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from aiohttp import web

from apimachinery.meta import status
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.browsers import Browsers, wrong_directives, wrong_origins
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver import fronts
from tests.unit.controlplane.apiserver.fronts import contexts as contexts

ORIGIN = "https://a.example.com"
SHARED = {
    "Access-Control-Allow-Origin": ORIGIN,
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
    "Access-Control-Allow-Headers": "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, "
    "X-Requested-With, If-Modified-Since",
    "Access-Control-Expose-Headers": "Date",
    "Access-Control-Allow-Credentials": "true",
}


async def test_origins(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = contexts
    asked = []

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        asked.append(request.method)
        if request.path == "/nowhere":
            raise status.path_not_found()
        return web.Response(text="fine")

    browsers = Browsers([r"^https://[a-z]+\.example\.com$", "//localhost(:|$)"], [])
    async with fronts.serving(server, browsers=browsers, route=route) as port, aiohttp.ClientSession() as session:

        async def answer(method: str, path: str, origin: str | None) -> tuple[int, dict[str, str]]:
            headers = {} if origin is None else {"Origin": origin}
            url = f"https://127.0.0.1:{port}{path}"
            async with session.request(method, url, ssl=client, headers=headers) as response:
                return response.status, {k: v for k, v in response.headers.items() if k.startswith("Access-")}

        assert await answer("GET", "/version", ORIGIN) == (200, SHARED)
        assert await answer("GET", "/nowhere", ORIGIN) == (404, SHARED)
        local = {**SHARED, "Access-Control-Allow-Origin": "http://localhost:8080"}
        assert await answer("GET", "/version", "http://localhost:8080") == (200, local)
        for stranger in (None, "", "https://a.example.com.evil.io", "https://b_example.com"):
            assert await answer("GET", "/version", stranger) == (200, {})
        seen = len(asked)
        assert await answer("OPTIONS", "/api/v1/pods", ORIGIN) == (204, SHARED)
        assert len(asked) == seen, "who asks first is not identified, and reaches nothing"
        assert await answer("OPTIONS", "/version", "https://evil.io") == (200, {})


async def test_strict_transport(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    browsers = Browsers([], ["max-age=31536000", "includeSubDomains"])
    async with fronts.serving(contexts[0], browsers=browsers) as port, aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{port}/version"
        async with session.get(url, ssl=contexts[1], headers={"Origin": ORIGIN}) as response:
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
            assert not [name for name in response.headers if name.startswith("Access-")]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"//example\.com(:|$)", None),
        (r"^https://example\.com$", None),
        ("", "empty value in --cors-allowed-origins, help: "),
        ("example.com", "regular expression does not pin to start/end of host in the origin header"),
        ("//example.com", "does not pin"),
        ("^[", "--cors-allowed-origins has an invalid regular expression: error parsing regexp: "),
    ],
)
def test_patterns(pattern: str, why: str | None) -> None:
    found = list(wrong_origins([pattern]))
    assert (why is None and not found) or (why is not None and len(found) == 1 and why in found[0])


@pytest.mark.parametrize(
    ("directive", "told"),
    [
        ("max-age=1", ""),
        ("includeSubDomains", ""),
        ("preload", ""),
        (" ", "empty value in strict-transport-security-directives"),
        ("max-age", "--strict-transport-security-directives invalid, allowed values: max-age=expireTime"),
        ("max-age=1=2", "--strict-transport-security-directives invalid, allowed values: max-age=expireTime"),
        ("forever", "--strict-transport-security-directives invalid, allowed values: max-age=expireTime"),
    ],
)
def test_directives(directive: str, told: str) -> None:
    found = list(wrong_directives([directive]))
    assert (not told and not found) or (len(found) == 1 and found[0].startswith(told))
