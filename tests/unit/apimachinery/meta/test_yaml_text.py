"""YAML files, as go-yaml reads them. Bodies of requests: tests/unit/controlplane/apiserver/test_decode.py."""

from __future__ import annotations

import pytest

from apimachinery.meta.yaml_text import BadYaml, load


def test_scalars_are_of_jsons_types() -> None:
    text = "at: 12:30\nday: 2024-01-02\nyes: n\nmode: 0644\nbig: 1e3\nquoted: '1'\nnothing:\n"
    assert load(text) == {
        "at": "12:30", "day": "2024-01-02", "true": False, "mode": 420, "big": 1000, "quoted": "1", "nothing": None,
    }  # fmt: skip


def test_aliases_are_copies_and_merge() -> None:
    found = load("base: &b {a: 1, l: &l [x]}\nnew: {<<: *b, c: 2}\nl: *l\n")
    assert found == {"base": {"a": 1, "l": ["x"]}, "new": {"a": 1, "l": ["x"], "c": 2}, "l": ["x"]}
    assert found["l"] is not found["base"]["l"]


def test_the_first_document_counts_and_none_is_nothing() -> None:
    assert load("a: 1\n---\nb: [\n") == {"a": 1}
    assert load(b"") is None and load("# nothing\n") is None


def test_tabs_where_go_yaml_takes_them() -> None:
    assert load(b'{\n\t"a":\t[1]\n}') == {"a": [1]}
    assert load("a: 1\t# said\n") == {"a": 1}


def test_keys_that_are_there_twice_are_told() -> None:
    again: list[str] = []
    assert load("a: 1\nb: 2\na: 3\n", again) == {"a": 3, "b": 2}
    assert again == ['line 3: key "a" already set in map']
    again.clear()
    load("a:\n  b: 1\na:\n  c: 2\n\nd: 3\n", again)
    assert again == ['line 4: key "a" already set in map'], "where the value begins"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a:\n\t- b\n", "yaml: line 2: found character that cannot start any token"),
        (b"a: [", "yaml: line 1: did not find expected node content"),
        (b"a: *b\n", "yaml: unknown anchor 'b' referenced"),
        (b"a: &a [*a]\n", "yaml: anchor 'a' value contains itself"),
        (b"a: \x00\n", "yaml: control characters are not allowed"),
        (b"a: \xff\n", "yaml: invalid leading UTF-8 octet"),
        (b"[" * 300, "yaml: the object provided is nested deeper than 200 levels"),
    ],
)
def test_faults_are_told_as_go_tells_them(text: bytes, told: str) -> None:
    with pytest.raises(BadYaml) as refused:
        load(text)
    assert str(refused.value) == told


def test_aliases_do_not_multiply_without_end() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(BadYaml, match="yaml: document contains excessive aliasing"):
        load("\n".join(rows))
