"""Checks that many kinds share, with upstream's sentences (pkg/apis/core and apimachinery/pkg/api/validation)."""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from apimachinery.api.validation.go_values import go_int_or_string, go_quantity
from apimachinery.meta import names, quantity
from apimachinery.meta.addresses import parse_cidr, parse_ip
from apimachinery.meta.labels import from_label_selector
from apimachinery.meta.paths import (
    Path,
    Problem,
    forbidden,
    invalid,
    not_supported,
    required,
)

Object = Mapping[str, Any]
NameCheck = Callable[[str], list[str]]

NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"
IMMUTABLE = "field is immutable"
NOT_AN_OPERATOR = "not a valid selector operator"

# Go fields that are no pointers: their zero value and their absence are one.
_PLAIN = frozenset(
    ("hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "hostPort", "initialDelaySeconds")
)


def nonnegative(value: int | None, path: Path) -> list[Problem]:
    """A number that must not be below zero; absent counts as zero."""
    return [invalid(path, value, NEGATIVE)] if value is not None and value < 0 else []


def sentences(texts: Iterable[str], value: Any, path: Path) -> list[Problem]:
    """One `Invalid value` for each sentence of a syntax check."""
    return [invalid(path, value, text) for text in texts]


def one_of(value: str | None, supported: tuple[str, ...], path: Path) -> list[Problem]:
    """A required enumeration: missing, or not one of `supported` (listed in the order given)."""
    if not value:
        return [required(path)]
    return [] if value in supported else [not_supported(path, value, supported)]


def one_of_given(value: str | None, supported: tuple[str, ...], path: Path) -> list[Problem]:
    """An enumeration that may be absent: where it is given, an empty text is no member of it."""
    return [] if value is None or value in supported else [not_supported(path, value, supported)]


def dns_label(value: str, path: Path) -> list[Problem]:
    """An RFC 1123 label."""
    return sentences(names.dns1123_label(value), value, path)


def dns_subdomain(value: str, path: Path) -> list[Problem]:
    """An RFC 1123 subdomain."""
    return sentences(names.dns1123_subdomain(value), value, path)


def qualified_name(value: str, path: Path) -> list[Problem]:
    """A `[prefix/]name`."""
    return sentences(names.qualified_name(value), value, path)


def labels(values: Mapping[str, str] | None, path: Path) -> list[Problem]:
    """Keys and values of a map of labels."""
    problems: list[Problem] = []
    for key, value in (values or {}).items():
        problems += qualified_name(key, path)
        problems += sentences(names.label_value(value), value, path)
    return problems


def label_selector(selector: Object | None, path: Path) -> list[Problem]:
    """A metav1.LabelSelector."""
    if selector is None:
        return []
    problems = labels(selector.get("matchLabels"), path.child("matchLabels"))
    for position, expression in enumerate(selector.get("matchExpressions") or ()):
        where = path.child("matchExpressions").index(position)
        problems += operator_values(expression, ("In", "NotIn", "Exists", "DoesNotExist"), where)
        problems += qualified_name(expression.get("key", ""), where.child("key"))
        for index, value in enumerate(expression.get("values") or ()):
            problems += sentences(names.label_value(value), value, where.child("values").index(index))
    return problems


def operator_values(requirement: Object, operators: tuple[str, ...], path: Path) -> list[Problem]:
    """The operator of a selector's requirement is one of these, and has as many values as it takes."""
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    where = path.child("values")
    if operator not in operators:
        return [invalid(path.child("operator"), operator, NOT_AN_OPERATOR)]
    match operator:
        case "In" | "NotIn" if not values:
            return [required(where, "must be specified when `operator` is 'In' or 'NotIn'")]
        case "Exists" | "DoesNotExist" if values:
            return [forbidden(where, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")]
        case "Gt" | "Lt" if len(values) != 1:
            return [required(where, "must be specified single value when `operator` is 'Lt' or 'Gt'")]
    return []


def selector_matches(selector: Object | None, wanted: Mapping[str, str]) -> bool | None:
    """Whether the selector selects these labels; None when it cannot be read (LabelSelectorAsSelector's errors)."""
    # Upstream judges keys and values while it reads: what it can read is just what has no problem.
    return None if label_selector(selector, Path()) else from_label_selector(selector).matches(wanted)


def selector_is_empty(selector: Object) -> bool:
    """True when it names neither labels nor expressions."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def immutable(new: Any, old: Any, path: Path, shown: Any = None) -> list[Problem]:
    """A field that must not change. `shown` is how the new value is to be printed."""
    return [] if same(new, old) else [invalid(path, new if shown is None else shown, IMMUTABLE)]


def same(left: Any, right: Any) -> bool:
    """Upstream's semantic equality: absent, null, "" and empty lists and maps are one."""
    if _blank(left) and _blank(right):
        return True
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in left.keys() | right.keys():
            before, after = left.get(key), right.get(key)
            if key in _PLAIN and not before and not after:
                continue
            if not same(before, after):
                return False
        return True
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


def restore(left: dict[str, Any], old: Object, name: str) -> None:
    """Set a field of `left` back to what `old` says, or to nothing."""
    left.pop(name, None)
    if old.get(name) is not None:
        left[name] = old[name]


def _blank(value: Any) -> bool:
    return value is None or value == "" or value == {} or value == []


def ip(text: str, path: Path) -> list[Problem]:
    """An IP address."""
    if parse_ip(text) is not None:
        return []
    return [invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]


def cidr(text: str, path: Path) -> list[Problem]:
    """A CIDR."""
    if parse_cidr(text) is not None:
        return []
    return [invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]


def ordinary_ip(text: str, path: Path) -> list[Problem]:
    """An address that a Service or an endpoint may have: not unspecified, loopback or link-local."""
    address = parse_ip(text)
    if address is None:
        return [invalid(path, text, "must be a valid IP address")]
    problems = []
    if address.is_unspecified:
        problems.append(f"may not be unspecified ({text})")
    if address.is_loopback:
        problems.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        problems.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    local = ip_network("224.0.0.0/24") if address.version == 4 else ip_network("ff02::/16")
    if address in local:
        problems.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return sentences(problems, text, path)


def port_or_name(value: Any, path: Path) -> list[Problem]:
    """A port number, or the name of a container's port."""
    texts = names.port_name(value) if isinstance(value, str) else names.port_number(int(value or 0))
    return sentences(texts, value if isinstance(value, str) else int(value or 0), path)


def int_or_percent(value: Any, path: Path) -> list[Problem]:
    """A number that is not negative, or a percentage."""
    if isinstance(value, str):
        return sentences(names.percent(value), go_int_or_string(value), path)
    return nonnegative(value, path)


def not_above_100_percent(value: Any, path: Path) -> list[Problem]:
    """A percentage of at most 100 %."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        return [invalid(path, go_int_or_string(value), "must not be greater than 100%")]
    return []


def scaled(value: Any) -> int:
    """The number in an int-or-percentage (the percent itself for a percentage); 0 when it cannot be read."""
    if isinstance(value, str):
        return 0 if names.percent(value) else int(value[:-1])
    return int(value or 0)


def quantity_value(name: str, text: Any, path: Path) -> list[Problem]:
    """An amount of a resource: not negative, and whole where the resource comes in pieces."""
    try:
        amount = quantity.parse(text)
    except ValueError as problem:
        return [invalid(path, text, str(problem))]
    problems = []
    if amount.nano < 0:
        problems.append(invalid(path, str(amount), NEGATIVE))
    if is_integer_resource(name) and amount.milli % 1000:
        problems.append(invalid(path, go_quantity(amount), "must be an integer"))
    return problems


_OBJECT_COUNTS = frozenset(
    (
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)


def is_native_resource(name: str) -> bool:
    """True for cpu and memory and for names under kubernetes.io/."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended_resource(name: str) -> bool:
    """True for names of devices such as example.com/gpu."""
    return (
        not is_native_resource(name)
        and not name.startswith("requests.")
        and not names.qualified_name(f"requests.{name}")
    )


def is_integer_resource(name: str) -> bool:
    """True for what is counted in whole pieces."""
    return name in _OBJECT_COUNTS or is_extended_resource(name)
