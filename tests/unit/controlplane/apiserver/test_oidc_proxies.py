"""Providers that are reached by a proxy: a real one, which is asked to CONNECT."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from apimachinery.kit.clock import SystemClock
from controlplane.apiserver.authn.oidc.configuration import Issuer
from controlplane.apiserver.authn.oidc.provider import WELL_KNOWN, GetFailed, Provider
from controlplane.apiserver.authn.oidc.proxies import proxy_for
from tests.openid import Key, OpenIDProvider


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without proxies, but for those that a test names."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "without", "proxy"),
    [
        ("https://login.test/x", "", "http://proxy.test:3128"),
        ("http://login.test/x", "", None),
        ("https://login.test", "other.test,login.test", None),
        ("https://login.test", ".test", None),
        ("https://login.test", "*", None),
        ("https://10.1.2.3", "10.1.0.0/16, x/y", None),
        ("https://10.2.2.3", "10.1.0.0/16", "http://proxy.test:3128"),
        ("https://[fd00::1]", "fd00::/8", None),
        ("https://127.0.0.1:8443", "", None),
        ("https://localhost:8443", "", None),
    ],
)
def test_which_proxy(environment: pytest.MonkeyPatch, url: str, without: str, proxy: str | None) -> None:
    assert proxy_for(URL(url)) is None
    environment.setenv("HTTPS_PROXY", "proxy.test:3128")
    environment.setenv("NO_PROXY", without)
    assert proxy_for(URL(url)) == (URL(proxy) if proxy else None)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OpenIDProvider]:
    """One whose name no resolver knows."""
    found = OpenIDProvider(tmp_path, Key("ES256"))
    found.name = "login.test"
    with found.serving():
        yield found


@asynccontextmanager
async def tunnelling(code: str, asked: list[str]) -> AsyncIterator[int]:
    """A proxy's port. It knows every host to be this machine. code: what it answers."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split("\r\n")[0])
        writer.write(f"HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n".encode() if code[0] != "2" else b"")
        if code[0] == "2":
            port = int(head.split()[1].rpartition(":")[2])
            there, back = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"HTTP/1.1 {code}\r\n\r\n".encode())
            await asyncio.gather(copy(reader, back), copy(there, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ask(provider: OpenIDProvider) -> str:
    """The status of the discovery document, or why there is none."""
    issuer = Issuer(provider.url, ("kubernetes",), certificate_authority=provider.authority.read_text())
    asking = Provider(issuer, SystemClock())
    try:
        return (await asking.get(provider.url + WELL_KNOWN))[0]
    except GetFailed as error:
        return str(error).removeprefix(f'Get "{provider.url}{WELL_KNOWN}": ')
    finally:
        await asking.close()


async def test_a_provider_behind_a_proxy(environment: pytest.MonkeyPatch, provider: OpenIDProvider) -> None:
    asked: list[str] = []
    async with tunnelling("200 Connection established", asked) as port:
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert await ask(provider) == "200 OK"
    assert asked == [f"CONNECT login.test:{provider.port} HTTP/1.1"]
    assert await ask(provider) == f"proxyconnect tcp: dial tcp 127.0.0.1:{port}: connect: connection refused"
    async with tunnelling("403 Forbidden", asked) as port:
        environment.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert await ask(provider) == "Forbidden"
