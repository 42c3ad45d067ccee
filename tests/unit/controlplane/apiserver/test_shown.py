"""Entries in a version that somebody else has to make: asked for once, together, and remembered while it pays."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from controlplane.apiserver.registry import shown
from controlplane.apiserver.registry.shown import Shown
from controlplane.apiserver.storage.cache_entries import Entry

Object = dict[str, Any]


class Converter:
    """Makes v2 of v1 when it may; remembers the names it was asked for, by question."""

    def __init__(self, held: int = 1000) -> None:
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.refuses = False
        self.shown = Shown[Object](self.convert, orjson.loads, lambda: held, "example.com/v2")

    async def convert(self, objects: list[Object]) -> list[Object]:
        self.asked.append([obj["metadata"]["name"] for obj in objects])
        await self.open.wait()
        if self.refuses:
            raise ConnectionError("no")
        return [
            obj if obj["apiVersion"] == "example.com/v2" else {**obj, "apiVersion": "example.com/v2"} for obj in objects
        ]


def entry(name: str, revision: int = 1, version: str = "v1", spare: str = "") -> Entry[Object]:
    obj = {"apiVersion": f"example.com/{version}", "metadata": {"name": name}, "spare": spare}
    return Entry(f"/registry/{name}", revision, orjson.dumps(obj), orjson.loads)


async def test_one_question_for_many_and_none_for_what_is_known() -> None:
    converter = Converter()
    entries = [entry("a"), entry("b"), entry("c", version="v2"), entry("a")]
    found = await converter.shown.of(entries)
    assert [each.attributes["apiVersion"] for each in found] == ["example.com/v2"] * 4
    assert [(each.key, each.revision) for each in found] == [(each.key, each.revision) for each in entries]
    assert found[2] is entries[2] and found[3] is found[0]
    assert await converter.shown.of([entry("b"), entry("d"), entry("a", revision=2)]) != []
    assert converter.asked == [["a", "b"], ["d", "a"]]


async def test_what_is_written_in_another_order_is_still_of_its_version() -> None:
    odd = Entry("/registry/a", 1, b'{"metadata":{"name":"a"},"apiVersion":"example.com/v2"}', orjson.loads)
    assert await Converter().shown.of([odd]) == [odd]


async def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "PORTION", 2)
    converter = Converter()
    await converter.shown.of([entry(name) for name in "abcde"])
    assert converter.asked == [["a", "b"], ["c", "d"], ["e"]]
    monkeypatch.setattr(shown, "PORTION_BYTES", 200)
    converter = Converter()
    await converter.shown.of([entry("a", spare="x" * 300), entry("b"), entry("c")])
    assert converter.asked == [["a"], ["b", "c"]]


async def test_those_who_want_the_same_at_once_share_the_question() -> None:
    converter = Converter()
    converter.open.clear()
    first = asyncio.create_task(converter.shown.of([entry("a"), entry("b")]))
    second = asyncio.create_task(converter.shown.of([entry("b"), entry("c")]))
    while len(converter.asked) < 2:
        await asyncio.sleep(0)
    first.cancel()  # its client has gone; the other still gets what was asked for it
    converter.open.set()
    assert [each.key for each in await second] == ["/registry/b", "/registry/c"]
    with pytest.raises(asyncio.CancelledError):
        await first
    await converter.shown.of([entry("a")])
    assert converter.asked == [["a", "b"], ["c"]]


async def test_a_refusal_is_told_to_all_who_wait_and_not_remembered() -> None:
    converter = Converter()
    converter.refuses = True
    results = await asyncio.gather(*(converter.shown.of([entry("a")]) for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in results] == ["no"] * 3 and converter.asked == [["a"]]
    converter.refuses = False
    assert len(await converter.shown.of([entry("a")])) == 1


async def test_the_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown, "SPARE", 1)
    converter = Converter(held=1)  # so three states are remembered
    for name in ("a", "b", "c", "a", "d"):
        await converter.shown.of([entry(name)])
    assert converter.asked == [["a"], ["b"], ["c"], ["d"]]
    await converter.shown.of([entry("a")])
    await converter.shown.of([entry("b")])
    assert converter.asked[4:] == [["b"]]
