"""Aggregated discovery in protobuf: the messages of k8s.io/api/apidiscovery (v2 and v2beta1 are the same), which no
OpenAPI describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.apiserver.front.protobuf_encode import delimited, enveloped, object_meta

Entry = Mapping[str, Any]


def group_discovery_list(document: Entry) -> bytes:
    """An APIGroupDiscoveryList in its envelope."""
    items = [
        delimited(1, object_meta(item["metadata"])) + _many(2, map(_version, item["versions"]))
        for item in document["items"]
    ]
    list_meta = b"\x0a\x00\x12\x00\x1a\x00"  # selfLink, resourceVersion and continue, all empty
    return enveloped(document["apiVersion"], document["kind"], delimited(1, list_meta) + _many(2, items))


def _version(entry: Entry) -> bytes:
    resources = _many(2, map(_resource, entry.get("resources") or ()))
    return _text(1, entry, "version") + resources + _text(3, entry, "freshness")


def _resource(entry: Entry) -> bytes:
    return b"".join(
        (
            _text(1, entry, "resource"),
            _kind(2, entry),
            _text(3, entry, "scope"),
            _text(4, entry, "singularResource"),
            _words(5, entry, "verbs"),
            _words(6, entry, "shortNames"),
            _words(7, entry, "categories"),
            _many(8, map(_subresource, entry.get("subresources") or ())),
        )
    )


def _subresource(entry: Entry) -> bytes:
    accepted = _many(3, map(_group_version_kind, entry.get("acceptedTypes") or ()))
    return _text(1, entry, "subresource") + _kind(2, entry) + accepted + _words(4, entry, "verbs")


def _kind(at: int, entry: Entry) -> bytes:
    kind = entry.get("responseKind")
    return b"" if kind is None else delimited(at, _group_version_kind(kind))


def _group_version_kind(kind: Entry) -> bytes:
    return _text(1, kind, "group") + _text(2, kind, "version") + _text(3, kind, "kind")


def _text(at: int, entry: Entry, name: str) -> bytes:
    return delimited(at, str(entry.get(name) or "").encode())


def _words(at: int, entry: Entry, name: str) -> bytes:
    return _many(at, (str(word).encode() for word in entry.get(name) or ()))


def _many(at: int, messages: Iterable[bytes]) -> bytes:
    return b"".join([delimited(at, message) for message in messages])
