"""The status of a Job: what a controller, ours or the one of `managedBy`, may say of it (KEP-4368).

Each rule is about fields that the update changes, so that a status that was wrong before does not block the next one.
"""

from __future__ import annotations

from apimachinery.api.validation.checks import Object, nonnegative, same
from apimachinery.api.validation.job_policies import indexes_named, without_value
from apimachinery.meta.paths import Path, Problem, duplicate, invalid, required

_PATH = Path("status")
_CONDITIONS = _PATH.child("conditions")
_TERMINAL = ("Failed", "Complete", "FailureTarget")


def job_status(new: Object, old: Object) -> list[Problem]:
    """Counts, conditions and indexes in themselves and against what was there."""
    status, before = new.get("status") or {}, old.get("status") or {}
    spec = new.get("spec") or {}
    problems = _counts(status)
    problems += _conditions(status, before, spec)
    problems += _finished(status, before)
    problems += _indexes(status, before, spec)
    ready = status.get("ready")
    if ready is not None and ready > (status.get("active") or 0) and _changed(status, before, "ready", "active"):
        problems.append(invalid(_PATH.child("ready"), ready, "cannot set more ready pods than active"))
    return problems + _transition(status, before, spec)


def _counts(status: Object) -> list[Problem]:
    problems: list[Problem] = []
    for name in ("active", "succeeded", "failed", "ready", "terminating"):
        problems += nonnegative(status.get(name), _PATH.child(name))
    seen: set[str] = set()
    for kind in ("succeeded", "failed"):
        for position, uid in enumerate((status.get("uncountedTerminatedPods") or {}).get(kind) or ()):
            where = _PATH.child("uncountedTerminatedPods", kind).index(position)
            if not uid:
                problems.append(invalid(where, uid, "must not be empty"))
            elif uid in seen:
                problems.append(duplicate(where, uid))
            seen.add(uid)
    return problems


def _conditions(status: Object, before: Object, spec: Object) -> list[Problem]:
    """Conditions that exclude or need each other, and the time of completion that goes with one."""
    found, had = _true(status), _true(before)
    complete, changed = "Complete" in found, found ^ had
    problems: list[Problem] = []
    for other in ("Failed", "FailureTarget"):
        if complete and other in found and changed & {"Complete", other}:
            # "Failed=true" and "FailureTarget=true": upstream's spelling.
            problems.append(without_value(_CONDITIONS, f"cannot set Complete=True and {other}=true conditions"))
    ended, begun = status.get("completionTime"), status.get("startTime")
    where = _PATH.child("completionTime")
    if "Complete" in changed or _changed(status, before, "completionTime"):
        if ended and not complete:
            text = "cannot set completionTime when there is no Complete=True condition"
            problems.append(invalid(where, ended, text))
        if complete and not ended:
            problems.append(required(where, "completionTime is required for Complete jobs"))
    if ended and begun and ended < begun and _changed(status, before, "completionTime", "startTime"):
        problems.append(invalid(where, ended, "completionTime cannot be set before startTime"))
    # Upstream asks for these only where what they are about changes, as for all above.
    if "Failed" in found and "FailureTarget" not in found and "Failed" in changed:
        text = "cannot set Failed=True condition without the FailureTarget=true condition"
        problems.append(without_value(_CONDITIONS, text))
    if complete and "SuccessCriteriaMet" not in found and "Complete" in changed:
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        problems.append(without_value(_CONDITIONS, text))
    if "SuccessCriteriaMet" in found:
        for other in ("Failed", "FailureTarget"):
            if other in found:
                text = f"cannot set SuccessCriteriaMet=True and {other}=true conditions"
                problems.append(without_value(_CONDITIONS, text))
    elif complete and spec.get("successPolicy") is not None:
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        problems.append(without_value(_CONDITIONS, text))
    return problems


def _finished(status: Object, before: Object) -> list[Problem]:
    """A finished Job has no pods left, and began once."""
    finished = bool(_true(status) & {"Complete", "Failed"})
    if not finished:
        return []
    became = not _true(before) & {"Complete", "Failed"}
    problems: list[Problem] = []
    for name in ("active", "terminating"):
        if (status.get(name) or 0) > 0 and (became or _changed(status, before, name)):
            problems.append(invalid(_PATH.child(name), status[name], f"{name}>0 is invalid for finished job"))
    if not status.get("startTime") and (became or _changed(status, before, "startTime")):
        problems.append(required(_PATH.child("startTime"), "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if any(uncounted.values()) and (became or _changed(status, before, "uncountedTerminatedPods")):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        problems.append(invalid(_PATH.child("uncountedTerminatedPods"), uncounted, text))
    return problems


def _indexes(status: Object, before: Object, spec: Object) -> list[Problem]:
    """Indexes that completed and that failed: well-formed, possible for this Job, and not both."""
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions, per_index = spec.get("completions"), spec.get("backoffLimitPerIndex") is not None
    where, place = _PATH.child("completedIndexes"), _PATH.child("failedIndexes")
    problems: list[Problem] = []
    done: list[tuple[int, int]] = []
    lost: list[tuple[int, int]] = []
    if completions is not None:
        done, wrong = indexes_named(completed, completions)
        if wrong and _changed(status, before, "completedIndexes"):
            problems.append(invalid(where, completed, f"error parsing completedIndexes: {wrong}"))
        if failed is not None and per_index:
            lost, wrong = indexes_named(failed, completions)
            if wrong and _changed(status, before, "failedIndexes"):
                problems.append(invalid(place, failed, f"error parsing failedIndexes: {wrong}"))
    if completed and spec.get("completionMode") != "Indexed" and _changed(status, before, "completedIndexes"):
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        problems.append(invalid(where, completed, text))
    if failed is not None and not per_index and _changed(status, before, "failedIndexes"):
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        problems.append(invalid(place, failed, text))
    if _changed(status, before, "completedIndexes", "failedIndexes"):
        common = [max(a, x) for a, b in done for x, y in lost if a <= y and x <= b]
        if common:
            text = f"failedIndexes and completedIndexes overlap at index: {min(common)}"
            problems.append(invalid(place, failed, text))
    return problems


def _transition(status: Object, before: Object, spec: Object) -> list[Problem]:
    """What never goes back."""
    found, had = _true(status), _true(before)
    problems = [
        without_value(_CONDITIONS, f"cannot disable the terminal {kind}=True condition")
        for kind in _TERMINAL
        if kind in had - found
    ]
    scaled = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed", *(() if scaled else ("succeeded",))):
        if (status.get(name) or 0) < (before.get(name) or 0):
            problems.append(invalid(_PATH.child(name), status.get(name) or 0, f"cannot decrease the {name} counter"))
    ended, earlier = status.get("completionTime"), before.get("completionTime")
    if ended and earlier and ended != earlier:
        problems.append(invalid(_PATH.child("completionTime"), ended, "completionTime cannot be mutated"))
    if before.get("startTime") and _changed(status, before, "startTime") and not spec.get("suspend"):
        text = "startTime cannot be removed for unsuspended job"
        problems.append(required(_PATH.child("startTime"), text))
    if "SuccessCriteriaMet" in had - found:
        problems.append(without_value(_CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition"))
    if "Complete" in had and "SuccessCriteriaMet" in found - had:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        problems.append(without_value(_CONDITIONS, text))
    return problems


def _true(status: Object) -> set[str]:
    """The types of the conditions that are true."""
    return {each.get("type", "") for each in status.get("conditions") or () if each.get("status") == "True"}


def _changed(status: Object, before: Object, *names: str) -> bool:
    return any(not same(status.get(name), before.get(name)) for name in names)
