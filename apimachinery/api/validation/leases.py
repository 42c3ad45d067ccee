"""Leases (pkg/apis/coordination/validation)."""

from apimachinery.api.validation.checks import Object, qualified_name
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported

_STRATEGIES = ("OldestEmulationVersion",)


def lease(obj: Object) -> list[Problem]:
    """Duration and count of transitions."""
    spec, path = obj.get("spec") or {}, Path("spec")
    problems: list[Problem] = []
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        problems.append(invalid(path.child("leaseDurationSeconds"), seconds, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        text = "must be greater than or equal to 0"
        problems.append(invalid(path.child("leaseTransitions"), transitions, text))
    if spec.get("strategy") is not None:
        problems += _strategy(spec["strategy"], path.child("strategy"))
    if spec.get("preferredHolder") and not spec.get("strategy"):
        problems.append(forbidden(path.child("preferredHolder"), "may only be specified if `strategy` is defined"))
    return problems


def _strategy(strategy: str, path: Path) -> list[Problem]:
    # Upstream names the field twice.
    path = path.child("strategy")
    if "/" in strategy:
        return qualified_name(strategy, path)
    return [] if strategy in _STRATEGIES else [not_supported(path, strategy, _STRATEGIES)]
