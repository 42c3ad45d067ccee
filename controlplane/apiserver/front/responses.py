"""Answers: JSON (or YAML) bodies, Status objects, warnings, compression."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.negotiate import JSON, YAML

GZIP_MIN = 128 * 1024  # bytes; upstream's threshold
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


def encode(document: Any) -> bytes:
    return orjson.dumps(document)


def body(
    request: web.BaseRequest,
    data: bytes,
    *,
    code: int = 200,
    media: str = JSON,
    warnings: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A response with JSON bytes, turned into what was negotiated: YAML, indented, compressed."""
    if media == YAML:
        import yaml

        data = yaml.safe_dump(orjson.loads(data), sort_keys=True).encode()
    elif _pretty(request):
        data = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    response = web.Response(body=data, status=code, headers=headers)
    response.content_type = media
    if len(data) > GZIP_MIN and packs(request):
        gzip = packer()
        response.body = gzip.compress(data) + gzip.flush()
        packed(response)
    for warning in warnings:
        response.headers.add("Warning", f"299 - {_quoted(warning)}")
    return response


def sent_as_is(request: web.BaseRequest, media: str) -> bool:
    """Whether a body of JSON is neither turned into YAML nor indented."""
    return media != YAML and not _pretty(request)


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


def document(request: web.BaseRequest, obj: Any, **options: Any) -> web.Response:
    """The same for a document that is not encoded yet."""
    return body(request, orjson.dumps(obj), **options)


def refusal(request: web.BaseRequest, error: ApiError) -> web.Response:
    """The Status of a refusal."""
    response = body(request, orjson.dumps(error.to_status()), code=error.code)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def text(content: str, code: int = 200) -> web.Response:
    """Plain text."""
    response = web.Response(text=content, status=code)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _pretty(request: web.BaseRequest) -> bool:
    wanted = request.query.get("pretty")
    if wanted is not None:
        return wanted in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("User-Agent", "").startswith(_PRETTY_AGENTS)


def _quoted(sentence: str) -> str:
    """An HTTP quoted-string (RFC 7234 section 5.5) of at most 4 KiB, without control characters."""
    clean = "".join(char if char.isprintable() else " " for char in sentence[:4096])
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
