"""A pod against a level of a version."""

from __future__ import annotations

from functools import lru_cache

from controlplane.apiserver.admission.pod_security import baseline, restricted
from controlplane.apiserver.admission.pod_security.checks import Check, CheckPod, Object, Refusal
from controlplane.apiserver.admission.pod_security.policy import BASELINE, PRIVILEGED, LevelVersion


def evaluate(policy: LevelVersion, meta: Object, spec: Object) -> list[Refusal]:
    """Every check that forbids the pod; the baseline's first."""
    return [refusal for check in _checks(policy) if (refusal := check(meta, spec)) is not None]


def reasons(refusals: list[Refusal]) -> str:
    """In short, without names: many pods share it."""
    return ", ".join(refusal.reason for refusal in refusals)


def details(refusals: list[Refusal]) -> str:
    """With what is wrong in which container."""
    return ", ".join(f"{refusal.reason} ({refusal.detail})" for refusal in refusals)


@lru_cache(maxsize=256)
def _checks(policy: LevelVersion) -> tuple[CheckPod, ...]:
    if policy.level == PRIVILEGED:
        return ()
    if policy.level == BASELINE:
        return tuple(check for each in baseline.CHECKS if (check := _as_of(each, policy.minor)) is not None)
    added = [(each, check) for each in restricted.CHECKS if (check := _as_of(each, policy.minor)) is not None]
    overridden = {each.overrides for each, _ in added}
    kept = [each for each in baseline.CHECKS if each.name not in overridden]
    first = [check for each in kept if (check := _as_of(each, policy.minor)) is not None]
    return (*first, *(check for _, check in added))


def _as_of(check: Check, minor: int) -> CheckPod | None:
    found = None
    for since, function in check.versions:
        if since <= minor:
            found = function
    return found
