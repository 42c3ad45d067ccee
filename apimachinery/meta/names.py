"""The syntax of names, labels and keys: each check returns upstream's sentences, an empty list when all is well.

k8s.io/apimachinery/pkg/util/validation. Lengths are in bytes, as in Go.
"""

import re

DNS1123_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS1123_SUBDOMAIN = DNS1123_LABEL + "(\\." + DNS1123_LABEL + ")*"
DNS1035_LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
QUALIFIED_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_VALUE = f"({QUALIFIED_NAME})?"

_DNS1123_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character"
)
_DNS1123_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character"
)
_DNS1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and end with an alphanumeric character"
)

_label = re.compile(DNS1123_LABEL)
_subdomain = re.compile(DNS1123_SUBDOMAIN)
_label1035 = re.compile(DNS1035_LABEL)
_qualified = re.compile(QUALIFIED_NAME)
_label_value = re.compile(LABEL_VALUE)


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """Upstream's RegexError: what it must be, examples, and the expression."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def max_length_error(limit: int) -> str:
    """The sentence for a text of more than `limit` bytes."""
    return f"must be no more than {limit} characters"


def range_error(low: int, high: int) -> str:
    """The sentence for a number outside `low`..`high`, both included."""
    return f"must be between {low} and {high}, inclusive"


EMPTY_ERROR = "must be non-empty"


def _too_long(value: str, limit: int) -> list[str]:
    return [max_length_error(limit)] if len(value.encode()) > limit else []


def dns1123_label(value: str) -> list[str]:
    """Problems of `value` as an RFC 1123 label (at most 63)."""
    problems = _too_long(value, 63)
    if not _label.fullmatch(value):
        if _subdomain.fullmatch(value):
            problems.append("must not contain dots")
        else:
            problems.append(regex_error(_DNS1123_LABEL_TEXT, DNS1123_LABEL, "my-name", "123-abc"))
    return problems


def dns1123_subdomain(value: str) -> list[str]:
    """Problems of `value` as an RFC 1123 subdomain (at most 253)."""
    problems = _too_long(value, 253)
    if not _subdomain.fullmatch(value):
        problems.append(regex_error(_DNS1123_SUBDOMAIN_TEXT, DNS1123_SUBDOMAIN, "example.com"))
    return problems


def dns1035_label(value: str) -> list[str]:
    """Problems of `value` as an RFC 1035 label (at most 63, begins with a letter): Service names."""
    problems = _too_long(value, 63)
    if not _label1035.fullmatch(value):
        problems.append(regex_error(_DNS1035_TEXT, DNS1035_LABEL, "my-name", "abc-123"))
    return problems


def wildcard_subdomain(value: str) -> list[str]:
    """Problems of `value` as `*.` and an RFC 1123 subdomain: Ingress hosts."""
    pattern = "\\*\\." + DNS1123_SUBDOMAIN
    problems = _too_long(value, 253)
    if not re.fullmatch(pattern, value):
        problems.append(
            regex_error(
                "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
                "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
                pattern,
                "*.example.com",
            )
        )
    return problems


def qualified_name(value: str) -> list[str]:
    """Problems of `value` as `[prefix/]name`: label keys, annotation keys, resource names."""
    prefix, slash, name = value.rpartition("/")
    prefixed = len(prefix) <= 253 and _subdomain.fullmatch(prefix) if slash else True
    if prefixed and len(name) <= 63 and _qualified.fullmatch(name):
        return []  # almost all; the sentences cost more than the check
    parts = value.split("/")
    problems: list[str] = []
    sentence = regex_error(_QUALIFIED_TEXT, QUALIFIED_NAME, "MyName", "my.name", "123-abc")
    if len(parts) > 2:
        return [
            f"a qualified name {sentence} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            problems.append(f"prefix part {EMPTY_ERROR}")
        else:
            problems.extend(f"prefix part {text}" for text in dns1123_subdomain(parts[0]))
    name = parts[-1]
    if not name:
        problems.append(f"name part {EMPTY_ERROR}")
    else:
        problems.extend(f"name part {text}" for text in _too_long(name, 63))
    if not _qualified.fullmatch(name):
        problems.append(f"name part {sentence}")
    return problems


def label_value(value: str) -> list[str]:
    """Problems of `value` as the value of a label (at most 63)."""
    problems = _too_long(value, 63)
    if not _label_value.fullmatch(value):
        problems.append(regex_error(_LABEL_VALUE_TEXT, LABEL_VALUE, "MyValue", "my_value", "12345"))
    return problems


def c_identifier(value: str) -> list[str]:
    """Problems of `value` as a C identifier."""
    pattern = "[A-Za-z_][A-Za-z0-9_]*"
    if re.fullmatch(pattern, value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
        "characters or '_'"
    )
    return [regex_error(text, pattern, "my_name", "MY_NAME", "MyName")]


def env_var_name(value: str) -> list[str]:
    """Problems of `value` as the name of an environment variable: printable ASCII without "=" (relaxed, 1.32 beta)."""
    problems = [] if value else [f"environment variable name {EMPTY_ERROR}"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        problems.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return problems


def config_key(value: str) -> list[str]:
    """Problems of `value` as a key of a ConfigMap or Secret (at most 253)."""
    pattern = "[-._a-zA-Z0-9]+"
    problems = _too_long(value, 253)
    if not re.fullmatch(pattern, value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        problems.append(regex_error(text, pattern, "key.name", "KEY_NAME", "key-name"))
    if value == ".":
        problems.append("must not be '.'")
    elif value == "..":
        problems.append("must not be '..'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(value: str) -> list[str]:
    """Problems of `value` as an IANA service name (RFC 6335 section 5.1, at most 15)."""
    problems = _too_long(value, 15)
    if not re.fullmatch("[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    """Problems of `value` as a TCP, UDP or SCTP port."""
    return [] if 1 <= value <= 65535 else [range_error(1, 65535)]


def percent(value: str) -> list[str]:
    """Problems of `value` as a percentage such as "25%"."""
    if re.fullmatch("[0-9]+%", value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_error(text, "[0-9]+%", "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    """Problems of `value` as the name of an HTTP header."""
    if re.fullmatch("[-A-Za-z0-9]+", value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_error(text, "[-A-Za-z0-9]+", "X-Header-Name")]
