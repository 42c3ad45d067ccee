"""`$(VAR)` in commands, arguments and environment (third_party/forked/golang/expansion of k8s.io/kubernetes)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; an unknown one stays as it is, and `$$` is one `$`."""

    def one(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return variables.get(name, match.group(0))

    return _REFERENCE.sub(one, text)


def references(text: str) -> set[str]:
    """The names that `expand` looks for."""
    return {match[1] for match in _REFERENCE.finditer(text) if match[1] is not None}
