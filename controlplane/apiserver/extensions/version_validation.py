"""What one version of a CustomResourceDefinition is refused for beside its schema: scale, printer columns, selectable
fields, the warning of its end (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.meta.paths import Path, Problem, duplicate, invalid, required, too_many
from controlplane.apiserver.extensions.field_paths import BadFieldPath, follow

Object = dict[str, Any]

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE = 8
_SELECTABLE = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)


def subresources(version: Object, path: Path) -> Iterator[Problem]:
    """The paths of the scale subresource."""
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for key, under in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        text, where = scale.get(key) or "", path.child(f"scale.{key}")
        if not text:
            if len(under) == 1:
                yield required(where)
        elif not text.startswith("."):
            yield invalid(where, text, "must be a simple json path starting with .")
        elif not text.startswith(under):
            place = f"under {under[0][:-1]}" if len(under) == 1 else "under either .spec or .status"
            yield invalid(where, text, f"should be a json path {place}")


def columns(version: Object, path: Path) -> Iterator[Problem]:
    """Name, type, format and path of each printer column."""
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = path.index(at)
        if not column.get("name"):
            yield required(where.child("name"))
        kind, form, text = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
        if kind not in _COLUMN_TYPES:
            sentence = "must be one of " + ",".join(_COLUMN_TYPES)
            yield invalid(where.child("type"), kind, sentence) if kind else required(where.child("type"), sentence)
        if form and form not in _COLUMN_FORMATS:
            yield invalid(where.child("format"), form, "must be one of " + ",".join(_COLUMN_FORMATS))
        if not text:
            yield required(where.child("JSONPath"))
        elif not text.startswith("."):
            yield invalid(where.child("JSONPath"), text, "must be a simple json path starting with .")


def selectable(version: Object, path: Path) -> Iterator[Problem]:
    """Each selectable field is a scalar of the schema, named once; at most eight."""
    fields = version.get("selectableFields") or []
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if fields and schema is None:
        top = "validations.schema is included"
        own = "version.schema.openAPIV3Schema is not included"
        wanted = top if str(path) == "spec.selectableFields" else own
        yield invalid(path, "", f"selectableFields may only be set when {wanted}")
        return
    seen: set[tuple[str, ...]] = set()
    for at, each in enumerate(fields):
        where, text = path.index(at).child("jsonPath"), each.get("jsonPath") or ""
        if not text:
            yield required(where)
            continue
        try:
            names, found = follow(text, schema or {}, lists=False)
        except BadFieldPath as wrong:
            yield invalid(where, text, f"is an invalid path: {wrong}")
            continue
        if names[0] == "metadata":
            yield invalid(where, text, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            yield invalid(where, text, _SELECTABLE)
        if names in seen:
            yield duplicate(where, text)
        seen.add(names)
    if len(seen) > _MAX_SELECTABLE:
        yield too_many(path, len(seen), _MAX_SELECTABLE)


def deprecation(version: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """The warning that users of a deprecated version get."""
    said = version.get("deprecationWarning")
    if said is None:
        return
    if not version.get("deprecated"):
        yield invalid(path, said, "can only be set for deprecated versions")
        return
    if len(said.encode()) > 256:
        yield invalid(path, said, "must be <= 256 characters long")
    if not said:
        yield invalid(path, said, "must not be an empty string")
    for at, char in enumerate(said):
        if not char.isprintable():
            index = len(said[:at].encode())
            sentence = f"non-printable character found at index {index}"
            yield invalid(path, said, f"must only contain printable UTF-8 characters; {sentence}")
            break
