"""YAML for people: what kubectl 1.32 printed of the same values."""

from typing import Any

import pytest

from apimachinery.meta.yaml_text import load
from apimachinery.meta.yaml_writing import dump

PLAIN = (
    "a", "-a", "a:b", "a#b", "=", "<<", "2026-13-45", "0.1.2", "oN", "NaN", "http://x.y/z?a=b&c=d", "é", "a,b", "<nil>",
    "_1", "key=value", "a\\b",
)  # fmt: skip
SINGLE = (
    "- a",
    "? a",
    ": a",
    "a: b",
    "a #b",
    "#a",
    "{a}",
    "[a]",
    "*a",
    "%a",
    "@a",
    "|",
    "> a",
    " a",
    "a ",
    "'",
    "---",
)
DOUBLE = (
    "", "1", "1.5", "true", "yes", "y", "n", "No", "off", "null", "~", "2026-11-23T17:54:17Z", "2026-11-23",
    "2026-1-2 3:4:5", "12:30", "1:20:30", "0x1f", "017", "0b11", "1_000", "1e3", ".5", ".inf", ".nan", "+1", "00", "1.",
    "a\tb", "a\rb", "\x01", "😀",
)  # fmt: skip


def written(value: Any) -> str:
    return dump({"k": value}).decode().removeprefix("k: ").removesuffix("\n")


@pytest.mark.parametrize("text", PLAIN)
def test_text_that_needs_no_quotes(text: str) -> None:
    assert written(text) == text


@pytest.mark.parametrize("text", SINGLE)
def test_text_that_would_be_something_else_of_yaml(text: str) -> None:
    assert written(text) == "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("text", DOUBLE)
def test_text_that_would_be_another_type(text: str) -> None:
    shown = written(text)
    assert shown[0] == shown[-1] == '"'
    assert load(f"k: {shown}") == {"k": text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n\nb\n\n", "|+\n  a\n\n  b\n"),
        (" a\nb", "|2-\n   a\n  b"),
        ("\tb\na", '"\\tb\\na"'),
        ("a \nb", '"a \\nb"'),
        ("word " * 20 + "end", "word " * 15 + "word\n  word word word word end"),
    ],
)
def test_lines(text: str, shown: str) -> None:
    assert written(text) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (5.0, "5"),
        (1e6, "1e+06"),
        (1000000.5, "1.0000005e+06"),
        (0.00001, "1e-05"),
        (0.0001, "0.0001"),
    ],
)
def test_numbers(number: float, shown: str) -> None:
    assert written(number) == shown


def test_keys_are_in_an_order_for_people() -> None:
    keys = [
        "-a",
        ".",
        ".a",
        "_a",
        "9",
        "09",
        "10",
        "B",
        "a",
        "a-b",
        "a.b",
        "a/b",
        "a_b",
        "a1",
        "a1.5",
        "a01",
        "a001",
        "a2",
        "a02",
    ]
    keys += ["a10", "a100", "a10b", "aB", "ab", "b", "f:a", 'k:{"name":"x"}', "x", "x-0", "x0", "é", "é1", "日"]
    assert [
        line.split(": x")[0].strip("'\"") for line in dump(dict.fromkeys(keys[::-1], "x")).decode().splitlines()
    ] == keys


def test_lists_stand_under_their_key() -> None:
    document = {"spec": {"finalizers": ["kubernetes"], "a": [{"b": 1, "c": []}], "d": {}, "e": [[1], [2]], "f": None}}
    assert dump(document).decode() == (
        "spec:\n  a:\n  - b: 1\n    c: []\n  d: {}\n  e:\n  - - 1\n  - - 2\n  f: null\n  finalizers:\n  - kubernetes\n"
    )
