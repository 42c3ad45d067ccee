"""What goes wrong with an expression, said in cel-go's words."""

from __future__ import annotations


class CelError(Exception):
    """The expression does not compile, or its evaluation failed; the message is cel-go's."""


class NotRunnable(CelError):
    """The expression compiles, and yet it cannot be run: a literal in it cannot become what it is meant for."""


class CostExceeded(CelError):
    """The evaluation went over its budget. Never absorbed by `||` and `&&`, unlike other failures."""


def refusal(error: CelError) -> str:
    """Why an expression is not accepted, as every API says it."""
    return f"{'program instantiation' if isinstance(error, NotRunnable) else 'compilation'} failed: {error}"


def located(text: str, offset: int, message: str) -> str:
    """`ERROR: <input>:LINE:COLUMN: message` with the line and a mark below it. offset: in characters from 0."""
    before = text[:offset]
    line = before.count("\n") + 1
    column = offset - (before.rfind("\n") + 1)
    source = text.split("\n")[line - 1]
    return f"ERROR: <input>:{line}:{column + 1}: {message}\n | {source}\n | {'.' * column}^"
