"""The worst cost of rules: the figures that a real server's own tests hold for them."""

import pytest

from controlplane.apiserver.cel.estimate import worst_cost
from controlplane.apiserver.extensions.rules import variables
from controlplane.apiserver.extensions.sizes import shape_of

STRING, NUMBER, BOOLEAN = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
INT_OR_STRING = {"x-kubernetes-int-or-string": True}
NAMED = {"type": "object", "required": ["required"], "properties": {"required": STRING, "optional": STRING}}


def formatted(form):
    return {"type": "string", "format": form}


def array(item, most=None):
    return {"type": "array", "items": item} | ({} if most is None else {"maxItems": most})


def mapping(value, most=None):
    return {"type": "object", "additionalProperties": value} | ({} if most is None else {"maxProperties": most})


def text(most=None, **more):
    return {"type": "string", **more} | ({} if most is None else {"maxLength": most})


def fields(**properties):
    return {"type": "object", "properties": properties}


ALL = "self.all(x, true)"
CASES = [
    (ALL, lambda n: array(NUMBER, n), 4718591, 10, 32),
    (ALL, lambda n: array(STRING, n), 3145727, 20, 62),
    (ALL, lambda n: array(BOOLEAN, n), 1887437, 5, 17),
    (ALL, lambda n: array(array(NUMBER), n), 3145727, 100, 302),
    (ALL, lambda n: array(NAMED, n), 555128, 50, 152),
    (ALL, lambda n: mapping(NUMBER, n), 1348169, 10, 32),
    (ALL, lambda n: mapping(STRING, n), 1179647, 3, 11),
    (ALL, lambda n: mapping(BOOLEAN, n), 943718, 100, 302),
    ("self.contains('test')", text, 314574, 10, 5),
    ("self.startsWith('test')", text, 2, 15, 2),
    ("self.endsWith('test')", text, 2, 30, 2),
    ("size(self + 'hello') > size('hello')", text, 314578, 4, 7),
    ("self[1] == 0.0", lambda n: array(NUMBER, n), 2, 5000, 2),
    ("self[1] == self[1]", lambda n: array(STRING, n), 314577, 8, 314577),
    ("self.all(x, self.all(y, true))", lambda n: array(NUMBER, n), None, 10, 352),
    ("self.all(x, self.all(y, self.all(z, true)))", lambda n: array(NUMBER, n), None, 10, 3552),
    ("self.matches('x')", text, 314574, 50, 22),
    ("''.matches('(((((((((())))))))))[0-9]')", text, 7, 10, 7),
    ("self.matches('')", text, 1, 100, 1),
    ("self.all(x, x.contains(self[x]))", lambda n: mapping(text(n), n), 2752507, 10, 72),
    ("self == 'x'", text, 2, 0, 1),
    ("self == b'x'", lambda n: text(n, format="byte"), 2, 0, 1),
    ("self.all(x, x == 0.0)", lambda n: array(NUMBER, n), 6291454, 3 * 1024 * 2048, 25165826),
    ("self.all(x, x['y'].required == 'z')", lambda n: array(mapping(NAMED, n), n), 7340027, 10, 72),
    ("self.all(x, x['y'].required == 'z')", lambda n: array(mapping(NAMED, n)), 7340027, 10, 7340027),
    (ALL, lambda n: array(INT_OR_STRING, n), 4718591, 10, 32),
    ("self[0] == 5", lambda n: array(INT_OR_STRING, n), 3, 10, 3),
    ("self[0] == false", lambda n: array(BOOLEAN, n), 2, 25, 2),
    ("self[0] == null", lambda n: array(NAMED, n), 2, 422, 2),
    ("self[0][0] == -1.0", lambda n: array(array(NUMBER), n), 3, 51, 3),
    ("self.all(x, x.y == 25.2)", lambda n: array(mapping(NUMBER), n), 6291452, 12, 74),
    ("self[0].x > 2.0", lambda n: array(mapping(NUMBER), n), 4, 3000, 4),
    (ALL, lambda n: array(formatted("duration"), n), 2359295, 5, 17),
    ("self[0].getHours() == 2", lambda n: array(formatted("duration"), n), 4, 525, 4),
    (ALL, lambda n: array(formatted("date"), n), 725936, 15, 47),
    ("self[2].getDayOfMonth() == 13", lambda n: array(formatted("date"), n), 4, 42, 4),
    (ALL, lambda n: array(formatted("date-time"), n), 428963, 25, 77),
    (ALL, lambda n: mapping(INT_OR_STRING, n), 1348169, 15, 47),
    (ALL, lambda n: mapping(NAMED, n), 428963, 20, 62),
    (ALL, lambda n: mapping(mapping(NUMBER), n), 1179647, 10, 32),
    (ALL, lambda n: mapping(array(NUMBER), n), 1179647, 25, 77),
    (ALL, lambda n: mapping(formatted("duration"), n), 1048577, 5, 17),
    (ALL, lambda n: mapping(formatted("date"), n), 524288, 10, 32),
    (ALL, lambda n: mapping(formatted("date-time"), n), 349526, 25, 77),
    ("self.find('[0-9]+') == ''", text, 629147, 10, 11),
    ("self.join(' ') == 'aa bb'", lambda n: array(text(n), n), 329853068905, 10, 43),
    ("self.isSorted() == true", lambda n: array(text(n), n), 329854432052, 10, 52),
    (
        "self.str.replace(self.before, self.after) == 'does not matter'",
        lambda n: fields(str=text(n), before=text(2), after=text(4)),
        629154,
        4,
        12,
    ),
    ("self.str.split(self.separator) == []", lambda n: fields(str=text(n), separator=text(n)), 629160, 10, 22),
    ("self.lowerAscii() == 'lower!'", text, 314575, 10, 6),
    ("oldSelf.size() == self.size()", lambda n: mapping({"type": "integer"}, n), 5, 10, 5),
    ("self['a'] == self['b']", lambda n: mapping(formatted("date-time"), n), 8, 7, 8),
    ("self['c'] == self['d']", lambda n: mapping(formatted("duration"), n), 8, 42, 8),
    ("self.contains('A')", lambda n: text(n, enum=["A", "B", "C", "LongValue"]), 2, 1000, 401),
]


@pytest.mark.parametrize(("rule", "schema", "free", "most", "bounded"), CASES, ids=[case[0][:60] for case in CASES])
def test_a_rule_costs_what_it_costs_upstream(rule, schema, free, most, bounded):
    def cost(node):
        return worst_cost(rule, variables(node, root=False), shape_of(node).at)

    if free is None:
        assert cost(schema(None)) > 10_000_000
    else:
        assert cost(schema(None)) == free
    assert cost(schema(most)) == bounded
