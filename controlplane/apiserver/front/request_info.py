"""What a request asks for, read from its method, path and query: the attributes of k8s.io/apiserver's RequestInfo."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from apimachinery.meta import fields

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_SELECTING = ("list", "watch", "deletecollection")
_LONG_VERBS = frozenset({"watch", "proxy"})
_LONG_SUBRESOURCES = frozenset({"attach", "exec", "proxy", "log", "portforward"})
_NO_PLACES = frozenset((".", ".."))
_FALSE = ("0", "false")


class RequestInfo(Struct, frozen=True):
    """`is_resource` is False for /healthz, /version, discovery and the like; then only `path` and `verb` (the lower
    case method) mean anything. `name` of a list or watch is the one that metadata.name in the field selector pins.
    `rest` is what follows the subresource (the path to proxy). The selectors are those of verbs that select, as they
    were sent."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    rest: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def long_running(self) -> bool:
        """Whether its answer may take as long as it likes."""
        return self.verb in _LONG_VERBS or (self.is_resource and self.subresource in _LONG_SUBRESOURCES)


def is_true(query: Mapping[str, str], key: str) -> bool:
    """A boolean of the query: given, and neither "0" nor "false" (Convert_Slice_string_To_bool)."""
    value = query.get(key)
    return value is not None and value.lower() not in _FALSE


def parse(method: str, raw_path: str, query: Mapping[str, str]) -> RequestInfo:
    """Never raises: a path that is no resource's is a non-resource path.

    raw_path: still percent-encoded. An encoded slash is a slash, as Go has it, but in what follows a proxy, which goes
    to the backend as it was sent; one in the place of a name does not make a collection of an object.
    """
    path = unquote(raw_path)
    other = RequestInfo(path, method.lower())
    parts = raw = unquote(raw_path.strip("/")).split("/")
    own = _own(parts)
    if "%" in raw_path:
        if "\0" in path:
            return other
        raw = _as_sent(raw_path, parts, own)
    if "" in parts[:own] or not _NO_PLACES.isdisjoint(parts if own < len(parts) else parts[:-1]):
        return other
    if len(parts) < 3 or parts[0] not in ("api", "apis") or path.startswith("//"):
        return other
    if parts[0] == "api":
        group, version, parts, raw = "", parts[1], parts[2:], raw[2:]
    elif len(parts) < 4:
        return other
    else:
        group, version, parts, raw = parts[1], parts[2], parts[3:], raw[3:]
    verb = _VERBS.get(method, "")
    namespace = ""
    if parts[0] == "watch":
        if len(parts) < 2:
            return other
        verb, parts, raw = "watch", parts[1:], raw[1:]
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts, raw = parts[2:], raw[2:]
    resource, *below = parts
    name = below[0] if below else ""
    subresource = below[1] if len(below) > 1 else ""
    if resource in _NO_PLACES or subresource in _NO_PLACES:
        return other
    rest = "/".join(raw[3:])
    if verb == "get" and not name:
        verb = "watch" if is_true(query, "watch") else "list"
    if verb in ("list", "watch") and not name:
        name = _pinned_name(query.get("fieldSelector", ""))
    if verb == "delete" and not name:
        verb = "deletecollection"
    info = RequestInfo(path, verb, True, group, version, namespace, resource, subresource, name, rest)
    if verb in _SELECTING and ("fieldSelector" in query or "labelSelector" in query):
        return replace(
            info, field_selector=query.get("fieldSelector", ""), label_selector=query.get("labelSelector", "")
        )
    return info


def _as_sent(raw_path: str, parts: list[str], own: int) -> list[str]:
    """The segments as they are handed on, percent-encoded."""
    raw = raw_path.strip("/").split("/")
    return raw if [unquote(part) for part in raw[:own]] == parts[:own] else [quote(part) for part in parts]


def _own(parts: list[str]) -> int:
    """How many segments are this server's: what follows `…/NAME/proxy` is the backend's, empty segments included."""
    at = {"namespaces": 6}.get(parts[2], 4) if len(parts) > 2 and parts[0] == "api" else 0
    return at + 1 if at and len(parts) > at and parts[at] == "proxy" else len(parts)


def _pinned_name(selector: str) -> str:
    if "metadata.name" not in selector:
        return ""
    try:
        return fields.parse_selector(selector).requires("metadata.name") or ""
    except ValueError:
        return ""
