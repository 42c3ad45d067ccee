"""Request bodies: bounded, decoded, and refused with upstream's sentences."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from apimachinery.meta import status

MAX_BODY = 3 * 1024 * 1024
"""Bytes; upstream's limit for writes (MaxRequestBodyBytes)."""
MAX_DEPTH = 512
"""Levels of nesting; nothing in the API comes near, and recursive walkers stay within the interpreter's stack."""

_JSON = ("", "application/json")
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


async def read_body(request: web.BaseRequest, limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises ApiError 413 as soon as it is known to be too large."""
    too_large = status.request_entity_too_large(f"limit is {limit}")
    if (request.content_length or 0) > limit:
        raise too_large
    if not request.body_exists:
        return b""
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(header: str | None) -> str:
    """The media type of a Content-Type header without its parameters, lower case; "" when absent."""
    return (header or "").partition(";")[0].strip().lower()


def decode(body: bytes, content_type: str | None) -> Any:
    """The document in a JSON, YAML or protobuf body. Raises ApiError 400 (malformed) or 415 (another media type)."""
    media = media_type(content_type)
    if media in _JSON:
        return decode_json(body)
    if media in _YAML:
        return decode_yaml(body)
    if media == _PROTOBUF:
        from controlplane.apiserver.front import protobuf  # its tables cost 10 ms, which few clients need

        return protobuf.decode(body)
    raise status.unsupported_media_type(media, ("application/json", "application/yaml", _PROTOBUF))


def decode_json(body: bytes) -> Any:
    """A JSON document; orjson refuses NaN, lone surrogates, and integers beyond 64 bits become floats."""
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise status.bad_request(f"the object provided is nested deeper than {MAX_DEPTH} levels")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise status.bad_request(f"the object provided is unrecognized (must be of type JSON): {error}") from None


def decode_yaml(body: bytes) -> Any:
    """One YAML document without aliases, of JSON's types."""
    import yaml  # costs 15 ms, and hardly any client sends YAML

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(body)):
            raise status.bad_request("YAML aliases are not accepted")
        document = yaml.load(body, Loader=_plain_loader())
        return orjson.loads(orjson.dumps(document))
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, UnicodeError) as error:
        line = " ".join(str(error).split())
        raise status.bad_request(f"error converting YAML to JSON: yaml: {line}") from None


def _plain_loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without timestamps: YAML's dates are strings in the API."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def _depth(body: bytes) -> int:
    """The deepest nesting, counting brackets outside strings."""
    deepest = depth = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x5B, 0x7B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x5D, 0x7D):
            depth -= 1
    return deepest
