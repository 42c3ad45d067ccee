"""What a request costs each quota of its namespace (CheckRequest of k8s.io/apiserver's resourcequota). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from apimachinery.api.quota import amounts, scopes
from apimachinery.api.quota.amounts import Amounts
from apimachinery.api.quota.evaluators import Evaluator

Object = dict[str, Any]


class Refused(Exception):
    """The request may not be; the message is upstream's."""


class NotCovered(Exception):
    """The object is in scopes that are only for who has a quota for them; the message is upstream's."""


class LimitedResource(Struct, frozen=True):
    """What may only be used where a quota covers it (the plug-in's configuration).

    contains: parts of the names of limited resources; scopes: selectors of limited objects.
    """

    group: str
    plural: str
    contains: tuple[str, ...] = ()
    scopes: tuple[Mapping[str, Any], ...] = ()


class Charge(Struct, frozen=True):
    """A quota, and its status.used once the request is granted."""

    quota: Object
    used: dict[str, str]


def plan_charges(
    quotas: Sequence[Object],
    evaluator: Evaluator,
    new: Mapping[str, Any],
    old: Mapping[str, Any] | None,
    now: datetime,
    limited: Sequence[LimitedResource] = (),
) -> list[Charge]:
    """The quotas to charge, none when the request uses nothing more. old: None for a creation.

    Raises Refused, NotCovered; ValueError for a malformed quantity or scope.
    """
    interesting: list[tuple[Object, Amounts]] = []
    covered: set[str] = set()
    covered_scopes: list[Mapping[str, Any]] = []
    for quota in quotas:
        covered_scopes += [each for each in scopes.selectors(quota) if evaluator.in_scope(each, new)]
        state = quota.get("status") or {}
        hard = amounts.parse(state.get("hard"))
        if not evaluator.matches(quota, new, hard):
            continue
        name = quota["metadata"]["name"]
        restricted = evaluator.resources(hard)
        if missing := evaluator.missing(restricted, new):
            raise Refused(f"failed quota: {name}: {missing}")
        if not set(restricted) <= (state.get("used") or {}).keys():
            raise Refused(f"status unknown for quota: {name}, resources: {','.join(sorted(restricted))}")
        interesting.append((quota, hard))
        covered.update(restricted)
    delta = evaluator.usage(new, now)
    if negative := [name for name, amount in delta.items() if amount.nano < 0]:
        raise Refused(f"quota usage is negative for resource(s): {','.join(sorted(negative))}")
    wanted = delta
    if old is not None:
        delta = amounts.grown(delta, evaluator.usage(old, now))
    delta = {name: amount for name, amount in delta.items() if amount}
    if not delta:
        return []
    _check_covered(evaluator, new, wanted, limited, covered, covered_scopes)
    return [charge for quota, hard in interesting if (charge := _charge(quota, hard, delta)) is not None]


def _charge(quota: Object, hard: Amounts, delta: Amounts) -> Charge | None:
    used = amounts.parse((quota.get("status") or {}).get("used"))
    requested = amounts.masked(delta, hard)
    if not requested:
        return None
    total = amounts.added(used, requested)
    if over := amounts.exceeded(amounts.masked(total, requested), hard):
        asked, have, limit = (amounts.listed(amounts.masked(each, over)) for each in (requested, used, hard))
        name = quota["metadata"]["name"]
        raise Refused(f"exceeded quota: {name}, requested: {asked}, used: {have}, limited: {limit}")
    return Charge(quota, amounts.spelled(total))


def _check_covered(
    evaluator: Evaluator,
    obj: Mapping[str, Any],
    usage: Amounts,
    limited: Sequence[LimitedResource],
    covered: set[str],
    covered_scopes: Sequence[Mapping[str, Any]],
) -> None:
    names: set[str] = set()
    uncovered: list[Mapping[str, Any]] = []
    for each in limited:
        if (each.group, each.plural) == (evaluator.group, evaluator.plural):
            names |= {name for name, amount in usage.items() if amount and any(part in name for part in each.contains)}
        uncovered += [
            selector
            for selector in each.scopes
            if evaluator.in_scope(selector, obj)
            and not any(found.get("scopeName") == selector.get("scopeName") for found in covered_scopes)
        ]
    if missing := sorted(names - covered):
        raise Refused(f"insufficient quota to consume: {','.join(missing)}")
    if uncovered:
        shown = " ".join(
            f"{{{each.get('scopeName')} {each.get('operator', '')} [{' '.join(each.get('values') or ())}]}}"
            for each in uncovered
        )
        raise NotCovered(f"insufficient quota to match these scopes: [{shown}]")
