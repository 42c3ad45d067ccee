# A table of sentences reads better whole.
"""Paths to fields, as columns, scale and selectable fields name them."""

import pytest

from controlplane.apiserver.extensions.field_paths import BadFieldPath, follow
from tests.unit.controlplane.apiserver.extensions.definitions_for_validation import SCHEMA


@pytest.mark.parametrize(
    ("text", "names"),
    [(".spec.n", ("spec", "n")), ("['spec']['a.b']", ("spec", "a.b")), (".spec['n']", ("spec", "n"))],
)
def test_field_paths(text: str, names: tuple[str, ...]) -> None:
    assert follow(text, SCHEMA)[0] == names


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (".", "unexpected end of JSON path"),
        (".spec[", "unexpected end of JSON path"),
        (".spec['n'", "unexpected end of JSON path"),
        (".spec['n'.", "expected ] but got ."),
        (".spec[n]", "expected single quoted string but got n"),
        ("spec", "expected [ or . but got: spec"),
        (".spec.n.m", "does not refer to a valid field"),
    ],
)
def test_bad_field_paths(text: str, wrong: str) -> None:
    with pytest.raises(BadFieldPath) as told:
        follow(text, SCHEMA)
    assert str(told.value) == wrong
