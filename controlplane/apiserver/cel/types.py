"""The types that the checker knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.apiserver.cel.values import type_name


@dataclass(frozen=True, slots=True)
class Type:
    """`name` with parameters. `object` types have fields and are the same only as themselves."""

    name: str
    args: tuple[Type, ...] = ()

    def __str__(self) -> str:
        shown = _SHOWN.get(self.name, self.name)
        return f"{shown}({', '.join(map(str, self.args))})" if self.args else shown


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object: its name in the object, its type, and what makes the stored value that type's."""

    name: str
    type: Type
    read: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType(Type):
    """An object with known fields, by the name an expression uses."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    open: bool = False
    """Whether fields that are not listed may be asked for (they are dyn)."""
    sparse: bool = False
    """Whether a field that is null counts as absent."""


_SHOWN = {
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "error": "!error!",
    "free": "dyn",
}

DYN = Type("dyn")
FREE = Type("free")
"""What an empty list or map holds: it may become anything."""
ERROR = Type("error")
NULL = Type("null_type")
BOOL = Type("bool")
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string")
BYTES = Type("bytes")
TIMESTAMP = Type("google.protobuf.Timestamp")
DURATION = Type("google.protobuf.Duration")


def list_of(item: Type) -> Type:
    """`list(item)`."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def optional_of(item: Type) -> Type:
    """`optional_type(item)`."""
    return Type("optional_type", (item,))


def type_of(item: Type) -> Type:
    """`type(item)`."""
    return Type("type", (item,))


def variable(name: str) -> Type:
    """A type parameter of an overload."""
    return Type("var:" + name)


Binds = dict[str, Type]
_ANY = frozenset({"dyn", "free", "error"})


def assignable(want: Type, have: Type, binds: Binds) -> bool:
    """Whether a `have` may stand where `want` is declared; type parameters are bound on the way."""
    if want.name.startswith("var:"):
        bound = binds.get(want.name)
        if bound is None:
            binds[want.name] = have
            return True
        if assignable(bound, have, binds):
            if (bound.name == "null_type" and have.name != "null_type") or _unknown(bound):
                binds[want.name] = have
            elif have.name == "dyn":
                binds[want.name] = DYN
            return True
        if assignable(have, bound, binds):
            binds[want.name] = have
            return True
        return False
    if want.name in _ANY or have.name in _ANY:
        return True
    if have.name == "null_type" and nullable(want):
        return True
    if want.name == "null_type" and nullable(have):
        return True
    if isinstance(want, ObjectType) or isinstance(have, ObjectType):
        return want is have or (want.name == have.name and want.name != "object")
    if want.name == "type" and have.name == "type":
        return True
    if want.name != have.name or len(want.args) != len(have.args):
        return False
    return all(assignable(one, other, binds) for one, other in zip(want.args, have.args, strict=True))


def _unknown(kind: Type) -> bool:
    return kind.name == "free" or any(map(_unknown, kind.args))


def nullable(kind: Type) -> bool:
    """Types whose values may be compared with null."""
    return isinstance(kind, ObjectType) or kind.name in (
        "null_type",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "optional_type",
    )


def substitute(kind: Type, binds: Binds) -> Type:
    """The type with its parameters filled in; an unbound one is dyn."""
    if kind.name.startswith("var:"):
        return binds.get(kind.name, DYN)
    if not kind.args or isinstance(kind, ObjectType):
        return kind
    return Type(kind.name, tuple(substitute(arg, binds) for arg in kind.args))


def join(left: Type, right: Type) -> Type | None:
    """The type of a list's elements or of both branches; None when they have none in common."""
    binds: Binds = {}
    var = variable("join")
    if assignable(var, left, binds) and assignable(var, right, binds):
        return substitute(var, binds)
    return None


def is_a(value: Any, kind: Type) -> bool:
    """Whether a value is of a type, at run time: by the outermost name."""
    name = kind.name
    if name == "dyn" or name.startswith("var:"):
        return True
    found = type_name(value)
    return found == name or (found == "map" and isinstance(kind, ObjectType))
