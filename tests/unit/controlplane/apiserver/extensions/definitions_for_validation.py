"""Definitions with one thing about them changed, and what they are refused for."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from controlplane.apiserver.extensions.validation import validate_create

Object = dict[str, Any]
_SIZE: Object = {"type": "object", "properties": {"n": {"type": "integer"}, "a.b": {"type": "string"}}}
SCHEMA: Object = {"type": "object", "properties": {"spec": _SIZE, "status": {"type": "object"}}}
PLURAL: Object = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}


def version(name: str = "v1", **fields: Any) -> Object:
    """One entry of spec.versions; the stored one when it is v1."""
    about = {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": SCHEMA}}
    return deepcopy({**about, **fields})


def defined(*versions: Object, **spec: Any) -> Object:
    """A good definition of these versions, or of v1, with `spec` on top."""
    about = {"group": "example.com", "scope": "Namespaced", "names": PLURAL, "conversion": {"strategy": "None"}}
    return deepcopy(
        {
            "metadata": {"name": "things.example.com", "resourceVersion": "1"},
            "spec": {**about, "versions": list(versions) or [version()], **spec},
            "status": {"storedVersions": ["v1"]},
        }
    )


def changed(change: Callable[[Object], Any], **fields: Any) -> Object:
    """A definition whose schema was changed."""
    only = version(**fields)
    change(only["schema"]["openAPIV3Schema"])
    return defined(only)


def texts(definition: Object) -> list[str]:
    return [str(problem) for problem in validate_create(definition)]
