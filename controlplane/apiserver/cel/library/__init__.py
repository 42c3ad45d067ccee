"""Every function an expression may call, by name: cel-go's standard library and those of Kubernetes 1.32."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.apiserver.cel import operators
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library import (
    authorizer,
    core,
    formats,
    lists,
    network,
    optionals,
    quantity,
    regex,
    strings,
    times,
    url,
)
from controlplane.apiserver.cel.overloads import Overload, read_type
from controlplane.apiserver.cel.types import Type

FUNCTIONS: dict[str, list[Overload]] = {}
for _module in (core, strings, times, lists, regex, optionals, quantity, url, network, formats, authorizer):
    for _each in _module.FUNCTIONS:
        FUNCTIONS.setdefault(_each.name, []).append(_each)

TYPE_NAMES: dict[str, Type] = {
    name: read_type(name)
    for name in ("bool", "bytes", "double", "duration", "dyn", "int", "list", "map", "null_type", "string", "timestamp")
    if name not in ("duration", "timestamp", "dyn")
}
"""Types that may be written as values: `type(x) == int`."""
TYPE_NAMES |= {
    "uint": Type("uint"),
    "type": Type("type"),
    "optional_type": Type("optional_type"),
    "google.protobuf.Timestamp": Type("google.protobuf.Timestamp"),
    "google.protobuf.Duration": Type("google.protobuf.Duration"),
    "net.IP": Type("net.IP"),
    "net.CIDR": Type("net.CIDR"),
    "kubernetes.Quantity": Type("kubernetes.Quantity"),
    "kubernetes.URL": Type("kubernetes.URL"),
}


_CONVERSIONS = ("bool", "bytes", "double", "int", "string", "uint")


def check_literals(function: str, literals: list[object]) -> tuple[int, str] | None:
    """What is wrong with a literal argument (its index and cel-go's message), where it can be known before the run."""
    checked: Callable[[str], object]
    if function == "matches":
        at, checked = 1, regex.compiled
    elif function == "duration":
        at, checked = 0, times.duration
    elif function == "timestamp":
        at, checked = 0, times.timestamp_of
    else:
        return None
    literal = literals[at]
    if not isinstance(literal, str):
        return _check_seconds(literal) if function == "timestamp" else None
    try:
        checked(literal)
    except CelError:
        return at, f"invalid {function} argument"
    return None


def _check_seconds(literal: object) -> tuple[int, str] | None:
    try:
        operators.timestamp(literal * 10**9 if type(literal) is int else 0)
    except CelError:
        return 0, "invalid timestamp argument"
    return None


def check_runnable(function: str, literals: list[object]) -> None:
    """Raises CelError for a literal that a program cannot be made of: a pattern, or a text that converts to nothing."""
    if function in ("find", "findAll") and isinstance(literals[1], str):
        regex.compiled(literals[1])
    elif function in _CONVERSIONS and len(literals) == 1 and isinstance(literals[0], str | bytes | int | float):
        for each in FUNCTIONS[function]:
            if each.accepts(literals):
                each.run(*literals)
                return
