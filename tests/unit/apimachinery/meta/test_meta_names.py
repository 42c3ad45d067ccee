"""Name syntax (k8s.io/apimachinery/pkg/util/validation)."""

import pytest

from apimachinery.meta import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns1123_label, ["a", "a-1", "0", "a" * 63], ["", "A", "-a", "a-", "a.b", "a_b", "a" * 64, "a\n"]),
        (names.dns1123_subdomain, ["a", "a.b", "0.a-b", "a" * 253], ["", "a..b", ".a", "A.b", "a" * 254]),
        (names.dns1035_label, ["a", "a1"], ["1a", "a.b", "", "A"]),
        (
            names.qualified_name,
            ["a", "a.b_c", "x.io/a", "x.io/" + "a" * 63],
            ["", "/a", "a/", "a/b/c", "X.io/a", "a" * 64, "x.io/" + "a" * 64, "x" * 254 + "/a"],
        ),
        (names.label_value, ["", "a", "A.b_c"], ["-a", "a b", "a" * 64]),
        (names.env_var_name, ["A", "a.b", "1A"], ["", "a=b", "ä", "a\tb"]),
        (names.config_key, ["a", "a.b", "_"], ["", ".", "..", "..a", "a/b"]),
        (names.port_name, ["http", "a-1"], ["", "1", "a--b", "-a", "HTTP", "a" * 16]),
        (names.percent, ["1%", "100%"], ["1", "%", "-1%"]),
        (names.c_identifier, ["_a1"], ["1a", ""]),
        (names.http_header_name, ["X-A"], ["X A", ""]),
        (names.wildcard_subdomain, ["*.a.b"], ["a.b", "*a", "*."]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_accepted_and_refused(check, good, bad):
    assert [value for value in good if check(value)] == []
    assert [value for value in bad if not check(value)] == []


def test_the_label_sentence():
    assert names.dns1123_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert names.dns1123_label("a.b") == ["must not contain dots"]


def test_port_numbers():
    assert names.port_number(80) == []
    assert names.port_number(0) == names.port_number(65536) == ["must be between 1 and 65535, inclusive"]
