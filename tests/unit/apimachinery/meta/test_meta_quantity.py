"""Quantities: upstream's resource.Quantity (k8s.io/apimachinery/pkg/api/resource)."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("1", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1000", "1k"),
        ("100M", "100M"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1025Mi", "1025Mi"),
        ("1000Ki", "1000Ki"),
        ("512", "512"),
        ("0.5Ki", "512"),
        ("12e6", "12e6"),
        ("1e3", "1e3"),
        ("9E9", "9e9"),
        ("1E", "1E"),
        ("-5m", "-5m"),
        ("+3", "3"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("1u", "1u"),
        ("99999999999999999999", "99999999999999999999"),
        ("12E", "12E"),
        ("16Ei", "9223372036854775807"),
        ("1e19", "10e18"),
        ("1000e21", "1e24"),
        ("1e1000000", "9223372036854775807"),
        ("0e99999", "0"),
        (2, "2"),
        (0.25, "250m"),
    ],
)
def test_canonical_spelling(text, canonical):
    assert str(quantity.parse(text)) == canonical


@pytest.mark.parametrize(
    "text", ["", "abc", "1x", "1.2.3", "--1", " 1", "1 ", "0x1", "1ee", "1KI", ".", "+", "१", True, None]
)
def test_refused(text):
    with pytest.raises(ValueError):
        quantity.parse(text)


def test_the_sentence_for_a_word():
    with pytest.raises(ValueError, match=r"^quantities must match the regular expression '\^\(\[\+-\]\?\[0-9\.\]\+\)"):
        quantity.parse("abc")


@pytest.mark.parametrize(
    ("text", "whole", "thousandths"),
    [("250m", 1, 250), ("2", 2, 2000), ("1.5Ki", 1536, 1536000), ("1n", 1, 1), ("-1500m", -2, -1500), ("0", 0, 0)],
)
def test_rounded_away_from_zero(text, whole, thousandths):
    assert quantity.value(text) == whole
    assert quantity.milli(text) == thousandths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (quantity.format_milli(250), "250m"),
        (quantity.format_milli(4000), "4"),
        (quantity.format_bytes(1 << 30), "1Gi"),
        (quantity.format_bytes(1000), "1k"),
        (quantity.format_bytes(0), "0"),
        (quantity.format_value(110), "110"),
    ],
)
def test_formatted(text, expected):
    assert text == expected


def test_a_sum_keeps_the_family_of_the_first_that_is_not_zero():
    assert str(quantity.parse("0") + quantity.parse("1Gi")) == "1Gi"
    assert str(quantity.parse("1Gi") + quantity.parse("1Gi")) == "2Gi"
    assert str(quantity.parse("1") - quantity.parse("250m")) == "750m"


_numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=6, allow_nan=False, allow_infinity=False)
_suffixes = st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"])


@given(_numbers, _suffixes)
def test_printing_and_reading_again_changes_nothing(number, suffix):
    first = quantity.parse(f"{number:f}{suffix}")
    again = quantity.parse(str(first))
    assert again.nano == first.nano
    assert str(again) == str(first)


@given(_numbers)
def test_agrees_with_decimal_arithmetic(number):
    assert quantity.parse(f"{number:f}").nano == int(number * Decimal(10**9))


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    try:
        quantity.parse(text)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("1.500", "1.500"),
        ("1.5", "1500m"),
        ("0.125", "125m"),
        ("+5", "+5"),
        ("007", "007"),
        ("1E3", "1E3"),
        ("1.234k", "1.234k"),
        ("1000m", "1"),
        ("1.000", "1"),
        ("1.5G", "1500M"),
        ("9Ki", "9Ki"),
        ("+9Ki", "+9Ki"),
        ("+8Ki", "8Ki"),
        ("01024Ki", "1Mi"),
        ("1.5Ki", "1536"),
        ("0.0", "0"),
        ("1.000000001", "1.000000001"),
        ("0001234567890.123456789", "1234567890123456789n"),
        (2, "2"),
    ],
)
def test_an_amount_that_upstream_takes_for_canonical_stays_as_it_came(text: str | int, spelled: str) -> None:
    assert quantity.spelled(text) == spelled
