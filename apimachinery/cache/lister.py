"""Reading the local copy. What is returned is shared: copy before changing anything in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import Any

from apimachinery.meta import objects
from apimachinery.meta.labels import EVERYTHING, Selector

Object = dict[str, Any]
Objects = list[Object]  # `list` is a method below
Keys = list[str]
IndexFunction = Callable[[Object], Iterable[str]]

NAMESPACE_INDEX = "namespace"


def _key(name: str, namespace: str | None) -> str:
    return f"{namespace}/{name}" if namespace else name


class Lister:
    """Objects by key and by index. Lookups cost what they return, not what is stored."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {}
        self.add_index(NAMESPACE_INDEX, lambda obj: (objects.namespace(obj),))

    def __len__(self) -> int:
        return len(self._objects)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Index by the values that `function` returns for an object. A name added again is replaced."""
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._enter(name, key, obj)

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        return self._objects.get(_key(name, namespace))

    def get_by_key(self, key: str) -> Object | None:
        """key: `namespace/name`, or `name` for what has no namespace."""
        return self._objects.get(key)

    def keys_except(self, listed: Set[str]) -> Keys:
        """The keys held that are not in `listed`."""
        return [key for key in self._objects if key not in listed]

    def list(self, namespace: str | None = None, selector: Selector = EVERYTHING) -> Objects:
        """All of `namespace`, or of all namespaces when it is None, that `selector` matches; in no promised order."""
        if namespace is None:
            found: Iterable[Object] = self._objects.values()
        else:
            found = self.by_index(NAMESPACE_INDEX, namespace)
        if selector is EVERYTHING:
            return [*found]
        return [obj for obj in found if selector.matches(objects.labels(obj))]

    def by_index(self, name: str, value: str) -> Objects:
        """Raises KeyError for an index nobody added."""
        return [*self._indexes[name].get(value, {}).values()]

    def put(self, obj: Object) -> Object | None:
        """Store; returns what was there. For the informer alone."""
        key = objects.key(obj)
        old = self._objects.get(key)
        if old is not None:
            self._leave(key, old)
        self._objects[key] = obj
        for name in self._functions:
            self._enter(name, key, obj)
        return old

    def remove(self, key: str) -> Object | None:
        """Remove; returns what was there. For the informer alone."""
        old = self._objects.pop(key, None)
        if old is not None:
            self._leave(key, old)
        return old

    def _enter(self, index: str, key: str, obj: Object) -> None:
        for value in self._functions[index](obj):
            self._indexes[index].setdefault(value, {})[key] = obj

    def _leave(self, key: str, obj: Object) -> None:
        for name, function in self._functions.items():
            table = self._indexes[name]
            for value in function(obj):
                entries = table.get(value)
                if entries is not None:
                    entries.pop(key, None)
                    if not entries:
                        del table[value]
