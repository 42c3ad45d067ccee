"""Bad values as Go prints them in a message where upstream shows a struct, a list or a map (%#v)."""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from apimachinery.meta import times
from apimachinery.meta.paths import Verbatim

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_GO_NAMES = {"uid": "UID", "apiVersion": "APIVersion", "apiGroup": "APIGroup"}
_QUANTITY = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?([numkMGTPE]|[KMGTPE]i)?")


def go_labels(values: Mapping[str, str] | None) -> Verbatim:
    """A map of strings: `map[string]string{"app":"web"}`."""
    if values is None:
        return Verbatim("map[string]string(nil)")
    return Verbatim("map[string]string{" + ", ".join(f'"{key}":"{values[key]}"' for key in sorted(values)) + "}")


def go_list(kind: str, values: Iterable[str] | None) -> Verbatim:
    """A list of a string type: `[]storage.VolumeLifecycleMode{"Persistent"}`."""
    if values is None:
        return Verbatim(f"[]{kind}(nil)")
    return Verbatim(f"[]{kind}{{" + ", ".join(f'"{value}"' for value in values) + "}")


def go_strings(values: Iterable[str] | None) -> Verbatim:
    """A list of strings: `[]string{"a"}`."""
    return go_list("string", values)


def go_bytes(text: str | None) -> Verbatim:
    """Bytes, which come as base64: `[]byte{0xa}`."""
    if text is None:
        return Verbatim("[]byte(nil)")
    return Verbatim("[]byte{" + ", ".join(f"{byte:#x}" for byte in b64decode(text)) + "}")


def go_struct(kind: str, fields: Iterable[str], value: Mapping[str, Any]) -> Verbatim:
    """A structure of texts: `core.EventSource{Component:"kubelet", Host:"n1"}`. fields: JSON's names, in Go's order."""
    shown = ", ".join(
        f'{_GO_NAMES.get(name, name[:1].upper() + name[1:])}:"{value.get(name) or ""}"' for name in fields
    )
    return Verbatim(f"{kind}{{{shown}}}")


def go_pointer(kind: str, value: Any) -> Verbatim:
    """A field that is a pointer: `(*v1.LabelSelector)(nil)`, or an address (which differs each time with upstream)."""
    return Verbatim(f"(*{kind})({'nil' if value is None else '0xc000000000'})")


def go_time(text: str | None) -> Verbatim:
    """A time of the API as Go's time.Time prints itself: `2025-01-02 03:04:05.6 +0000 UTC`."""
    if not text:
        return Verbatim("0001-01-01 00:00:00 +0000 UTC")
    return Verbatim(times.go_string(times.parse(text)))


def go_selector(selector: Mapping[str, Any]) -> Verbatim:
    """A LabelSelector."""
    expressions = selector.get("matchExpressions")
    if expressions is not None:
        inner = ", ".join(
            f'v1.LabelSelectorRequirement{{Key:"{each.get("key", "")}", Operator:"{each.get("operator", "")}", '
            f"Values:{go_strings(each.get('values'))}}}"
            for each in expressions
        )
        shown = f"[]v1.LabelSelectorRequirement{{{inner}}}"
    else:
        shown = "[]v1.LabelSelectorRequirement(nil)"
    matched = go_labels(selector.get("matchLabels"))
    return Verbatim(f"v1.LabelSelector{{MatchLabels:{matched}, MatchExpressions:{shown}}}")


def go_int_or_string(value: Any) -> Verbatim:
    """A number or a percentage, as the structure that upstream shows: `intstr.IntOrString{Type:1, …, StrVal:"25%"}`."""
    if isinstance(value, str):
        return Verbatim(f'intstr.IntOrString{{Type:1, IntVal:0, StrVal:"{value}"}}')
    return Verbatim(f'intstr.IntOrString{{Type:0, IntVal:{int(value or 0)}, StrVal:""}}')


def go_quantity(text: Any) -> Verbatim:
    """A resource.Quantity: its parts, and its text where that is already canonical."""
    text = str(text)
    number, scale, form, kept = 0, 0, "", text
    found = _QUANTITY.fullmatch(text)
    if found and text != "0":
        sign, whole, part, suffix = found[1], found[2], found[3] or "", found[4] or ""
        number = int(whole + part) * (-1 if sign == "-" else 1)
        if suffix in _BINARY:
            form = "BinarySI"
            if number % 8 == 0:
                kept = ""
            number <<= _BINARY[suffix]
        else:
            form, scale = "DecimalSI", _DECIMAL[suffix] - len(part)
            if scale % 3 or (whole + part).endswith("000") or whole.startswith("0"):
                kept = ""
    return Verbatim(
        f"resource.Quantity{{i:resource.int64Amount{{value:{number}, scale:{scale}}}, "
        f'd:resource.infDecAmount{{Dec:(*inf.Dec)(nil)}}, s:"{kept}", Format:"{form}"}}'
    )


def go_amounts(amounts: Mapping[str, Any]) -> Verbatim:
    """A ResourceList: `core.ResourceList{"cpu":resource.Quantity{…}}`."""
    shown = ", ".join(f'"{name}":{go_quantity(amounts[name])}' for name in sorted(amounts))
    return Verbatim(f"core.ResourceList{{{shown}}}")


def go_terms(terms: Iterable[Mapping[str, Any]], *, alone: bool = False) -> Verbatim:
    """A list of NodeSelectorTerms; alone: the only one, without its list."""
    shown = [
        f"core.NodeSelectorTerm{{MatchExpressions:{_requirements(term.get('matchExpressions'))}, "
        f"MatchFields:{_requirements(term.get('matchFields'))}}}"
        for term in terms
    ]
    if alone:
        return Verbatim(shown[0])
    return Verbatim(f"[]core.NodeSelectorTerm{{{', '.join(shown)}}}" if shown else "[]core.NodeSelectorTerm(nil)")


def _requirements(found: Iterable[Mapping[str, Any]] | None) -> str:
    if not found:
        return "[]core.NodeSelectorRequirement(nil)"
    shown = (
        f'core.NodeSelectorRequirement{{Key:"{each.get("key", "")}", Operator:"{each.get("operator", "")}", '
        f"Values:{go_strings(each.get('values'))}}}"
        for each in found
    )
    return f"[]core.NodeSelectorRequirement{{{', '.join(shown)}}}"
