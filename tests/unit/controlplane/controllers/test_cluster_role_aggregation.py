"""Which rules an aggregating ClusterRole holds."""

from controlplane.controllers.cluster_role_aggregation import plan_rules


def role(name, *rules, labels=None, selectors=None):
    made = {"kind": "ClusterRole", "metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if selectors is not None:
        made["aggregationRule"] = {"clusterRoleSelectors": selectors}
    return made


GET = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
LIST = {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}
TO_VIEW = {"matchLabels": {"to": "view"}}


def test_rules_come_by_name_each_once():
    view = role("view", selectors=[TO_VIEW])
    others = [
        role("b", LIST, GET, labels={"to": "view"}),
        role("a", GET, labels={"to": "view"}),
        role("c", {**GET, "resources": ["secrets"]}, labels={"to": "edit"}),
    ]
    assert plan_rules(view, [*others, view]) == [GET, LIST]


def test_what_fits_is_left_alone_and_what_is_no_longer_selected_goes():
    a = role("a", GET, labels={"to": "view"})
    view = role("view", GET, selectors=[TO_VIEW], labels={"to": "view"})
    assert plan_rules(view, [a, view]) is None
    assert plan_rules(view, [role("a", GET), view]) == []
    assert plan_rules(a, [a, view]) is None
