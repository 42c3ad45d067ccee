"""The pod that a Job starts. Pure (pkg/controller/job/indexed_job_utils.go)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from apimachinery.api.catalogue import JOBS
from apimachinery.meta import objects
from controlplane.controllers.job_indexes import FAILURES, IGNORED_FAILURES, INDEX, failures_of, is_limited_per_index
from controlplane.controllers.job_plan import TRACKING, is_tracked
from controlplane.controllers.job_policies import match_failure
from controlplane.controllers.pod_control import render_pod

Object = dict[str, Any]

_MAX_GENERATED = 58  # bytes that a name may have before the server's five random ones


def render_job_pod(job: Object, index: int | None, failed: Object | None = None) -> Object:
    """Return the pod to create, for one completion index in an indexed Job. failed: the pod of it that is replaced."""
    pod = render_pod(job["spec"]["template"], job, JOBS)
    metadata = pod["metadata"]
    for prefix in ("batch.kubernetes.io/", ""):
        metadata["labels"].setdefault(f"{prefix}controller-uid", objects.uid(job))
        metadata["labels"].setdefault(f"{prefix}job-name", objects.name(job))
    if not is_tracked(pod):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    if index is None:
        return pod
    metadata["annotations"][INDEX] = str(index)
    metadata["labels"][INDEX] = str(index)
    suffix = f"-{index}-"
    metadata["generateName"] = objects.name(job)[: _MAX_GENERATED - len(suffix)] + suffix
    if is_limited_per_index(job):
        counted, ignored = _failures_before(job, failed)
        metadata["annotations"][FAILURES] = str(counted)
        if ignored:
            metadata["annotations"][IGNORED_FAILURES] = str(ignored)
    spec = pod["spec"]
    spec["hostname"] = f"{objects.name(job)}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            env = deepcopy(container.get("env") or [])
            if not any(each.get("name") == "JOB_COMPLETION_INDEX" for each in env):
                container["env"] = [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]
    return pod


def _failures_before(job: Object, failed: Object | None) -> tuple[int, int]:
    if failed is None:
        return 0, 0
    counted, ignored = failures_of(failed)
    counts = match_failure(job, failed).counts
    return counted + counts, ignored + (not counts)
