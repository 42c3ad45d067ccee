"""Field selectors (k8s.io/apimachinery/pkg/fields)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta import fields


@pytest.mark.parametrize(
    ("text", "values", "matches"),
    [
        ("", {}, True),
        ("spec.nodeName=n1", {"spec.nodeName": "n1"}, True),
        ("spec.nodeName==n1", {"spec.nodeName": "n2"}, False),
        ("spec.nodeName=", {}, True),
        ("status.phase!=Failed", {"status.phase": "Running"}, True),
        ("status.phase!=Failed,spec.nodeName=n1", {"status.phase": "Failed", "spec.nodeName": "n1"}, False),
        (r"metadata.name=a\,b\=c\\d", {"metadata.name": r"a,b=c\d"}, True),
    ],
)
def test_matching(text, values, matches):
    assert fields.parse_selector(text).matches(values) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ValueError) as refusal:
        fields.parse_selector(text)
    assert str(refusal.value) == message


def test_the_pinned_value_of_a_field():
    selector = fields.parse_selector("a=1,b!=2")
    assert selector.requires("a") == "1"
    assert selector.requires("b") is None


@given(st.dictionaries(st.from_regex(r"[a-z.]{1,9}", fullmatch=True), st.text(max_size=9), max_size=3))
def test_a_set_reads_back_whatever_its_values(wanted):
    # A parsed selector's terms are in the order of their texts, as upstream's; a set's in that of its fields.
    assert set(fields.parse_selector(str(fields.from_set(wanted))).terms) == set(fields.from_set(wanted).terms)
