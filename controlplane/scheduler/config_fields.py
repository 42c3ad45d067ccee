"""Reading a configuration document field by field: what is wrong goes, by its path, to the problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.kit.config import Problems
from apimachinery.meta.times import parse_duration


class Fields:
    """Readers of one kind of field each; where a field is wrong, they answer with what a missing one means."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def only(self, path: str, said: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """Tell of every field that is not known."""
        for key in said:
            if key not in known:
                self.problems.add(at(path, key), "not supported here, or unknown")

    def object(self, key: str, said: Mapping[str, Any], path: str = "") -> Mapping[str, Any]:
        """An object; empty when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, dict):
            self.problems.add(at(path, key), "must be an object")
            return {}
        return found or {}

    def objects(self, key: str, said: Mapping[str, Any], path: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """The objects of a list, each with its path."""
        found = said.get(key) or []
        if not isinstance(found, list):
            self.problems.add(at(path, key), "must be a list")
            return []
        items: list[tuple[str, Mapping[str, Any]]] = []
        for index, one in enumerate(found):
            where = f"{at(path, key)}[{index}]"
            if isinstance(one, dict):
                items.append((where, one))
            else:
                self.problems.add(where, "must be an object")
        return items

    def texts(self, key: str, said: Mapping[str, Any], path: str = "") -> tuple[str, ...]:
        """The strings of a list."""
        found = said.get(key) or []
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            self.problems.add(at(path, key), "must be a list of strings")
            return ()
        return tuple(found)

    def text(self, key: str, said: Mapping[str, Any], path: str = "") -> str:
        """A string; empty when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, str):
            self.problems.add(at(path, key), "must be a string")
            return ""
        return found or ""

    def switch(self, key: str, said: Mapping[str, Any], path: str = "") -> bool:
        """true or false, which it is when it is missing."""
        found = said.get(key)
        if found is not None and not isinstance(found, bool):
            self.problems.add(at(path, key), "must be true or false")
        return found is True

    def number(
        self,
        key: str,
        said: Mapping[str, Any],
        low: int,
        high: int = 2**31 - 1,
        path: str = "",
        *,
        default: int = 0,
        words: str = "",
    ) -> int:
        """An integer from `low` to `high`. words: upstream's, for one outside."""
        found = said.get(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            told = words or f"not in valid range [{low}-{high}]"
            self.problems.add(at(path, key), f"Invalid value: {found!r}: {told}")
            return default
        return found

    def seconds(self, key: str, said: Mapping[str, Any], path: str = "", *, default: float, words: str = "") -> float:
        """A duration as Go writes it, longer than nothing. words: upstream's, for one below that."""
        found = said.get(key)
        if found is None:
            return default
        try:
            seconds = parse_duration(str(found))
        except ValueError as error:
            self.problems.add(at(path, key), str(error))
            return default
        if seconds < 0 and words:
            self.problems.add(at(path, key), f"Invalid value: {found}: {words}")
        return seconds if seconds > 0 else default


def at(path: str, key: str) -> str:
    """The path of a field of the object at `path`."""
    return f"{path}.{key}" if path else key
