"""Our JSON and the standard library's are one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.cni import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(VALUES)
def test_reads_and_writes_what_the_standard_library_does(value: object) -> None:
    assert jsontext.loads(json.dumps(value, indent=2).encode()) == value
    assert json.loads(jsontext.dumps(value)) == value


@pytest.mark.parametrize(
    "text", ["", " ", "{", '{"a"', "[1,]", "nul", "1 2", '"\x01"', "{'a': 1}", "[" * 100_000, "\ufeff{}"]
)
def test_refuses_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsontext.loads(text.encode())


@given(st.binary(max_size=64))
def test_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        expected = json.loads(data.decode())
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            jsontext.loads(data)
    else:
        got = jsontext.loads(data)
        assert got == expected or got != got
