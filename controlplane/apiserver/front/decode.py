"""Request bodies: bounded, decoded, and refused with upstream's sentences."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web

from apimachinery.meta import status
from controlplane.apiserver.front.duplicates import duplicate_fields
from controlplane.apiserver.registry.call import YAML_ERRORS

MAX_BODY = 3 * 1024 * 1024
"""Bytes; upstream's limit for writes (MaxRequestBodyBytes)."""
MAX_DEPTH = 200
"""Levels of nesting; nothing in the API comes near. orjson writes 254, and what is stored is nested deeper than what
was sent (managedFields repeats it), so that whatever is read can be written."""

_TOO_DEEP = f"the object provided is nested deeper than {MAX_DEPTH} levels"
# A string to its end, or to that of the body: never tried twice, whatever is in it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_OPENING = b"[{"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETERS = re.compile(
    rf'(?:\s*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")\s*;)*(?:\s*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))?\s*'
)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_JSON = ("", "application/json")
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_YAML = ("application/yaml",)


_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_NO_KIND = "couldn't get version/kind; json parse error: "
_SUMMARY = 30  # bytes of a body that are shown
_LOOKED_THROUGH = 64 * 1024  # bytes for whose error Go's words are found: some 50 ms


async def read_body(request: web.BaseRequest, limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises ApiError 413 as soon as it is known to be too large, 400 when the client went away."""
    content, chunks, size = request.content, [], request.content_length or 0
    if size <= limit:
        size = 0
        while not content.at_eof():
            try:
                chunk = await content.readany()
            except ConnectionResetError as error:
                raise status.bad_request(f"the body could not be read: {error}") from None
            size += len(chunk)
            if size > limit:
                break
            chunks.append(chunk)
    if size > limit:
        raise status.request_entity_too_large(f"limit is {limit}")
    return b"".join(chunks)


def media_type(header: str | None) -> str:
    """The media type of a Content-Type header without its parameters, lower case; "" when absent. Of a header that Go's
    mime.ParseMediaType refuses, the whole, which is no media type of anything."""
    media, more, parameters = (header or "").partition(";")
    return media.strip().lower() if not more or (media and _PARAMETERS.fullmatch(parameters)) else str(header)


async def document_of(
    body: bytes, content_type: str | None, doubled: list[str] | None = None, kind: str = "object"
) -> Any:
    """The document in a JSON, YAML or protobuf body. doubled: takes what is wrong with keys that are there twice, of
    which the last counts. kind: what it should be. Raises ApiError 400 (malformed) or 415 (another media type)."""
    media = media_type(content_type)
    if media in _JSON or media in _YAML:
        document = decode_json(body, doubled, kind) if media in _JSON else await yaml_of(body, doubled)
        if document is None:
            return None
        if isinstance(document, dict):
            version = document.get("apiVersion")
            if isinstance(version, str) and version.count("/") > 1:
                raise _unrecognized(body, f"unexpected GroupVersion string: {version}", kind)
            return document
        why = (
            _go_sentence(orjson.dumps(document))
            or "json: cannot unmarshal the body into Go value of type map[string]interface {}"
        )
        raise _unrecognized(body, _NO_KIND + why.replace("map[string]interface {}", _TYPE_META), kind)
    if media == _PROTOBUF:
        from controlplane.apiserver.front import protobuf  # its tables cost 10 ms, which few clients need

        return protobuf.decode(body)
    raise status.unsupported_media_type(media, ("application/json", "application/yaml", _PROTOBUF))


async def yaml_of(body: bytes, doubled: list[str] | None = None) -> Any:
    """The first YAML document, without aliases, of JSON's types. Most are JSON, which is YAML, and read as that.

    In slices of the event loop, for 3 MiB take seconds: meanwhile others are served."""
    steps = _reading(body, doubled)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(0)


def decode_json(body: bytes, doubled: list[str] | None = None, kind: str = "") -> Any:
    """A JSON document; orjson refuses NaN, lone surrogates, and integers beyond 64 bits become floats.

    kind: what it should be; "" for a patch. Raises ApiError 400."""
    if _is_too_deep(body):
        raise status.bad_request(_TOO_DEEP)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        why = _go_sentence(body) or str(error)
        raise (
            _unrecognized(body, _NO_KIND + why, kind) if kind else status.bad_request(f"error decoding patch: {why}")
        ) from None
    if doubled is not None:
        doubled += duplicate_fields(body, document)
    return document


def _reading(body: bytes, doubled: list[str] | None) -> Generator[None, None, Any]:
    if body.lstrip()[:1] == b"{":
        with suppress(orjson.JSONDecodeError):
            if not _is_too_deep(body):
                document = orjson.loads(body)
                if doubled is None or not duplicate_fields(body, document):
                    return document
    import yaml  # costs 15 ms, and hardly any client sends YAML

    from apimachinery.meta.yaml_text import reading, sentence

    try:
        again: list[str] = []
        document = yield from reading(body, MAX_DEPTH, again)
        orjson.dumps(document)  # what cannot be written is not read: lone surrogates
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, UnicodeError) as error:
        raise status.bad_request(f"error converting YAML to JSON: yaml: {sentence(error)}") from None
    if again and doubled is not None:
        doubled.append("\n  ".join((YAML_ERRORS, *again)))
    return document


def _go_sentence(body: bytes) -> str:
    """What Go says of a body that is no JSON object; "" when it would read it, or when it is long to look through."""
    if len(body) > _LOOKED_THROUGH:
        return ""
    from apimachinery.api.validation.json_errors import object_error  # for refusals only

    return object_error(body) or ""


def _unrecognized(body: bytes, why: str, kind: str) -> status.ApiError:
    return status.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})")


def _summary(body: bytes) -> str:
    """The beginning of a body as upstream shows it: text when it could be JSON, else hexadecimal."""
    if not body:
        return "<empty>"
    shown = body[:_SUMMARY].decode(errors="replace") if body[:1] == b"{" else body[:_SUMMARY].hex()
    return shown if len(body) <= _SUMMARY else f"{shown} ..."


def _is_too_deep(body: bytes) -> bool:
    """Whether brackets outside strings are nested deeper than MAX_DEPTH."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        if bracket in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                return True
        else:
            depth -= 1
    return False
