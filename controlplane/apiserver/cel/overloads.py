"""How functions are declared: `overload("string.substring(int, int): string", run)`.

A name before a dot in lower case is the receiver's type; a namespaced function is written `optional.of(A): …` with its
namespace in NAMESPACES. A capital letter is a type parameter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from controlplane.apiserver.cel.types import Type, is_a, variable

NAMESPACES = frozenset({"optional", "strings", "sets", "format", "ip", "cidr"})
"""Words that begin a namespaced function's name, when they are followed by a function and not declared as variables."""

_TYPES = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
    "optional": "optional_type",
    "Quantity": "kubernetes.Quantity",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Format": "kubernetes.NamedFormat",
    "Authorizer": "kubernetes.authorization.Authorizer",
    "PathCheck": "kubernetes.authorization.PathCheck",
    "GroupCheck": "kubernetes.authorization.GroupCheck",
    "ResourceCheck": "kubernetes.authorization.ResourceCheck",
    "Decision": "kubernetes.authorization.Decision",
}
_WORD = re.compile(r"[A-Za-z_0-9.]+|[(),]")


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature and what runs. weight: cost per element or character of all arguments together."""

    name: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    member: bool
    weight: float

    def accepts(self, values: Sequence[Any]) -> bool:
        """Whether these run-time values fit."""
        return all(map(is_a, values, self.params))


def overload(signature: str, run: Callable[..., Any], weight: float = 0.0) -> Overload:
    """Read a declaration. Raises ValueError for one that is not well-formed."""
    head, _, result = signature.rpartition("): ")
    at, depth = len(head), 1
    while depth:
        at -= 1
        depth += (head[at] == ")") - (head[at] == "(")
    before, types = head[:at], [read_type(word) for word in _split(head[at + 1 :])]
    namespace, dot, name = before.rpartition(".")
    if dot and namespace not in NAMESPACES:
        return Overload(name, (read_type(namespace), *types), read_type(result), run, True, weight)
    return Overload(before, tuple(types), read_type(result), run, False, weight)


def _split(params: str) -> Iterable[str]:
    depth, word = 0, ""
    for char in params:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            yield word.strip()
            word = ""
        else:
            word += char
    if word.strip():
        yield word.strip()


@cache
def read_type(text: str) -> Type:
    """`list(A)`, `map(string, dyn)`, `int`."""
    words = _WORD.findall(text)
    kind, rest = _read(words)
    if rest:
        raise ValueError(text)
    return kind


def _read(words: list[str]) -> tuple[Type, list[str]]:
    name, rest = words[0], words[1:]
    args: list[Type] = []
    if rest[:1] == ["("]:
        while rest[0] != ")":
            arg, rest = _read(rest[1:])
            args.append(arg)
        rest = rest[1:]
    if len(name) == 1 and name.isupper():
        return variable(name), rest
    return Type(_TYPES.get(name, name), tuple(args)), rest
