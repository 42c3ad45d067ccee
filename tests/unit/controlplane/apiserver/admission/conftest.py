"""The real embedded store, where plug-ins look things up; and in every test: that they tell what they change."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from controlplane.apiserver.admission import plugins
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.storage.sqlite import SqliteStorage
from tests.unit.controlplane.apiserver.admission.webhook_server import webhook_server

MUTATING = [
    each
    for each in Plugin.__subclasses__()
    if each.__module__.startswith(plugins.__package__) and each.mutate is not Plugin.mutate
]


@pytest.fixture
async def storage(tmp_path):
    store = await SqliteStorage.open(tmp_path / "store.db")
    yield store
    await store.close()


@pytest.fixture
async def server(tmp_path):
    async with webhook_server(tmp_path) as served:
        yield served


@pytest.fixture(autouse=True)
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in that changes anything else than it tells, or tells of what it leaves alone, fails its test.

    A webhook's patch is told as it is, and then read and defaulted, so that more changes: it has a test of its own."""
    for each in MUTATING:
        if each.name != "MutatingAdmissionWebhook":
            monkeypatch.setattr(each, "mutate", _checked(each))


def _checked(plugin: type[Plugin]) -> Any:
    real = plugin.mutate

    async def mutate(self: Plugin, review: Review) -> None:
        before, told = deepcopy(review.new), len(review.told)
        await real(self, review)
        said = [change.partition(": ")[0] for _, change in review.told[told:]]
        assert sorted(said) == sorted(changed(before, review.new, "")), plugin.name

    return mutate


def changed(before: Any, after: Any, path: str) -> Iterator[str]:
    """The paths that differ, as a plug-in has to tell them: with a sign in front where an item came or went."""
    if before == after:
        return
    if isinstance(before, list) or isinstance(after, list):
        had, has = ({named(each): each for each in items or ()} for items in (before, after))
        for name in (*had, *(each for each in has if each not in had)):
            if name not in had or name not in has:
                yield f"{'-' if name in had else '+'}{path}[{name}]"
            else:
                yield from changed(had[name], has[name], f"{path}[{name}]")
    elif isinstance(before, dict) or isinstance(after, dict):
        for key in {**(before or {}), **(after or {})}:
            if path == "spec" and key == "serviceAccount":
                continue  # the old name of serviceAccountName, always the same
            of_users = "/" in key or path == "spec.nodeSelector"
            below = f"[{key}]" if of_users else f".{key}" if path else key
            yield from changed((before or {}).get(key), (after or {}).get(key), path + below)
    else:
        yield path


def named(item: Any) -> str:
    """What an item of a list is called by."""
    return item if isinstance(item, str) else str(item.get("name") or item.get("key") or "*")
