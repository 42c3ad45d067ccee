"""Values as Go prints them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any


def plain(value: Any, nothing: str = "<nil>") -> str:
    """A JSON value by the verb %v: `map[image:nginx ports:[80]]`, keys in order. nothing: what null is."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{plain(value[key], nothing)}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(plain(each, nothing) for each in value) + "]"
    return str(value)


def quoted(text: str) -> str:
    """A string by the verb %q; letters stay as they are, some control characters have JSON's numbers."""
    return json.dumps(text, ensure_ascii=False)


def quoted_all(texts: Iterable[str]) -> str:
    """A list of strings by the same verb."""
    return f"[{' '.join(map(quoted, texts))}]"


def label_selector(selector: Mapping[str, Any] | None) -> str:
    """A *metav1.LabelSelector by its String method, which some of upstream's messages have."""
    if selector is None:
        return "nil"
    equal = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    asked = "".join(
        f"LabelSelectorRequirement{{Key:{each.get('key', '')},Operator:{each.get('operator', '')},"
        f"Values:[{' '.join(each.get('values') or ())}],}},"
        for each in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{equal}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{asked}}},}}"
    )
