"""What a Job's policies say of failed pods and of succeeded indexes. Pure (KEP-3329, KEP-3998)."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

from apimachinery.meta import objects
from controlplane.controllers.job_indexes import parse_indexes

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one failed pod. action: of the rule that matched, or "". counts: towards the backoff limit."""

    action: str = ""
    counts: bool = True
    message: str = ""


def match_failure(job: Object, pod: Object) -> Verdict:
    """Return what the first matching rule of podFailurePolicy says. A rule whose action is unknown is passed over."""
    for position, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        what = _match_rule(rule, pod)
        if not what:
            continue
        match rule.get("action"):
            case "Ignore":
                return Verdict("Ignore", counts=False)
            case "Count":
                return Verdict("Count")
            case "FailIndex" if job["spec"].get("backoffLimitPerIndex") is not None:
                return Verdict("FailIndex")
            case "FailJob":
                return Verdict("FailJob", message=f"{what} matching FailJob rule at index {position}")
    return Verdict()


def _match_rule(rule: Object, pod: Object) -> str:
    """Return what of the pod matches, in upstream's words, or an empty string."""
    status, key = pod.get("status") or {}, objects.key(pod)
    codes = rule.get("onExitCodes")
    if codes is not None:
        for kind in ("containerStatuses", "initContainerStatuses"):
            for container in status.get(kind) or ():
                code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
                if code is not None and _matches_code(codes, container["name"], int(code)):
                    return f"Container {container['name']} for pod {key} failed with exit code {code}"
        return ""
    patterns = {(each.get("type"), each.get("status", "True")) for each in rule.get("onPodConditions") or ()}
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) in patterns:
            return f"Pod {key} has condition {condition['type']}"
    return ""


def _matches_code(codes: Object, container: str, code: int) -> bool:
    if code == 0 or codes.get("containerName") not in (None, container):
        return False
    listed = code in (codes.get("values") or ())
    return listed if codes.get("operator") == "In" else not listed and codes.get("operator") == "NotIn"


def fail_job_message(job: Object, failed: Iterable[Object]) -> str:
    """Return the message of the first failed pod that fails the whole Job, or an empty string."""
    if not job["spec"].get("podFailurePolicy"):
        return ""
    return next((message for pod in failed if (message := match_failure(job, pod).message)), "")


def match_success(job: Object, succeeded: Set[int]) -> str:
    """Return the message of the first rule of successPolicy that is fulfilled, or an empty string."""
    if not succeeded:
        return ""
    for position, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted, least = rule.get("succeededIndexes"), rule.get("succeededCount")
        if wanted is not None:
            named = parse_indexes(wanted, int(job["spec"].get("completions") or 0))
            reached = len(named & succeeded)
            fulfilled = bool(named) and (reached == len(named) or (least is not None and reached >= int(least)))
        else:
            fulfilled = least is not None and len(succeeded) >= int(least)
        if fulfilled:
            return f"Matched rules at index {position}"
    return ""
