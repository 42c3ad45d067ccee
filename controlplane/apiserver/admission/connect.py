"""What a CONNECT (exec, attach, portforward, proxy) is about: the options of the stream, as an object."""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.admission.chain import Chain, Review
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FLAGS = ("stdin", "stdout", "stderr", "tty")


async def admit_connect(chain: Chain, call: Call, query: list[tuple[str, str]], path: str) -> None:
    """Ask every plug-in. query: as it came; path: what is proxied to. Raises ApiError to refuse."""
    about = call.resource.subresource(call.subresource)
    assert about is not None
    kind = about.group, about.version, about.kind
    review = Review(call, "CONNECT", stream_options(about.kind, query, path), kind=kind)
    await chain.mutate(review)
    await chain.validate(review)


def stream_options(kind: str, query: list[tuple[str, str]], path: str) -> Object:
    """PodExecOptions, PodAttachOptions, PodPortForwardOptions, or the path of a proxy's."""
    found: Object = {"kind": kind, "apiVersion": "v1"}
    asked = dict(query)
    if kind.endswith("ProxyOptions"):
        return {**found, "path": f"/{path}"} if path else found
    if kind == "PodPortForwardOptions":
        ports = [int(value) for name, value in query if name == "ports" and value.isdecimal()]
        return {**found, "ports": ports} if ports else found
    found |= {flag: True for flag in _FLAGS if asked.get(flag) in _TRUE}
    if asked.get("container"):
        found["container"] = asked["container"]
    if command := [value for name, value in query if name == "command"]:
        found["command"] = command
    return found
