"""Untyped values as Go prints them with %#v in a message."""

from __future__ import annotations

import json
from typing import Any

from apimachinery.meta.paths import Verbatim
from controlplane.apiserver.cel.operators import go_float


def go_value(value: Any) -> Any:
    """A scalar as it is (messages know how to show it); an object or a list as Go's literal."""
    return Verbatim(_literal(value)) if isinstance(value, dict | list) else value


def _literal(value: Any) -> str:
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return go_float(value)
        case dict():
            return (
                "map[string]interface {}{"
                + ", ".join(f"{_literal(k)}:{_literal(value[k])}" for k in sorted(value))
                + "}"
            )
        case list():
            return "[]interface {}{" + ", ".join(map(_literal, value)) + "}"
    return str(value)
