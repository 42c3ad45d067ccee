"""Which IP families a Service has (KEP-563; pkg/registry/core/service/storage/alloc.go: initIPFamilyFields). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery.api.validation.go_values import go_strings
from apimachinery.meta.paths import Path, Problem, invalid
from controlplane.apiserver.strategies.base import Object

IPV4, IPV6 = "IPv4", "IPv6"
_SINGLE, _PREFER, _REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_POLICY, _FAMILIES, _ADDRESSES = Path("spec.ipFamilyPolicy"), Path("spec.ipFamilies"), Path("spec.clusterIPs")
_TOO_MANY = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
_NOT_RELEASED = "must be 'SingleStack' to release the secondary {}"


def family_of(address: str) -> str:
    return IPV6 if ":" in address else IPV4


def settle_families(spec: Object, before: Mapping[str, Any] | None, served: Sequence[str]) -> list[Problem]:
    """Fill in ipFamilyPolicy and ipFamilies, in place, and let go of a second address that SingleStack gives up.

    before: the spec that is stored, None for a new Service. served: the cluster's families, the default one first.
    """
    if before is not None and _still_prefers(spec, before):
        return []  # a Service does not follow a cluster that becomes dual-stack
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = _REQUIRE if _is_anybodys(spec) else _SINGLE
    problems = _settle_update(spec, before) if before is not None else []
    problems += _policy_problems(spec)
    problems += _infer(spec, served)
    if problems:
        return problems
    families: list[str] = spec.setdefault("ipFamilies", [])
    dual = spec["ipFamilyPolicy"] != _SINGLE
    if _is_anybodys(spec):
        # Headless and without a selector: whoever writes its endpoints may have families that the cluster has not.
        families += [] if families else [served[0]]
        families += [_other(families[0])] if dual and len(families) == 1 else []
        return []
    if spec["ipFamilyPolicy"] == _REQUIRE and len(served) < 2:
        problems.append(invalid(_POLICY, _REQUIRE, "this cluster is not configured for dual-stack services"))
    problems += [
        invalid(_FAMILIES.index(position), family, "not configured on this cluster")
        for position, family in enumerate(families)
        if family not in served
    ]
    if not problems:
        families += [] if families else [served[0]]
        families += [_other(families[0])] if dual and len(families) == 1 and len(served) == 2 else []
    return problems


def _is_anybodys(spec: Mapping[str, Any]) -> bool:
    return spec.get("clusterIPs") == ["None"] and not spec.get("selector")


def _still_prefers(spec: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return spec.get("ipFamilyPolicy") == before.get("ipFamilyPolicy") == _PREFER and all(
        (spec.get(field) or []) == (before.get(field) or []) for field in ("clusterIPs", "ipFamilies")
    )


def _settle_update(spec: Object, before: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for field, word in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, then = spec.get(field) or [], before.get(field) or []
        if spec["ipFamilyPolicy"] == _SINGLE:
            if now == then and len(now) > 1:
                spec[field] = now[:1]
        elif now and len(now) == 1 and len(then) == 2 and now[0] == then[0]:
            problems.append(invalid(_POLICY, spec["ipFamilyPolicy"], _NOT_RELEASED.format(word)))
    return problems


def _policy_problems(spec: Mapping[str, Any]) -> list[Problem]:
    if spec["ipFamilyPolicy"] != _SINGLE:
        return []
    return [
        invalid(_POLICY, _SINGLE, _TOO_MANY.format(words))
        for field, words in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
        if len(spec.get(field) or ()) == 2
    ]


def _infer(spec: Object, served: Sequence[str]) -> list[Problem]:
    """Families of the addresses that a client chose."""
    problems = []
    families, addresses = list(spec.get("ipFamilies") or ()), spec.get("clusterIPs") or []
    for position, address in enumerate(addresses):
        if address == "None":
            break
        if position >= len(families):
            family = family_of(address)
            if family in served:
                families.append(family)
            else:
                text = f"{family} is not configured on this cluster"
                problems.append(invalid(_ADDRESSES.index(position), go_strings(addresses), text))
    if not problems:
        spec["ipFamilies"] = families
    return problems


def _other(family: str) -> str:
    return IPV4 if family == IPV6 else IPV6
