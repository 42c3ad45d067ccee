"""Values as Go prints them."""

from __future__ import annotations

from apimachinery.meta.go_print import label_selector


def test_a_selector_as_go_prints_it() -> None:
    rest = "MatchExpressions:[]LabelSelectorRequirement{},}"
    text = "&LabelSelector{MatchLabels:map[string]string{app: web,tier: a,}," + rest
    assert label_selector(None) == "nil"
    assert label_selector({"matchLabels": {"tier": "a", "app": "web"}}) == text
    asked = [{"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "Exists"}]
    assert label_selector({"matchExpressions": asked}) == (
        "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{"
        "LabelSelectorRequirement{Key:a,Operator:In,Values:[x y],},"
        "LabelSelectorRequirement{Key:b,Operator:Exists,Values:[],},},}"
    )
