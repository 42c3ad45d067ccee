"""The history of an object as a person reads it: one heading a revision, and what changed in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from rich.text import Text

Object = dict[str, Any]

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}
_WORDS = {"HELD": "held since before", "ADDED": "created", "MODIFIED": "changed", "DELETED": "deleted"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource as discovery tells of it."""

    group: str
    version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str) -> str:
        """The URL path of one object; the namespace counts only where there are namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return (
            f"{root}/namespaces/{namespace}/{self.plural}/{name}" if self.namespaced else f"{root}/{self.plural}/{name}"
        )


def find_kind(lists: Iterable[Mapping[str, Any]], word: str) -> Kind | None:
    """The resource that `word` (plural, singular, kind or short name, with `.GROUP` behind it or not) names.

    lists: an APIResourceList of every group's preferred version. The first one wins, as with kubectl."""
    wanted, _, group = word.lower().partition(".")
    for each in lists:
        name, _, version = str(each["groupVersion"]).rpartition("/")
        if group and name != group and not name.startswith(group + "."):
            continue
        for resource in each["resources"]:
            names = {resource["name"], resource["singularName"], resource["kind"].lower()}
            if wanted in {*names, *resource.get("shortNames", [])} and "get" in resource["verbs"]:
                return Kind(name, version, resource["name"], resource["namespaced"])
    return None


def render_history(found: Mapping[str, Any], *, managed_fields: bool = False) -> Iterator[Text]:
    """Lines for a terminal: the first version whole, then the differences."""
    if found.get("truncated"):
        yield Text("earlier revisions are left out: there is too much of them", style="yellow")
    before: list[str] = []
    for number, version in enumerate(found["versions"]):
        obj = version["object"]
        yield _heading(version, _author(obj))
        if version["type"] == "DELETED":
            before = []
            continue
        lines = _lines(obj, managed_fields)
        if number == 0:
            yield from (Text(f"  {line}") for line in lines)
        elif not before:
            yield from (Text(f"+ {line}", style="green") for line in lines)
        else:
            yield from _differences(before, lines)
        before = lines


def _differences(before: list[str], after: list[str]) -> Iterator[Text]:
    changed = list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]
    if not changed:
        yield Text("  (nothing but metadata kept by the server)", style="dim")
    for line in changed:
        shown = f"{line[0]} {line[1:]}" if line[0] in "+- " else line
        yield Text(shown, style=_COLOURS.get(line[0], ""))


def _heading(version: Mapping[str, Any], author: str) -> Text:
    text = Text(f"revision {version['resourceVersion']}", style="bold yellow")
    text.append(f"  {version.get('time', '')}".rstrip(), style="yellow")
    text.append(f"  {_WORDS[version['type']]}", style="bold red" if version["type"] == "DELETED" else "bold")
    if author and version["type"] in ("ADDED", "MODIFIED"):
        text.append(f" by {author}", style="magenta")
    return text


def _author(obj: Object) -> str:
    """The manager that wrote last, by its own time."""
    entries = [each for each in obj.get("metadata", {}).get("managedFields") or [] if each.get("time")]
    newest = max(entries, key=lambda each: str(each["time"]), default=None)
    if newest is None:
        return ""
    below = f" ({newest['subresource']})" if newest.get("subresource") else ""
    return f"{newest['manager']}{below}"


def _lines(obj: Object, managed_fields: bool) -> list[str]:
    hidden = {"resourceVersion"} if managed_fields else {"resourceVersion", "managedFields"}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in hidden}
    return str(yaml.safe_dump({**obj, "metadata": metadata}, sort_keys=False, allow_unicode=True)).splitlines()
