"""Workloads: Deployments, ReplicaSets, DaemonSets, StatefulSets, Jobs, CronJobs."""

from __future__ import annotations

from datetime import datetime

from apimachinery.meta import labels, pods, times
from controlplane.apiserver.tables.columns import (
    NONE,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    columns,
    format_labels,
    images,
    name,
    since,
    spec,
    state,
)


def _template(obj: Object) -> tuple[str, str]:
    return images((spec(obj).get("template") or {}).get("spec") or {})


def _selector(obj: Object) -> str:
    return labels.format_label_selector(spec(obj).get("selector"))


def print_deployment(obj: Object, now: datetime) -> list[Cell]:
    status, desired = state(obj), spec(obj).get("replicas") or 0
    return [
        name(obj),
        f"{status.get('readyReplicas') or 0}/{desired}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age(obj, now),
        *_template(obj),
        _selector(obj),
    ]


def print_replica_set(obj: Object, now: datetime) -> list[Cell]:
    status = state(obj)
    selector = _selector(obj) if obj["kind"] == "ReplicaSet" else format_labels(spec(obj).get("selector"))
    return [
        name(obj),
        spec(obj).get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now),
        *_template(obj),
        selector,
    ]


def print_daemon_set(obj: Object, now: datetime) -> list[Cell]:
    status = state(obj)
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    wanted = ((spec(obj).get("template") or {}).get("spec") or {}).get("nodeSelector")
    return [
        name(obj),
        *(status.get(field) or 0 for field in counts),
        format_labels(wanted),
        age(obj, now),
        *_template(obj),
        _selector(obj),
    ]


def print_stateful_set(obj: Object, now: datetime) -> list[Cell]:
    ready, desired = state(obj).get("readyReplicas") or 0, spec(obj).get("replicas") or 0
    return [name(obj), f"{ready}/{desired}", age(obj, now), *_template(obj)]


def print_job(obj: Object, now: datetime) -> list[Cell]:
    status, wanted, parallel = state(obj), spec(obj).get("completions"), spec(obj).get("parallelism") or 0
    succeeded = status.get("succeeded") or 0
    if wanted is not None:
        completions = f"{succeeded}/{wanted}"
    else:
        completions = f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = times.parse(status["completionTime"]) if status.get("completionTime") else now
        duration = times.human_duration((end - times.parse(status["startTime"])).total_seconds())
    return [name(obj), _job_status(obj), completions, duration, age(obj, now), *_template(obj), _selector(obj)]


def _job_status(obj: Object) -> str:
    def holds(kind: str) -> bool:
        return (pods.condition(obj, kind) or {}).get("status") == "True"

    if holds("Complete"):
        return "Complete"
    if holds("Failed"):
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if holds("Suspended"):
        return "Suspended"
    return "FailureTarget" if holds("FailureTarget") else "Running"


def print_cron_job(obj: Object, now: datetime) -> list[Cell]:
    job, status = spec(obj), state(obj)
    template = ((job.get("jobTemplate") or {}).get("spec") or {}).get("template") or {}
    last = status.get("lastScheduleTime")
    return [
        name(obj),
        job.get("schedule") or "",
        job.get("timeZone") or NONE,
        UNSET if job.get("suspend") is None else str(job["suspend"]),
        len(status.get("active") or []),
        since(last, now) if last else NONE,
        age(obj, now),
        *images(template.get("spec") or {}),
        labels.format_label_selector((job.get("jobTemplate") or {}).get("spec", {}).get("selector")),
    ]


def print_controller_revision(obj: Object, now: datetime) -> list[Cell]:
    owners = [each for each in obj["metadata"].get("ownerReferences") or [] if each.get("controller")]
    owner = NONE
    if owners:
        kind, group = owners[0]["kind"].lower(), owners[0]["apiVersion"].rpartition("/")[0]
        owner = f"{kind}.{group}/{owners[0]['name']}" if group else f"{kind}/{owners[0]['name']}"
    return [name(obj), owner, obj.get("revision") or 0, age(obj, now)]


def print_disruption_budget(obj: Object, now: datetime) -> list[Cell]:
    budget = spec(obj)
    least, most = budget.get("minAvailable"), budget.get("maxUnavailable")
    return [
        name(obj),
        "N/A" if least is None else str(least),
        "N/A" if most is None else str(most),
        state(obj).get("disruptionsAllowed") or 0,
        age(obj, now),
    ]


PRINTERS = {
    ("apps", "Deployment"): Printer(
        columns("Name, Ready, Up-to-date, Available, Age, Containers*, Images*, Selector*"), print_deployment
    ),
    ("apps", "ReplicaSet"): Printer(
        columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers*, Images*, Selector*"),
        print_replica_set,
    ),
    ("", "ReplicationController"): Printer(
        columns("Name, Desired:integer, Current:integer, Ready:integer, Age, Containers*, Images*, Selector*"),
        print_replica_set,
    ),
    ("apps", "DaemonSet"): Printer(
        columns(
            "Name, Desired:integer, Current:integer, Ready:integer, Up-to-date:integer, Available:integer, "
            "Node Selector, Age, Containers*, Images*, Selector*"
        ),
        print_daemon_set,
    ),
    ("apps", "StatefulSet"): Printer(columns("Name, Ready, Age, Containers*, Images*"), print_stateful_set),
    ("apps", "ControllerRevision"): Printer(columns("Name, Controller, Revision, Age"), print_controller_revision),
    ("batch", "Job"): Printer(
        columns("Name, Status, Completions, Duration, Age, Containers*, Images*, Selector*"), print_job
    ),
    ("batch", "CronJob"): Printer(
        columns(
            "Name, Schedule, Timezone, Suspend:boolean, Active:integer, Last Schedule, Age, Containers*, Images*, "
            "Selector*"
        ),
        print_cron_job,
    ),
    ("policy", "PodDisruptionBudget"): Printer(
        columns("Name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age"), print_disruption_budget
    ),
}
