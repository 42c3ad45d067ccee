"""Named formats (Kubernetes' library.Format): `format.dns1123Label().validate(text)`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from apimachinery.meta import names
from controlplane.apiserver.cel.errors import CelError
from controlplane.apiserver.cel.library import times, url
from controlplane.apiserver.cel.overloads import overload
from controlplane.apiserver.cel.values import NONE, Opaque, Optional

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class NamedFormat(Opaque):
    """`problems` gives what is wrong with a text, in the sentences of the API server's own validation."""

    name: str
    problems: Callable[[str], list[str]]
    cel_name: ClassVar[str] = "kubernetes.NamedFormat"


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    # A name that more is appended to may end in the dash before it.
    return lambda text: check(text[:-1] + "a" if len(text) > 1 and text.endswith("-") else text)


def _raises(check: Callable[[str], object], sentence: str | None = None) -> Callable[[str], list[str]]:
    def problems(text: str) -> list[str]:
        try:
            check(text)
        except (CelError, ValueError) as e:
            return [sentence or str(e)]
        return []

    return problems


def _base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as e:
        raise ValueError from e


def is_uuid(text: str) -> bool:
    """Any version, dashes optional (strfmt)."""
    return _UUID.fullmatch(text) is not None


_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns1123_label),
    "dns1123SubdomainPrefix": _prefix(names.dns1123_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns1035_label),
    "labelValue": names.label_value,
    "uri": _raises(url.parse),
    "uuid": lambda text: [] if is_uuid(text) else ["does not match the UUID format"],
    "byte": _raises(_base64, "invalid base64"),
    "date": _raises(date.fromisoformat, "invalid date"),
    "datetime": _raises(times.timestamp_of, "invalid datetime"),
}
_NAMED = {name: NamedFormat(name, problems) for name, problems in _FORMATS.items()}


def _named(name: str) -> Optional:
    found = _NAMED.get(name)
    return NONE if found is None else Optional.of(found)


def _validate(named: NamedFormat, text: str) -> Optional:
    problems = named.problems(text)
    return Optional.of(problems) if problems else NONE


FUNCTIONS = [
    overload("format.named(string): optional(Format)", _named),
    *(overload(f"format.{name}(): Format", lambda named=named: named) for name, named in _NAMED.items()),
    overload("Format.validate(string): optional(list(string))", _validate, 1.0),
]
