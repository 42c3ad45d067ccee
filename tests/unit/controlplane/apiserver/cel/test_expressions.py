"""Expressions and what they give, as cel-go and Kubernetes 1.32 have it."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.cel import CelError, compile_expression
from controlplane.apiserver.cel.values import Duration, Timestamp

SELF = {
    "name": "web",
    "replicas": 3,
    "ratio": 0.5,
    "labels": {"app": "web", "tier": "front"},
    "ports": [{"name": "http", "port": 80}, {"name": "https", "port": 443}],
    "empty": None,
    "a-b": 1,
}


def evaluate(text: str, **bindings: Any) -> Any:
    return compile_expression(text, ["self", *bindings]).evaluate({"self": SELF, **bindings})


TRUE = [
    # operators and precedence
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "-7 / 2 == -3",
    "-7 % 3 == -1",
    "7u - 2u == 5u",
    "1.0 / 0.0 > 1e300",
    "'a' + 'b' == 'ab'",
    "[1] + [2] == [1, 2]",
    "b'ab' + b'c' == b'abc'",
    "1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2",
    "1 < 1.5",
    "2u > 1",
    "!(1 == 2)",
    "'a' != 'b'",
    "true ? true : 1/0 == 0",
    "0x1F == 31",
    "1e3 == 1000.0",
    "dyn(1) == 1.0",
    "dyn(1) != true",
    "{'a': [dyn(1), {'b': 2}]} == {'a': [dyn(1), {'b': 2}]}",
    "1 in [1, 2]",
    "'a' in {'a': 1}",
    "!(3 in [1, 2])",
    "-9223372036854775808 < 0",
    "--1 == 1",
    # literals
    r"'\x41\u0042\t' == 'AB	'",
    r"r'\n' == '\\n'",
    "'''a\nb'''.size() == 3",
    "b'\\xff' == b'\\377'",
    "\"it's\" == 'it\\'s'",
    # a failure matters only when the other side does not decide
    "true || self.missing",
    "self.missing || true",
    "!(false && self.missing)",
    "!(self.missing && false)",
    # fields
    "has(self.name)",
    "!has(self.missing)",
    "has(self.labels.app)",
    "self['name'] == 'web'",
    "self.`a-b` == 1",
    "self.ports[1].port == 443",
    "self.empty == null",
    "self.labels.size() == 2",
    "size('é') == 1",
    # macros
    "self.ports.all(p, p.port > 0)",
    "self.ports.exists(p, p.name == 'http')",
    "self.ports.exists_one(p, p.port == 80)",
    "self.ports.map(p, p.port) == [80, 443]",
    "self.ports.map(p, p.port > 100, p.name) == ['https']",
    "self.ports.filter(p, p.port == 80).size() == 1",
    "self.labels.all(k, k.size() > 2)",
    "[].all(x, false)",
    "[1, 2].all(i, v, v == i + 1)",
    "{'a': 1}.exists(k, v, k == 'a' && v == 1)",
    "['a', 'b'].exists_one(i, v, i == 1 && v == 'b')",
    "[1, 2].transformList(i, v, v * i) == [0, 2]",
    "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
    "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
    "[[1, 2], [3]].all(x, x.all(x, x > 0))",
    "[1, 0].exists(x, 1 / x == 1)",
    "![1, 0].all(x, 1 / x == 2)",
    # optionals
    "self.?missing.orValue(7) == 7",
    "self.?name.value() == 'web'",
    "!self.?missing.hasValue()",
    "self.?labels.?app.orValue('') == 'web'",
    "self.?labels.app.orValue('') == 'web'",
    "[1][?3].orValue(2) == 2",
    "{'k': 1}[?'k'].hasValue()",
    "optional.of(1).or(optional.of(2)).value() == 1",
    "optional.none().orValue(3) == 3",
    "!optional.ofNonZeroValue('').hasValue()",
    "!optional.ofNonZeroValue(duration('0s')).hasValue()",
    "!optional.ofNonZeroValue(timestamp('0001-01-01T00:00:00Z')).hasValue()",
    "optional.of(2).optMap(x, x * 2).value() == 4",
    "optional.of(2).optFlatMap(x, optional.none()) == optional.none()",
    "[1, ?optional.none(), ?optional.of(2)] == [1, 2]",
    "{?'a': optional.none()} == {}",
    # conversions and types
    "int('-12') == -12",
    "int(1.9) == 1",
    "uint('3') == 3u",
    "double('1.5') == 1.5",
    "string(1.5) == '1.5'",
    "string(true) == 'true'",
    "string(1e30) == '1e+30'",
    "string(100000.0) == '100000'",
    "string(1000000.0) == '1e+06'",
    "string(-1234567.5) == '-1.2345675e+06'",
    "string(0.0001) == '0.0001' && string(0.00001) == '1e-05'",
    "bool('true')",
    "bytes('a') == b'a'",
    "type(1) == int",
    "type('a') != int",
    "type(type(1)) == type",
    "type(null) == null_type",
    "string(b'abc') == 'abc'",
    "type(dyn([1])) == list",
    # time
    "duration('1h30m').getMinutes() == 90",
    "duration('1500ms').getMilliseconds() == 1500",
    "duration('1h') > duration('59m')",
    "string(duration('-90s')) == '-90s'",
    "timestamp('2024-02-29T12:30:45.5Z').getDayOfYear() == 59",
    "timestamp('2024-02-29T23:30:00Z').getDate('+01:00') == 1",
    "timestamp('2024-01-01T00:00:00Z').getDayOfWeek() == 1",
    "timestamp('2024-01-01T00:00:00Z').getMonth() == 0",
    "timestamp('2024-01-01T00:00:00Z').getHours('America/New_York') == 19",
    "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
    "string(timestamp('2024-01-01T01:00:00+01:00')) == '2024-01-01T01:00:00+01:00'",
    "string(timestamp('2024-01-01T01:00:00-01:30') + duration('1h')) == '2024-01-01T02:00:00-01:30'",
    "timestamp('2024-01-01T01:00:00+01:00') == timestamp('2024-01-01T00:00:00Z')",
    "timestamp('2024-01-01T01:00:00+01:00').getHours() == 0",
    "timestamp('2024-01-01T00:00:00Z') + duration('1s') > timestamp('2024-01-01T00:00:00Z')",
    "timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
    # strings
    "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')",
    "'abc'.charAt(3) == ''",
    "'abcabc'.indexOf('c', 3) == 5",
    "'abcabc'.lastIndexOf('c', 4) == 2",
    "'aBc'.lowerAscii() == 'abc' && 'aBc'.upperAscii() == 'ABC'",
    "' a\\t'.trim() == 'a'",
    "'aaa'.replace('a', 'b', 2) == 'bba'",
    "'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "'abc'.split('') == ['a', 'b', 'c']",
    "'a'.split(',', 0) == []",
    "'abc'.substring(1) == 'bc' && 'abc'.substring(1, 2) == 'b'",
    "['a', 'b'].join('-') == 'a-b'",
    "'%s is %d, %.2f, %x, %b, %%'.format(['a', 7, 1.5, 255, 5]) == 'a is 7, 1.50, ff, 101, %'",
    "'%s'.format([{'b': [dyn(1), 'x'], 'a': dyn(null)}]) == '{\"a\":null, \"b\":[1, \"x\"]}'",
    "'%s'.format([['a', 3.14, null, [9], timestamp('2023-02-03T23:31:20Z'), b'x']]) "
    '== \'["a", 3.140000, null, [9], timestamp("2023-02-03T23:31:20Z"), b"x"]\'',
    "'%s %s'.format([56.8, type('a')]) == '56.8 string'",
    "'%.1f %f %f'.format([1234567.5, 'NaN', '-Infinity']) == '1,234,567.5 NaN -∞'",
    "'%.6e'.format([1052.032911275]) == '1.052033\\u202f\\u00d7\\u202f10\\u2070\\u00b3'",
    "'%X %o'.format(['Hi', 11u]) == '4869 13'",
    "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    "'é'.size() == 1",
    # regular expressions
    "'abc'.matches('b+')",
    "!matches('abc', '^b')",
    "'abc123'.find('[0-9]+') == '123'",
    "'a1b2'.findAll('[0-9]') == ['1', '2']",
    "'a1b2'.findAll('[0-9]', 1) == ['1']",
    "'abc'.find('x') == ''",
    # lists and sets
    "[1, 2, 2].isSorted() && ![2, 1].isSorted()",
    "[1, 2].sum() == 3 && [1.5, 1.0].sum() == 2.5",
    "[duration('1s'), duration('2s')].sum() == duration('3s')",
    "['b', 'a'].min() == 'a' && [1, 3].max() == 3",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(9) == -1",
    "sets.contains([1, 2], [2]) && sets.intersects([1], [1, 3]) && sets.equivalent([1, 1, 2], [2, 1])",
    # quantities
    "quantity('1Gi').isGreaterThan(quantity('1G'))",
    "quantity('500m').add(quantity('0.5')) == quantity('1')",
    "quantity('2').sub(1).asInteger() == 1",
    "!quantity('1.5').isInteger()",
    "quantity('-1').sign() == -1",
    "quantity('50k').compareTo(quantity('50000')) == 0",
    "isQuantity('10Mi') && !isQuantity('10Mx')",
    "quantity('1500m').asApproximateFloat() == 1.5",
    # addresses
    "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6",
    "isIP('10.0.0.1') && !isIP('10.0.0.256') && !isIP('::ffff:1.2.3.4')",
    "ip.isCanonical('::1') && !ip.isCanonical('0::1')",
    "ip('192.168.1.1').isGlobalUnicast() && ip('0.0.0.0').isUnspecified()",
    "ip('224.0.0.1').isLinkLocalMulticast() && ip('169.254.1.1').isLinkLocalUnicast()",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "!cidr('10.0.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
    "string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && cidr('::/0').prefixLength() == 0",
    "!isCIDR('10.0.0.0') && isCIDR('10.0.0.0/8')",
    # URLs
    "url('https://user@example.com:8080/a b?x=1&x=2&y=').getHost() == 'example.com:8080'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
    "url('/path').getScheme() == '' && isURL('/path') && !isURL('path') && !isURL('')",
    "url('https://a/?x=1&x=2').getQuery()['x'] == ['1', '2']",
    "isURL('mailto:a@example.com') && url('mailto:a@example.com').getHost() == ''",
    "url('https://a/p#x').getEscapedPath() == '/p'",
    "url('https://a/p q').getEscapedPath() == '/p%20q'",
    # formats
    "!format.dns1123Label().validate('ok-name').hasValue()",
    "format.dns1123Label().validate('No').hasValue()",
    "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
    "!format.named('nothing').hasValue()",
    "!format.dns1123LabelPrefix().validate('web-').hasValue()",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    assert evaluate(text) is True


FAILS = [
    ("self.missing", "no such key: missing"),
    ("[1][5]", "index out of bounds: 5"),
    ("{'a': 1}['b']", "no such key: b"),
    ("1 / 0", "division by zero"),
    ("1 % 0", "modulus by zero"),
    ("9223372036854775807 + 1", "integer overflow"),
    ("0u - 1u", "unsigned integer overflow"),
    ("int(self.name)", "type conversion error from 'string' to 'int'"),
    ("int(self.name + '9223372036854775808')", "type conversion error from 'string' to 'int'"),
    ("double(self.name)", "type conversion error from 'string' to 'double'"),
    ("bool(self.name)", "type conversion error from 'string' to 'bool'"),
    ("timestamp(self.name)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
    ("duration(self.name)", "type conversion error from 'string' to 'google.protobuf.Duration'"),
    ("'%d'.format([self.name])", "decimal clause can only be used on integers, was given string"),
    ("'%f'.format([self.replicas])", "fixed-point clause can only be used on doubles, was given int"),
    ("(self.name + '%.3').format([1.5])", "could not find end of precision specifier"),
    ("dyn('a') + 1", "no such overload"),
    ("self.name && true", "no such overload"),
    ("[].min()", "min called on empty list"),
    ("'abc'.charAt(9)", "index out of range: 9"),
    ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
    ("optional.none().value()", "optional.none() dereference"),
    ("quantity('x')", "quantities must match the regular expression"),
    ("{'a': 1, 'a': 2}", "insert failed: key a already exists"),
    ("self.name.find(self.name + '[') == ''", "Illegal regex: error parsing regexp: missing ]: `[`"),
    ("self.name.matches(self.name + '[')", "error parsing regexp: missing ]"),
    ("self.replicas.all(x, true)", "no such overload"),
]


@pytest.mark.parametrize(("text", "message"), FAILS)
def test_fails(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        evaluate(text)
    assert message in str(caught.value)


REFUSED = [
    ("1 == 1.0", "found no matching overload for '_==_' applied to '(int, double)'"),
    (
        "'a' + 1",
        "ERROR: <input>:1:5: found no matching overload for '_+_' applied to '(string, int)'\n | 'a' + 1\n | ....^",
    ),
    ("missing", "ERROR: <input>:1:1: undeclared reference to 'missing' (in container '')"),
    ("self.size() + nope(1)", "undeclared reference to 'nope' (in container '')"),
    ("'a'.size(1)", "found no matching overload for 'size' applied to 'string.(int)'"),
    ("(1).foo", "type 'int' does not support field selection"),
    ("1 +", "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting"),
    ("1 1", "Syntax error: extraneous input '1' expecting <EOF>"),
    ("1 1 +", "Syntax error: mismatched input '1' expecting <EOF>"),
    ("1 + +", "ERROR: <input>:1:5: Syntax error: mismatched input '+' expecting {'['"),
    ("* a", "Syntax error: extraneous input '*' expecting {'['"),
    ("{a}", "Syntax error: mismatched input '}' expecting ':'"),
    ("a.true", "ERROR: <input>:1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER"),
    ("'%s %s'.format(['a'])", "ERROR: <input>:1:15: index 1 out of range"),
    ("'%s'.format(['a', 1])", "too many arguments supplied to string.format (expected 1, got 2)"),
    ("'%'.format([])", "unexpected end of string"),
    ("'%j'.format([1])", 'could not parse formatting clause: unrecognized formatting clause "j"'),
    (
        "'%d'.format([5.2])",
        "ERROR: <input>:1:14: error during formatting: decimal clause can only be used on integers, was given double",
    ),
    ("timestamp(-62135596801)", "ERROR: <input>:1:11: invalid timestamp argument"),
    ("a.find('[')", "error parsing regexp: missing ]: `[`"),
    ("int('x') == 1", "type conversion error from 'string' to 'int'"),
    ("'a", "Syntax error: token recognition error at: '''"),
    ("[1, 'a']", "expected type 'int' but found 'string'"),
    ("{'a': 1, 2: 3}", "expected type 'string' but found 'int'"),
    ("has(self)", "invalid argument to has() macro"),
    ("[1].all(1, true)", "argument is not an identifier"),
    ("[1].all(x, 'a')", "found no matching overload for '_&&_'"),
    ("(1).all(x, true)", "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
    ("true ? 1 : 'a'", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
    ("'a'.matches('[')", "invalid matches argument"),
    ("duration('x')", "invalid duration argument"),
    ("1 < 'a'", "found no matching overload for '_<_' applied to '(int, string)'"),
    ("9223372036854775808", "invalid int literal"),
    ("self.if + import", "reserved identifier: import"),
    ("cel.bind(x, 1, x)", "undeclared reference to 'cel'"),
    (
        "a\n  .b + missing2",
        "ERROR: <input>:2:8: undeclared reference to 'missing2' (in container '')\n |   .b + missing2\n | .......^",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_does_not_compile(text: str, message: str) -> None:
    with pytest.raises(CelError) as caught:
        compile_expression(text, ["self", "a"])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["[s]" + ".map(x, x + x)" * 40, "l.all(a, l.all(b, l.all(c, l.all(d, true))))", "l.map(a, l.map(b, l.map(c, s)))"],
    ids=["doubling", "nested", "nested-map"],
)
def test_cost_is_bounded(text: str) -> None:
    program = compile_expression(text, ["s", "l"])
    with pytest.raises(CelError, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"s": "0123456789", "l": list(range(200))})


def test_cost_is_not_absorbed_by_or() -> None:
    program = compile_expression("l.all(a, l.all(b, l.all(c, true))) || true", ["l"])
    with pytest.raises(CelError, match="cost limit"):
        program.evaluate({"l": list(range(200))})


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "+".join(["1"] * 20000),
        "!" * 50001 + "true",
        "a" + ".b" * 5000,
        "[" * 90 + "]" * 90,
    ],
)
def test_deep_text_is_refused_or_runs(text: str) -> None:
    try:
        compile_expression(text, ["a"]).evaluate({"a": {}})
    except CelError:
        pass


def test_bindings_are_not_changed() -> None:
    bindings = {"self": [1, 2]}
    assert compile_expression("self.map(x, x + 1)", ["self"]).evaluate(bindings) == [2, 3]
    assert bindings == {"self": [1, 2]}


def test_thousand_terms() -> None:
    assert evaluate(" && ".join(["self.replicas == 3"] * 1000)) is True


@given(st.text(alphabet="abx01.\"'[](){}?:,+-*/%!<>=&| \\n\n", max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        compile_expression(text, ["a", "b", "x"]).evaluate({"a": 1, "b": [1], "x": {"a": "b"}})
    except CelError:
        pass


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_arithmetic_is_exact_or_refused(a: int, b: int) -> None:
    for operator, value in (("+", a + b), ("-", a - b), ("*", a * b)):
        program = compile_expression(f"a {operator} b", ["a", "b"])
        if -(2**63) <= value < 2**63:
            assert program.evaluate({"a": a, "b": b}) == value
        else:
            with pytest.raises(CelError, match="integer overflow"):
                program.evaluate({"a": a, "b": b})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_survives_string(value: float) -> None:
    text = evaluate("string(x)", x=value)
    assert float(text) == value or math.isclose(float(text), value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_timestamp_survives_string(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    value = evaluate("timestamp(x)", x=text)
    assert isinstance(value, Timestamp)
    assert evaluate("timestamp(string(x)) == x", x=value) is True


@given(st.integers(-(2**62), 2**62))
def test_duration_survives_string(ns: int) -> None:
    value = Duration(ns)
    assert evaluate("duration(string(x)) == x", x=value) is True
