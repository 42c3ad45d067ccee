"""Objects as the server validates them, decoded and defaulted, and problems as their sentences."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from apimachinery.api import defaults
from apimachinery.api.catalogue import CATALOGUE, Resource
from apimachinery.meta.paths import Problem

Object = dict[str, Any]


def resource(api_version: str, kind: str) -> Resource:
    found = CATALOGUE.by_kind(api_version, kind)
    assert found is not None
    return found


def made(kind: Resource, name: str = "a", /, metadata: Object | None = None, **fields: Any) -> Object:
    """A defaulted object of a kind, in the namespace `default` unless its metadata say another."""
    about: Object = {"name": name, "resourceVersion": "1", **(metadata or {})}
    if kind.namespaced:
        about.setdefault("namespace", "default")
    body: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": about, **deepcopy(fields)}
    defaults.apply(kind, body)
    return body


def texts(problems: Iterable[Problem]) -> list[str]:
    return [str(problem) for problem in problems]
