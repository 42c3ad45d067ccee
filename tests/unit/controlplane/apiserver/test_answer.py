"""An answer says the same whether its head is formatted at once or made of aiohttp's headers."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from aiohttp import web

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front import responses
from controlplane.apiserver.front.answer import Answer
from controlplane.apiserver.front.request_info import RequestInfo
from tests.unit.controlplane.apiserver.fronts import contexts, serving

__all__ = ["contexts"]

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]
BODY = '{"kind":"Pod","metadata":{"name":"ü"}}'.encode()


async def exchange(
    contexts: Contexts, head: str, *, made: list[bool], status: int = 200, looked_at: bool = False
) -> bytes:
    """What a client reads that closes afterwards. made: gets whether nobody had looked at the headers in the end."""
    server, client = contexts
    answers: list[Answer] = []

    async def route(request: web.BaseRequest, _: RequestInfo, __: User) -> web.StreamResponse:
        response = responses.sent(request, BODY, "application/json", code=status)
        assert isinstance(response, Answer)
        if looked_at:
            assert response.headers["Content-Type"] == "application/json"
            assert "Cache-Control" not in response.headers, "nothing has been told yet"
        answers.append(response)
        return response

    async with serving(server, route=route) as port, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(f"{head}\r\nHost: x\r\n\r\nGET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        found = await reader.read()
        writer.close()
    made.append(answers[0].plain)
    return found


def parsed(answer: bytes) -> tuple[bytes, set[bytes], bytes]:
    """Status line, headers without what differs by time and chance, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return first, {line for line in lines if not line.startswith((b"Date: ", b"Audit-Id: "))}, body


@pytest.mark.parametrize("status", [200, 201, 404, 422, 499, 500])
async def test_both_ways_say_the_same(contexts: Contexts, status: int) -> None:
    made: list[bool] = []
    plain = await exchange(contexts, "GET /x HTTP/1.1", made=made, status=status)
    usual = await exchange(contexts, "GET /x HTTP/1.1", made=made, status=status, looked_at=True)
    assert made == [True, False]
    again = plain.index(b"HTTP/1.1", 1)
    assert parsed(plain[:again]) == parsed(usual[: usual.index(b"HTTP/1.1", 1)])
    first, lines, body = parsed(plain[:again])
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert status != 499 or first == b"HTTP/1.1 499 status code 499", "a webhook's code may have no name"
    assert b"Cache-Control: no-cache, private" in lines
    assert b"Content-Length: %d" % len(BODY) in lines
    assert body == BODY
    for each in (plain, usual):
        assert each.count(b"Audit-Id: ") == 2, "each answer has one"
        assert each.count(b"Date: ") == 2
        assert b"Connection: close" in each[again:], "the second was asked to be the last"


async def test_a_head_alone_has_no_body(contexts: Contexts) -> None:
    made: list[bool] = []
    answer = await exchange(contexts, "HEAD /x HTTP/1.1", made=made)
    assert parsed(answer)[2].startswith(b"HTTP/1.1 200"), "what follows is the next answer"


async def test_an_old_client_is_answered_in_its_version(contexts: Contexts) -> None:
    made: list[bool] = []
    answer = await exchange(contexts, "GET /x HTTP/1.0\r\nConnection: keep-alive", made=made)
    first, lines, _ = parsed(answer)
    assert first == b"HTTP/1.0 200 OK"
    assert b"Connection: keep-alive" in lines


async def test_the_client_names_the_audit_event(contexts: Contexts) -> None:
    made: list[bool] = []
    for name, plain in (("mine", True), ("mïne", False)):
        answer = await exchange(contexts, f"GET /x HTTP/1.1\r\nAudit-Id: {name}", made=made)
        assert f"Audit-Id: {name}\r\n".encode() in answer
        assert made.pop() is plain
