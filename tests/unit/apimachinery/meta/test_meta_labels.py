"""Label selectors (k8s.io/apimachinery/pkg/labels)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta import labels


@pytest.mark.parametrize(
    ("text", "wanted", "matches"),
    [
        ("", {}, True),
        ("", {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a=b", {"a": "c"}, False),
        ("a=b", {}, False),
        ("a!=b", {"a": "b"}, False),
        ("a!=b", {}, True),
        ("a=", {"a": ""}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("!a", {"a": "x"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a in (b,c)", {"a": "d"}, False),
        ("a in (b,)", {"a": ""}, True),
        ("a in ()", {"a": ""}, True),
        ("a notin (b)", {}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "5"}, False),
        ("a<5", {"a": "x"}, False),
        ("a<5", {}, False),
        ("a=b,c=d", {"a": "b", "c": "d"}, True),
        ("a=b,c=d", {"a": "b"}, False),
        (" a = b , c in ( d ) ", {"a": "b", "c": "d"}, True),
        ("in=notin", {"in": "notin"}, True),
        ("example.com/a=b", {"example.com/a": "b"}, True),
    ],
)
def test_matching(text, wanted, matches):
    assert labels.parse_selector(text).matches(wanted) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: =, ==, in, !=, notin, gt, lt"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a>x", "for 'Gt', 'Lt' operators, the value must be an integer"),
        ("-a", "name part must consist of alphanumeric characters, '-', '_' or '.'"),
        ("a=@", "a valid label must be an empty string or consist of alphanumeric characters"),
    ],
)
def test_refused_with_upstreams_sentence(text, message):
    with pytest.raises(ValueError) as refusal:
        labels.parse_selector(text)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("b=1,a=2", "a=2,b=1"),
        ("a in (c,b)", "a in (b,c)"),
        ("!a", "!a"),
        ("a", "a"),
        ("a>1", "a>1"),
        ("a==b", "a==b"),
        ("a!=b", "a!=b"),
        ("a notin ()", "a notin ()"),
    ],
)
def test_printed_sorted_by_key(text, printed):
    assert str(labels.parse_selector(text)) == printed


def test_an_absent_label_selector_selects_nothing_and_an_empty_one_everything():
    assert not labels.from_label_selector(None).matches({})
    assert labels.from_label_selector({}).matches({"a": "b"})
    assert labels.NOTHING.matches({}) is False
    assert labels.EVERYTHING.empty and not labels.NOTHING.empty


@pytest.mark.parametrize(
    ("selector", "wanted", "matches"),
    [
        ({"matchLabels": {"a": "b"}}, {"a": "b"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {"a": "b"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_label_selector_objects(selector, wanted, matches):
    assert labels.from_label_selector(selector).matches(wanted) is matches


def test_an_unknown_operator_is_refused():
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        labels.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_formatted_for_a_column():
    assert labels.format_label_selector({}) == "<none>"
    assert labels.format_label_selector({"matchLabels": {"app": "web"}}) == "app=web"
    assert labels.format_label_selector({"matchExpressions": [{"key": "a", "operator": "?"}]}) == "<error>"


_words = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
_sets = st.dictionaries(_words, _words, max_size=4)


@given(_sets)
def test_a_set_selects_itself_and_reads_back(wanted):
    selector = labels.from_set(wanted)
    assert selector.matches(wanted)
    assert labels.parse_selector(str(selector)).matches(wanted)


@given(_sets, _sets)
def test_a_set_selects_exactly_its_supersets(wanted, other):
    assert labels.from_set(wanted).matches(other) == (wanted.items() <= other.items())


@given(st.text(alphabet="ab=!(),<> in", max_size=14), _sets)
def test_any_text_is_read_or_refused(text, wanted):
    try:
        selector = labels.parse_selector(text)
    except ValueError:
        return
    assert labels.parse_selector(str(selector)).matches(wanted) == selector.matches(wanted)
