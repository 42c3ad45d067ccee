"""Paths that are served without asking anybody (k8s.io/apiserver/pkg/authorization/path)."""

from __future__ import annotations

from collections.abc import Iterable

HEALTH = ("/healthz", "/readyz", "/livez")


class OpenPaths:
    """Each is a path, or all that begins as told before its trailing `*`. A leading / may be left out.

    Raises ValueError for a `*` elsewhere.
    """

    def __init__(self, paths: Iterable[str] = HEALTH) -> None:
        told = [path.removeprefix("/") for path in paths]
        for path in told:
            if "*" in path[:-1]:
                raise ValueError(f'only trailing * allowed in "{path}"')
        self._whole = frozenset(path for path in told if not path.endswith("*"))
        self._prefixes = tuple(path[:-1] for path in told if path.endswith("*"))

    def __contains__(self, path: str) -> bool:
        path = path.removeprefix("/")
        return path in self._whole or path.startswith(self._prefixes)
