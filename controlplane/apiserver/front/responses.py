"""Answers: bodies of JSON, YAML or protobuf, Status objects, warnings, compression."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from apimachinery.kit import go_json
from apimachinery.meta.status import ApiError, Busy, Denied, NoSuchPath, not_acceptable
from controlplane.apiserver.front.answer import Answer
from controlplane.apiserver.front.negotiate import JSON, PROTOBUF, SERVED, YAML, Accepted, asks_for_pretty, preferred

GZIP_MIN = 128 * 1024  # bytes; upstream's threshold
SAID: web.ResponseKey[Any] = web.ResponseKey("said", object)
"""The document of an answer whose body is not JSON, for those who write down what was answered."""
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


def body(
    request: web.BaseRequest,
    data: bytes,
    *,
    code: int = 200,
    media: str = JSON,
    warnings: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A response with JSON bytes, turned into what was negotiated: another media type, indented, compressed."""
    if media != JSON:
        return document(request, orjson.loads(data), code=code, media=media, warnings=warnings, headers=headers)
    return sent(request, _laid_out(request, data), media, code=code, warnings=warnings, headers=headers)


def _laid_out(request: web.BaseRequest, data: bytes) -> bytes:
    """JSON as Go's encoders lay it out: a line with its end, or indented, without one, and in order."""
    if not _pretty(request):
        return data + b"\n"
    from controlplane.apiserver.front.key_order import in_go_order  # see _turned

    return go_json.encode(in_go_order(orjson.loads(data)), indented=True)


def indented(request: web.BaseRequest, obj: Any) -> web.Response:
    """What is no object of the API, such as /version: JSON for people, whoever asks."""
    return sent(request, go_json.encode(obj, indented=True), JSON)


def document(
    request: web.BaseRequest,
    obj: Any,
    *,
    code: int = 200,
    media: str | None = None,
    warnings: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The same for a document that is not encoded yet. media: what was negotiated; None: what the client prefers and
    the document can be. Raises ApiError 406 when it takes nothing that is served; a refusal is told all the same."""
    if media is None:
        wanted = preferred(request.headers.get("Accept", ""))
        if wanted is None:
            if code < 400:
                raise not_acceptable(SERVED)
            return sent(
                request, go_json.encode(obj, indented=True), JSON, code=code, warnings=warnings, headers=headers
            )
        media = wanted.media
        if media == PROTOBUF and not _has_protobuf(obj):
            media = JSON
    if media == JSON:
        return body(request, go_json.encode(obj), code=code, warnings=warnings, headers=headers)
    response = sent(request, _turned(obj, media), media, code=code, warnings=warnings, headers=headers)
    response[SAID] = obj
    return response


def _turned(obj: Any, media: str) -> bytes:
    if media == YAML:
        from apimachinery.meta.yaml_writing import dump  # YAML costs 15 ms, and few clients ask for it

        return dump(orjson.loads(orjson.dumps(obj)))
    from controlplane.apiserver.front.protobuf_encode import encode as in_protobuf  # tables that few clients need

    return in_protobuf(obj)


def _has_protobuf(obj: Any) -> bool:
    from controlplane.apiserver.front.protobuf_encode import has_form

    return isinstance(obj, dict) and has_form(obj.get("apiVersion", ""), obj.get("kind", ""))


def sent(
    request: web.BaseRequest,
    data: bytes,
    media: str,
    *,
    code: int = 200,
    warnings: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A response with these bytes, compressed when they are many."""
    response: web.Response = Answer(data, media, code)
    if headers:
        response.headers.update(headers)
    if len(data) > GZIP_MIN and packs(request):
        gzip = packer()
        response.body = gzip.compress(data) + gzip.flush()
        packed(response)
    warn(response, warnings)
    return response


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Tell the client, by a response that has not begun."""
    for warning in warnings:
        response.headers.add("Warning", f"299 - {_quoted(warning)}")


def sent_as_is(request: web.BaseRequest, media: str) -> bool:
    """Whether a body is neither turned into YAML nor indented."""
    return media == PROTOBUF or (media != YAML and not _pretty(request))


def packs(request: web.BaseRequest) -> bool:
    """Whether the client takes a large body compressed."""
    return "gzip" in request.headers.get("Accept-Encoding", "")


def packer() -> zlib._Compress:
    """A compressor of gzip, at upstream's level."""
    return zlib.compressobj(1, wbits=31)


def packed(response: web.Response) -> None:
    """Say that the body is compressed."""
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"


def tagged(request: web.BaseRequest, data: bytes, media: str = JSON) -> web.Response:
    """A response that clients may keep, of these bytes: with an ETag, and 304 when they have it."""
    tag = f'"{hashlib.sha512(data).hexdigest().upper()}"'
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"Etag": tag})
    return sent(request, data, media, headers={"Etag": tag, "Vary": "Accept"})


def discovery(request: web.BaseRequest, data: bytes, wanted: Accepted) -> web.Response:
    """Aggregated discovery in the form that was asked for. data: the document of v2, in JSON."""
    if wanted.version != "v2":
        data = data.replace(b'"apidiscovery.k8s.io/v2"', f'"apidiscovery.k8s.io/{wanted.version}"'.encode(), 1)
    if wanted.media == PROTOBUF:
        from controlplane.apiserver.front.discovery_protobuf import group_discovery_list  # see _turned

        data = group_discovery_list(orjson.loads(data))
    elif wanted.media == YAML:
        data = _turned(orjson.loads(data), YAML)
    else:
        data = _laid_out(request, data)
    response = tagged(request, data, wanted.media)
    said = f"{wanted.media};g=apidiscovery.k8s.io;v={wanted.version};as={wanted.kind}"
    response.headers.update({"Content-Type": said, "Cache-Control": "public"})
    return response


def refusal(request: web.BaseRequest, error: ApiError) -> web.Response:
    """The Status of a refusal; Go's page for a path that is nowhere, and its plain text for one too many."""
    if isinstance(error, NoSuchPath):
        return text("404 page not found\n", error.code)
    plain = isinstance(error, Busy)
    response = text(f"{error}\n", error.code) if plain else document(request, error.to_status(), code=error.code)
    if isinstance(error, Denied):
        response.headers["X-Content-Type-Options"] = "nosniff"
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def text(content: str, code: int = 200) -> web.Response:
    """Plain text."""
    response = web.Response(text=content, status=code)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _pretty(request: web.BaseRequest) -> bool:
    accepted = request.headers.get("Accept", "")
    if "pretty" in accepted and asks_for_pretty(accepted):
        return True
    wanted = request.query.get("pretty")
    if wanted is not None:
        return wanted in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("User-Agent", "").startswith(_PRETTY_AGENTS)


def _quoted(sentence: str) -> str:
    """An HTTP quoted-string (RFC 7234 section 5.5) of at most 4 KiB, without control characters."""
    clean = "".join(char if char.isprintable() else " " for char in sentence[:4096])
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
