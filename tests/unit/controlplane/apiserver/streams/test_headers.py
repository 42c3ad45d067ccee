"""What goes along with a request that is handed on, and what comes back."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.front.websockets import is_websocket, offered
from controlplane.apiserver.streams import messages, translate, tunnel
from controlplane.apiserver.streams.forward import refusal
from controlplane.apiserver.streams.headers import identify, request_headers, response_headers, without_handshake


def asked(*headers: tuple[str, str]) -> web.BaseRequest:
    return make_mocked_request("GET", "/", CIMultiDict(headers))


def test_neither_identity_nor_the_connection_goes_along() -> None:
    found = request_headers(
        asked(
            ("Authorization", "Bearer secret"),
            ("Impersonate-User", "jane"),
            ("X-Remote-User", "eve"),
            ("X-Remote-Group", "system:masters"),
            ("X-Remote-Extra-Scopes", "all"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Expect", "100-continue"),
            ("Transfer-Encoding", "chunked"),
            ("Cookie", "session=1"),
            ("Accept", "a"),
            ("Accept", "b"),
        )
    )
    assert sorted(found.items()) == [("Accept", "a"), ("Accept", "b"), ("Cookie", "session=1")]


def test_a_body_that_was_unpacked_is_told_as_such() -> None:
    found = request_headers(asked(("Content-Encoding", "gzip"), ("Content-Length", "5"), ("Content-Type", "t")))
    assert dict(found) == {"Content-Type": "t"}


def test_an_upgrade_is_asked_for() -> None:
    found = request_headers(
        asked(("Connection", "Upgrade"), ("Upgrade", "echo"), ("Content-Length", "0")), upgrade=True
    )
    assert dict(found) == {"Connection": "Upgrade", "Upgrade": "echo"}


def test_the_user_is_named_as_upstream_names_it() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    user = User("jane", "u1", ("dev", "ops"), {"example.com/a b": ("1", "2"), "100%": ("3",)})
    identify(headers, user)
    assert list(headers.items()) == [
        ("X-Remote-User", "jane"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-example.com%2Fa%20b", "1"),
        ("X-Remote-Extra-example.com%2Fa%20b", "2"),
        ("X-Remote-Extra-100%25", "3"),
    ]


def test_a_backend_does_not_open_this_server_to_other_origins() -> None:
    came = CIMultiDict({"Access-Control-Allow-Origin": "*", "Connection": "close, X-Hop", "X-Hop": "1", "Etag": "e"})
    assert dict(response_headers(came)) == {"Etag": "e"}


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        ("v5.channel.k8s.io", True),
        ("v4.channel.k8s.io, v5.channel.k8s.io", True),
        ("v4.channel.k8s.io", False),
        ("", False),
    ],
)
def test_who_is_translated(offered: str, wanted: bool) -> None:
    def asks(upgrade: str) -> bool:
        headers = (("Connection", "Upgrade"), ("Upgrade", upgrade), ("Sec-WebSocket-Protocol", offered))
        return translate.is_wanted(asked(*headers))

    assert asks("WebSocket") is wanted
    assert not asks("SPDY/3.1")


def test_who_is_tunnelled() -> None:
    offered = "SPDY/3.1+portforward.k8s.io, v2.portforward.k8s.io, v4.channel.k8s.io, SPDY/3.1+x"
    inner = "portforward.k8s.io"
    upgrade = ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")
    request = asked(*upgrade, ("Sec-WebSocket-Protocol", offered))
    assert tunnel.protocols(request) == {"SPDY/3.1+portforward.k8s.io": inner, "v2.portforward.k8s.io": inner}
    assert tunnel.protocols(asked(("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", inner))) == {}


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("", ""),
        ("binary.k8s.io", messages.BINARY),
        ("mine, base64.binary.k8s.io, binary.k8s.io", messages.BASE64),
        ("base64url.bearer.authorization.k8s.io.c2VjcmV0, binary.k8s.io", messages.BINARY),
        ("channel.k8s.io, v5.channel.k8s.io", None),
    ],
)
def test_in_which_form_a_log_is_told(said: str, chosen: str | None) -> None:
    headers = (("Sec-WebSocket-Protocol", said),) if said else ()
    assert messages.choose(offered(asked(*headers))) == chosen


def test_who_asks_for_a_websocket() -> None:
    assert is_websocket(asked(("Connection", "keep-alive"), ("Connection", "Upgrade"), ("Upgrade", "WebSocket")))
    assert not is_websocket(asked(("Upgrade", "websocket")))
    assert not is_websocket(asked(("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")))


def test_a_browsers_token_goes_no_further() -> None:
    token = "base64url.bearer.authorization.k8s.io.c2VjcmV0"
    upgrade = ("Connection", "Upgrade"), ("Upgrade", "websocket")
    found = request_headers(asked(*upgrade, ("Sec-WebSocket-Protocol", f"{token}, v4.channel.k8s.io")), upgrade=True)
    assert found["Sec-WebSocket-Protocol"] == "v4.channel.k8s.io"
    assert "Sec-WebSocket-Protocol" not in request_headers(asked(*upgrade, ("Sec-WebSocket-Protocol", token)))


def test_what_begins_a_websocket_goes_no_further() -> None:
    found = without_handshake(CIMultiDict([("sec-websocket-protocol", "secret"), ("Cookie", "1"), ("Cookie", "2")]))
    assert list(found.items()) == [("Cookie", "1"), ("Cookie", "2")]


def test_which_streams_are_opened() -> None:
    shell = translate.Options(stdin=True, stdout=True, stderr=True, tty=True)
    assert shell.streams() == ["error", "stdin", "stdout", "resize"] and shell.first == translate.STDOUT
    plain = translate.Options(stderr=True)
    assert plain.streams() == ["error", "stderr"] and plain.first == translate.STDERR


@pytest.mark.parametrize(
    ("code", "text", "reason", "message"),
    [
        (400, "no such container", "BadRequest", "no such container"),
        (500, "no disk", "InternalError", "Internal error occurred: no disk"),
        (
            401,
            "Unauthorized",
            "Unauthorized",
            "the server has asked for the client to provide credentials ( pods/log web)",
        ),
        (403, "Forbidden (user=ann)", "Forbidden", "Forbidden (user=ann) ( pods/log web)"),
        (404, "pod does not exist", "NotFound", "the server could not find the requested resource ( pods/log web)"),
    ],
)
def test_a_refusal_of_the_node_names_what_was_asked_for(code: int, text: str, reason: str, message: str) -> None:
    error = refusal(code, text, "pods/log", "web")
    assert (error.code, error.reason, error.message) == (code, reason, message)
