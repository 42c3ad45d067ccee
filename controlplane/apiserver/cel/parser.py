"""Tokens to a tree, macros expanded (the parser rules of cel-go's CEL.g4)."""

from __future__ import annotations

from controlplane.apiserver.cel.ast import (
    Call,
    Comprehension,
    Const,
    Ident,
    ListLiteral,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from controlplane.apiserver.cel.errors import CelError, located
from controlplane.apiserver.cel.lexer import RESERVED, Token, tokens
from controlplane.apiserver.cel.values import INT_MAX

MAX_DEPTH = 100
"""Nesting of an expression. cel-go allows 250 with a growing stack; Python's is fixed."""

_BINARY = {
    "||": (1, "_||_"),
    "&&": (2, "_&&_"),
    "<": (3, "_<_"),
    "<=": (3, "_<=_"),
    ">": (3, "_>_"),
    ">=": (3, "_>=_"),
    "==": (3, "_==_"),
    "!=": (3, "_!=_"),
    "in": (3, "@in"),
    "+": (4, "_+_"),
    "-": (4, "_-_"),
    "*": (5, "_*_"),
    "/": (5, "_/_"),
    "%": (5, "_%_"),
}
_MACROS = {
    ("all", 2),
    ("exists", 2),
    ("exists_one", 2),
    ("existsOne", 2),
    ("map", 2),
    ("map", 3),
    ("filter", 2),
    ("all", 3),
    ("exists", 3),
    ("existsOne", 3),
    ("exists_one", 3),
    ("transformList", 3),
    ("transformList", 4),
    ("transformMap", 3),
    ("transformMap", 4),
    ("transformMapEntry", 3),
    ("transformMapEntry", 4),
    ("optMap", 2),
    ("optFlatMap", 2),
}
_START = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


def parse(text: str) -> Node:
    """The tree of one expression. Raises CelError with the place of the mistake."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind != "end":
            left_out = self._tokens[self._at + 1].kind == "end"
            self._unexpected(self._next, "<EOF>", left_out=left_out)
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _fail(self, token: Token, message: str) -> CelError:
        raise CelError(located(self._text, token.offset, message))

    def _unexpected(self, token: Token, wanted: str, *, left_out: bool) -> CelError:
        """left_out: whether all would be well without that token."""
        what = "extraneous" if left_out else "mismatched"
        raise self._fail(token, f"Syntax error: {what} input '{token.text}' expecting {wanted}")

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, text: str) -> bool:
        token = self._tokens[self._at]
        return token.kind == "op" and token.text == text

    def _skip(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> Token:
        if not self._is(text):
            left_out = self._next.kind != "end" and self._tokens[self._at + 1].text == text
            self._unexpected(self._next, f"'{text}'", left_out=left_out)
        return self._take()

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(self._next, f"expression recursion limit exceeded: {MAX_DEPTH}")
        node = self._binary(1)
        if self._is("?"):
            offset = self._take().offset
            yes = self._binary(1)
            self._expect(":")
            node = Call(offset, "_?_:_", None, (node, yes, self._expression()))
        self._depth -= 1
        return node

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while self._next.kind == "op" and self._next.text in _BINARY:
            strength, function = _BINARY[self._next.text]
            if strength < least:
                break
            offset = self._take().offset
            right = self._binary(strength + 1)
            if strength > 2:
                left = Call(offset, function, None, (left, right))
                continue
            terms, offsets = [left, right], [offset]
            while self._is("||" if strength == 1 else "&&"):
                offsets.append(self._take().offset)
                terms.append(self._binary(strength + 1))
            left = _balanced(function, terms, offsets)
        return left

    def _unary(self) -> Node:
        token = self._next
        for sign, function in (("!", "!_"), ("-", "-_")):
            if not self._is(sign):
                continue
            count = 0
            while self._is(sign):
                last = self._take()
                count += 1
            number = self._next
            if sign == "-" and number.kind == "const" and type(number.value) in (int, float):
                # The sign next to a literal is part of it; the others negate.
                self._take()
                node = self._members(Const(last.offset, -number.value))
                count -= 1
            else:
                node = self._members(self._primary())
            # An even number of signs is none, as cel-go balances them.
            return Call(token.offset, function, None, (node,)) if count % 2 else node
        return self._members(self._primary())

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "const":
            if type(token.value) is int and token.value > INT_MAX:
                self._fail(token, "invalid int literal")
            return Const(token.offset, token.value)
        if token.kind == "op":
            if token.text == "(":
                node = self._expression()
                self._expect(")")
                return node
            if token.text == "[":
                return self._list(token.offset)
            if token.text == "{":
                return self._map(token.offset)
            if token.text == "." and self._next.kind == "ident":
                token = self._take()
        if token.kind == "ident":
            if token.text in RESERVED:
                self._fail(token, f"reserved identifier: {token.text}")
            if self._is("("):
                offset = self._take().offset
                return self._call(token, offset, None, self._arguments())
            return Ident(token.offset, token.text)
        left_out = token.kind != "end" and _begins(self._next)
        raise self._unexpected(token, _START, left_out=left_out)

    def _members(self, node: Node) -> Node:
        links = 0
        while True:
            if self._is("."):
                dot = self._take()
                optional = self._skip("?")
                name = self._take()
                if name.text in ("true", "false", "null"):
                    self._unexpected(name, "IDENTIFIER", left_out=False)
                if (name.kind == "op" and name.text == "in") or name.kind not in ("ident", "escaped"):
                    self._fail(name, f"Syntax error: no viable alternative at input '.{name.text}'")
                if not optional and name.kind == "ident" and self._is("("):
                    offset = self._take().offset
                    node = self._call(name, offset, node, self._arguments())
                else:
                    field = name.text[1:-1] if name.kind == "escaped" else name.text
                    node = Select(dot.offset, node, field, optional)
            elif self._is("["):
                offset = self._take().offset
                function = "_[?_]" if self._skip("?") else "_[_]"
                index = self._expression()
                self._expect("]")
                node = Call(offset, function, None, (node, index))
            else:
                return node
            links += 1
            if links > MAX_DEPTH:
                self._fail(self._next, f"expression recursion limit exceeded: {MAX_DEPTH}")

    def _arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._is(")"):
            found.append(self._expression())
            if not self._skip(","):
                break
        self._expect(")")
        return tuple(found)

    def _list(self, offset: int) -> Node:
        elements: list[Node] = []
        optional = set()
        while not self._is("]"):
            if self._skip("?"):
                optional.add(len(elements))
            elements.append(self._expression())
            if not self._skip(","):
                break
        self._expect("]")
        return ListLiteral(offset, tuple(elements), frozenset(optional))

    def _map(self, offset: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._is("}"):
            optional = self._skip("?")
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._skip(","):
                break
        self._expect("}")
        return MapLiteral(offset, tuple(entries))

    def _call(self, name: Token, offset: int, target: Node | None, args: tuple[Node, ...]) -> Node:
        if target is None and name.text == "has" and len(args) == 1:
            arg = args[0]
            if not isinstance(arg, Select):
                self._fail(name, "invalid argument to has() macro")
            else:
                return Select(offset, arg.operand, arg.field, test=True)
        if target is not None and (name.text, len(args)) in _MACROS:
            return self._macro(name, offset, target, args)
        return Call(offset, name.text, target, args)

    def _macro(self, name: Token, offset: int, target: Node, args: tuple[Node, ...]) -> Node:
        macro = "existsOne" if name.text == "exists_one" else name.text
        if macro in ("optMap", "optFlatMap"):
            variable = self._variable(args[0], f"{macro}() variable name must be a simple identifier")
            return OptionalMap(offset, target, variable, args[1], macro == "optFlatMap")
        two = macro.startswith("transform") or (len(args) == 3 and macro in ("all", "exists", "existsOne"))
        count = 2 if two else 1
        wrong = "argument must be a simple name" if two else "argument is not an identifier"
        names = tuple(self._variable(arg, wrong) for arg in args[:count])
        if len(set(names)) != len(names):
            self._fail(name, f"duplicate variable name: {names[0]}")
        rest = args[count:]
        if macro in ("all", "exists", "existsOne", "filter"):
            return Comprehension(offset, macro, target, names, rest[0], None)
        predicate, result = (None, rest[0]) if len(rest) == 1 else (rest[0], rest[1])
        return Comprehension(offset, macro, target, names, predicate, result)

    def _variable(self, node: Node, wrong: str) -> str:
        if not isinstance(node, Ident):
            raise CelError(located(self._text, node.offset, wrong))
        return node.name


def _begins(token: Token) -> bool:
    """Whether an expression may begin so."""
    return token.kind in ("ident", "const") or (token.kind == "op" and token.text in ("[", "{", "(", ".", "-", "!"))


def _balanced(function: str, terms: list[Node], offsets: list[int]) -> Node:
    """A chain of one logical operator as a tree of little depth, as cel-go builds it."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    left, right = (
        _balanced(function, terms[:half], offsets[: half - 1]),
        _balanced(function, terms[half:], offsets[half:]),
    )
    return Call(offsets[half - 1], function, None, (left, right))
