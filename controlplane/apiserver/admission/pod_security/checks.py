"""The shape of a check, and the words that all of them use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

Object = Mapping[str, Any]


class Refusal(Struct, frozen=True):
    """Why a check forbids a pod: in short, and in detail."""

    reason: str
    detail: str


CheckPod = Callable[[Object, Object], Refusal | None]
"""From a pod's (or template's) metadata and specification."""


class Check(Struct, frozen=True):
    """versions: each function from the minor version on that it was introduced in, ascending. overrides: the checks of
    the baseline that it makes superfluous in the restricted level."""

    name: str
    versions: tuple[tuple[int, CheckPod], ...]
    overrides: str = ""


def containers(spec: Object) -> Iterator[Object]:
    """Every container of a pod, in the order that messages name them."""
    for section in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(section) or ()


def security(holder: Object) -> Object:
    """The securityContext of a pod or a container; empty when there is none."""
    return holder.get("securityContext") or {}


def quoted(items: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{item}"' for item in items)


def counted(number: int, singular: str, plural: str) -> str:
    return singular if number == 1 else plural


def named(names: list[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{counted(len(names), 'container', 'containers')} {quoted(names)}"


def setters(pod: bool, names: list[str]) -> str:
    """`pod and container "a"`: who sets a value; "" for nobody."""
    return " and ".join([*(["pod"] if pod else []), *([named(names)] if names else [])])


def is_windows(spec: Object) -> bool:
    """Whether the pod says that it is for Windows, where some fields may not be set at all."""
    return (spec.get("os") or {}).get("name") == "windows"
