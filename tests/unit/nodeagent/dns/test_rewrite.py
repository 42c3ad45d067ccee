"""`rewrite` of names, as CoreDNS documents it: what is asked instead, and what the client reads of the answer."""

import pytest

from nodeagent.dns import rewrite_rules
from nodeagent.dns.message import CNAME, SRV, A, Answer, Name, Query, Record, format_name, parse_name

ADDRESS = b"\xc0\0\2\7"


def _query(name: str) -> Query:
    return Query(1, 0, parse_name(name), A, 1, b"")


def _shown(record: Record) -> str:
    name = record.data[3] if record.type == SRV else record.data
    return f"{format_name(record.name)} {'' if record.type == A else format_name(name)}".strip()


def _answer(*records: str) -> Answer:
    """`NAME` is an address, `NAME > NAME` an alias, `NAME = NAME` a server."""
    found = []
    for text in records:
        owner, sign, value = (*text.split(), "", "")[:3]
        target: Name = parse_name(value)
        data = {"": (A, ADDRESS), ">": (CNAME, target), "=": (SRV, (0, 100, 80, target))}[sign]
        found.append(Record(parse_name(owner), data[0], 30, data[1]))
    return Answer(records=tuple(found))


@pytest.mark.parametrize(
    ("rule", "name", "asked", "answer", "told"),
    [
        pytest.param(
            "exact a.test b.other", "a.test", "b.other.",
            ["b.other > x.b.other", "x.b.other"], ["a.test. x.a.test.", "x.a.test."], id="exact, below it as well",
        ),
        pytest.param(
            "suffix .example.com .svc.cluster.local answer auto", "_x._tcp.web.default.example.com",
            "_x._tcp.web.default.svc.cluster.local.",
            ["_x._tcp.web.default.svc.cluster.local = web.default.svc.cluster.local", "elsewhere.test"],
            ["_x._tcp.web.default.example.com. web.default.example.com.", "elsewhere.test."], id="suffix, the targets",
        ),
        pytest.param(
            "suffix -dev.test. .test. answer auto", "web-dev.test", "web.test.",
            ["web.test > other.test"], ["web-dev.test. other-dev.test."], id="suffix within a label",
        ),
        pytest.param(
            "regex (.*)\\.old {1}.new answer auto", "a.old", "a.new.",
            ["a.new > b.a.new", "b.a.new > c.test"], ["a.old. b.a.old.", "b.a.old. c.test."], id="regex auto",
        ),
        pytest.param(
            "suffix .old .new", "a.old", "a.new.", ["a.new > b.new"], ["a.new. b.new."], id="nothing unless asked for",
        ),
        pytest.param(
            "regex (.*)-(us)\\.test {1}.{2}.test answer name (.*)\\.(us)\\.test {1}-{2}.test",
            "ftp-us.test", "ftp.us.test.", ["ftp.us.test"], ["ftp-us.test."], id="by hand",
        ),
        pytest.param(
            "suffix .old .new answer name b\\.new x.test answer value (.*)\\.new {1}.mid answer value (.*)mid {1}end",
            "a.old", "a.new.", ["a.b.new > c.new"], ["x.test. c.end."], id="whole names, rule after rule",
        ),
    ],
)  # fmt: skip
def test_an_answer_is_led_back(rule: str, name: str, asked: str, answer: list[str], told: list[str]) -> None:
    query, back = rewrite_rules.apply([rewrite_rules.parse(["name", *rule.split()], True)], _query(name))
    assert format_name(query.name) == asked
    assert back is not None
    assert [_shown(record) for record in back(_answer(*answer)).records] == told


@pytest.mark.parametrize(
    ("rule", "name", "asked"),
    [
        pytest.param("prefix foo bar", "foo.example.com", "bar.example.com.", id="prefix"),
        pytest.param("prefix foo. bar.", "foo.example.com", "bar.example.com.", id="prefix with a dot"),
        pytest.param("prefix foo bar", "foobar.example.com", None, id="prefix within a label"),
        pytest.param("prefix foo bar", "coredns.foo", None, id="no prefix"),
        pytest.param("suffix com org", "foo.example.com", "foo.example.org.", id="suffix"),
        pytest.param("suffix .com .org", "foo.example.com", "foo.example.org.", id="suffix with a dot"),
        pytest.param("suffix .in.test nginx.test", "web.in.test", "webnginx.test.", id="suffix to within a label"),
        pytest.param("substring from.substring to", "from.substring.nl", "to.nl.", id="substring"),
        pytest.param("substring service svc", "services.test", None, id="substring within a label"),
        pytest.param(r"regex (f.*m)\.regex\.(nl) to.{2}", "from.regex.nl", "to.nl.", id="regex"),
    ],
)
def test_what_is_asked(rule: str, name: str, asked: str | None) -> None:
    """Rows of CoreDNS's own tests: but for patterns, what a rule names is completed to a name."""
    query, back = rewrite_rules.apply([rewrite_rules.parse(["name", *rule.split()], True)], _query(name))
    assert (format_name(query.name), back is not None) == (asked or f"{name}.", asked is not None)
