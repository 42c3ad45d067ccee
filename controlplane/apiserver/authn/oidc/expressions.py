"""CEL in the configuration of providers (k8s.io/apiserver/pkg/authentication/cel): `claims` is what the token says,
`user` whom it made.

Importing this loads CEL: only what has expressions does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from controlplane.apiserver.admission.cel_types import USER
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.cel import BOOL, DYN, STRING, CelError, Program, compile_expression, map_of, refusal
from controlplane.apiserver.cel.ast import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from controlplane.apiserver.cel.parser import parse

_VARIABLES = {"claims": map_of(STRING, DYN), "user": USER}


@lru_cache(maxsize=1024)  # what was validated is run
def compiled(text: str, variable: str, *, condition: bool) -> Program:
    """variable: `claims` or `user`, the only one in sight. condition: whether it must be known to give true or false;
    what a mapping gives is looked at when it was run. Raises ValueError with upstream's sentence."""
    try:
        program = compile_expression(text, {variable: _VARIABLES[variable]})
    except CelError as error:
        raise ValueError(refusal(error)) from None
    if condition and program.type != BOOL:
        raise ValueError("must evaluate to bool")
    return program


def evaluate(program: Program, bound: Mapping[str, Any]) -> Any:
    """Raises TokenError."""
    try:
        return program.evaluate(bound)
    except CelError as error:
        raise TokenError(f"expression '{program.text}' resulted in error: {error}") from None


def reads(text: str, claim: str) -> bool:
    """Whether a correct expression asks for `claims.CLAIM`, with or without a question mark, or for its being there."""
    return _reads(parse(text), claim)


def _reads(node: Node | None, claim: str) -> bool:
    if isinstance(node, Select) and node.field == claim and node.operand == Ident(node.operand.offset, "claims"):
        return True
    return any(_reads(each, claim) for each in _below(node))


def _below(node: Node | None) -> tuple[Node | None, ...]:
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return (node.target, *node.args)
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return tuple(each for key, value, _ in node.entries for each in (key, value))
        case Comprehension():
            return node.over, node.predicate, node.result
        case OptionalMap():
            return node.target, node.body
        case _:
            return ()
