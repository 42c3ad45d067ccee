"""What every Service wants of the rules: its ports, each with its endpoints; worked out when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from .services import Endpoint, ServicePort

ServicePorts = list[tuple[ServicePort, list[Endpoint]]]


class Planned(Mapping[str, ServicePorts]):
    """By the Service's key `namespace/name`; empty for one that has no ports to proxy.

    Asking late means that a full write's command is running before its first rule is known.
    plan: what a Service wants now.
    """

    def __init__(self, plan: Callable[[str], ServicePorts]) -> None:
        self._plan = plan
        self._found: dict[str, ServicePorts | None] = {}

    def __getitem__(self, key: str) -> ServicePorts:
        found = self._found[key]
        if found is None:
            found = self._found[key] = self._plan(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def work_out(self, keys: Iterable[str]) -> None:
        """Those in `keys` that nobody has asked for yet."""
        for key in keys:
            if self._found.get(key, ()) is None:
                self[key]

    def replace(self, changed: Set[str], gone: Set[str]) -> dict[str, ServicePorts]:
        """Those in `changed` are to be worked out anew, those in `gone` forgotten; returns what both wanted before."""
        before = {key: found for key in changed | gone if (found := self._found.get(key))}
        self._found |= dict.fromkeys(changed)
        for key in gone:
            self._found.pop(key, None)
        return before
