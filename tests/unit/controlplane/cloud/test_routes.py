"""Pure parts of the route loop."""

from __future__ import annotations

import ipaddress
from typing import Any

from controlplane.cloud.kubelab.routes import parse_routes
from controlplane.cloud.provider import Route
from controlplane.cloud.route_plan import plan_condition, plan_routes, wanted_routes

PODS = ("10.244.0.0/16",)


def _node(name: str, cidr: str, address: str, conditions: list[Any] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}] if address else [],
            "conditions": conditions or [],
        },
    }


def test_missing_routes_are_made_and_others_removed() -> None:
    nodes = [_node("a", "10.244.0.0/24", "10.0.0.11"), _node("b", "10.244.1.0/24", "10.0.0.21"), _node("c", "", "")]
    present = [
        Route("10.244.0.0/24", "10.0.0.11"),
        Route("10.244.1.0/24", "10.0.0.99"),
        Route("10.244.7.0/24", "10.0.0.27"),
        Route("10.1.0.0/16", "10.0.0.21"),
    ]
    plan = plan_routes(nodes, present, PODS)
    assert plan.create == (("b", Route("10.244.1.0/24", "10.0.0.21")),)
    assert plan.delete == (present[1], present[2])


def test_a_family_without_an_address_has_no_route() -> None:
    node = _node("a", "10.244.0.0/24", "10.0.0.11")
    node["spec"]["podCIDRs"].append("fd00:1::/64")
    assert wanted_routes(node) == [Route("10.244.0.0/24", "10.0.0.11")]


def test_the_condition_is_written_when_it_changes() -> None:
    node = _node("a", "10.244.0.0/24", "10.0.0.11")
    made = plan_condition(node, True, "now")
    assert made is not None and (made["status"], made["reason"]) == ("False", "RouteCreated")
    shown = _node("a", "10.244.0.0/24", "10.0.0.11", [made])
    assert plan_condition(shown, True, "later") is None
    failed = plan_condition(shown, False, "later")
    assert failed is not None
    assert (failed["status"], failed["reason"], failed["message"]) == (
        "True", "NoRouteCreated", "RouteController failed to create a route",
    )  # fmt: skip


def test_routes_of_the_kernel() -> None:
    shown = (
        '[{"dst":"10.244.1.0/24","gateway":"10.0.0.21"},{"dst":"10.9.9.9","gateway":"10.7.0.1"},{"dst":"10.8.0.0/16"}]'
    )
    mine = [Route("10.244.1.0/24", "10.0.0.21")]
    assert parse_routes(shown, ipaddress.IPv4Network("10.0.0.0/24")) == mine
    assert parse_routes(shown, None) == [*mine, Route("10.9.9.9/32", "10.7.0.1"), Route("10.8.0.0/16", "")]
    assert parse_routes("", None) == []
    six = '[{"dst":"fd00:244::/64","gateway":"fd00:60::11"},{"dst":"fd00::9","gateway":"fe80::1"}]'
    assert parse_routes(six, ipaddress.IPv6Network("fd00:60::/64")) == [Route("fd00:244::/64", "fd00:60::11")]
    assert parse_routes(six, None)[1] == Route("fd00::9/128", "fe80::1")
