"""Defaults of Jobs and CronJobs (pkg/apis/batch/v1/defaults.go)."""

from apimachinery.api.defaults.fill import Object, items, part, when_absent, when_empty
from apimachinery.api.defaults.pods import template

_MAX_INT32 = 2**31 - 1


def job(obj: Object) -> None:
    """A Job: one completion, six retries."""
    spec = part(obj, "spec")
    template(spec)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    unlimited = spec.get("backoffLimitPerIndex") is not None
    replacement = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    when_absent(
        spec,
        parallelism=1,
        backoffLimit=_MAX_INT32 if unlimited else 6,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy=replacement,
        manualSelector=False,
    )
    _failure_policy(spec)
    metadata = part(obj, "metadata")
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def cron_job(obj: Object) -> None:
    """A CronJob: concurrent runs allowed, three good and one failed run kept."""
    spec = part(obj, "spec")
    job_spec = part(part(spec, "jobTemplate"), "spec")
    template(job_spec)
    _failure_policy(job_spec)
    when_empty(spec, concurrencyPolicy="Allow")
    when_absent(spec, suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)


def _failure_policy(spec: Object) -> None:
    """Of a Job's spec: a pod's condition is looked for with the status True. The only default of a Job that a CronJob's
    template gets too."""
    for rule in items(spec.get("podFailurePolicy") or {}, "rules"):
        for pattern in items(rule, "onPodConditions"):
            when_empty(pattern, status="True")
