"""What a StatefulSet does next: which ordinal to create, replace or delete. Pure (pkg/controller/statefulset).

Ordered by default: one step at a time, a pod is started when those before it are available, stopped when those after it
are gone. Parallel management takes all steps at once, but updates one by one as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import STATEFULSETS
from apimachinery.meta import objects, pods
from controlplane.controllers.pod_control import render_pod
from controlplane.controllers.revisions import HASH_LABEL

Object = dict[str, Any]

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"^(.*)-(\d+)$")


@dataclass(frozen=True, slots=True)
class StatefulPlan:
    """create: (ordinal, revision name) of each pod. delete: pods to remove (a replaced one is made again later)."""

    create: tuple[tuple[int, str], ...] = ()
    delete: tuple[Object, ...] = ()


def ordinal(stateful_set: Object, pod: Object) -> int:
    """Return the pod's ordinal in the set, or -1 when its name is not of the set."""
    match = _NAME.match(objects.name(pod))
    return int(match[2]) if match and match[1] == objects.name(stateful_set) else -1


def first_ordinal(stateful_set: Object) -> int:
    """spec.ordinals.start (KEP-3335)."""
    return int((stateful_set["spec"].get("ordinals") or {}).get("start") or 0)


def wanted_ordinals(stateful_set: Object) -> range:
    """Return the ordinals that should exist."""
    start = first_ordinal(stateful_set)
    return range(start, start + int(stateful_set["spec"].get("replicas", 1)))


def is_parallel(stateful_set: Object) -> bool:
    """True for podManagementPolicy Parallel."""
    return bool(stateful_set["spec"].get("podManagementPolicy") == "Parallel")


def revision_of(pod: Object) -> str:
    """Return the name of the revision the pod was made of."""
    return str(objects.labels(pod).get(HASH_LABEL) or "")


def revision_for(stateful_set: Object, number: int, current: str, update: str) -> str:
    """Return the revision of which to make an ordinal: below the partition, the current one."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return update
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if number < first_ordinal(stateful_set) + partition:
        return current
    return update


def plan_step(stateful_set: Object, owned: Sequence[Object], current: str, update: str, now: datetime) -> StatefulPlan:
    """Return the next step towards replicas and the update revision.

    current, update: names of the revision before the update under way, and of the present template.
    """
    by_ordinal = {ordinal(stateful_set, pod): pod for pod in owned if ordinal(stateful_set, pod) >= 0}
    wanted, parallel = wanted_ordinals(stateful_set), is_parallel(stateful_set)
    min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)

    def healthy(pod: Object) -> bool:
        return not objects.is_deleting(pod) and pods.available_in(pod, min_ready, now) == 0

    create: list[tuple[int, str]] = []
    delete: list[Object] = []
    for number in wanted:
        pod = by_ordinal.get(number)
        if pod is not None and pods.is_terminal(pod) and not objects.is_deleting(pod):
            delete.append(pod)
        elif pod is None:
            create.append((number, revision_for(stateful_set, number, current, update)))
        if not parallel and (pod is None or not healthy(pod)):
            # Nothing further before this one is available.
            return StatefulPlan(tuple(create), tuple(delete))
    surplus = sorted((n for n in by_ordinal if n not in wanted), reverse=True)
    broken = [n for n in surplus if objects.is_deleting(by_ordinal[n]) or not pods.is_ready(by_ordinal[n])]
    for number in surplus:
        pod = by_ordinal[number]
        # Of those that are not ready only the lowest may go: the others wait for it to recover. One that is ready may
        # go when it has been so for minReadySeconds.
        waits = not parallel and not healthy(pod) and broken[-1:] != [number]
        if not objects.is_deleting(pod) and not waits:
            delete.append(pod)
        if not parallel:
            return StatefulPlan(tuple(create), tuple(delete))
    if create or delete:
        return StatefulPlan(tuple(create), tuple(delete))
    return _plan_update(stateful_set, by_ordinal, current, update, healthy)


def _plan_update(
    stateful_set: Object, by_ordinal: Mapping[int, Object], current: str, update: str, healthy: Any
) -> StatefulPlan:
    """Replace, from the highest ordinal down, one pod that is not of its revision; wait while one is not available."""
    if (stateful_set["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
        return StatefulPlan()
    for number in reversed(wanted_ordinals(stateful_set)):
        pod = by_ordinal[number]
        outdated = revision_for(stateful_set, number, current, update) == update and revision_of(pod) != update
        if outdated:
            return StatefulPlan() if objects.is_deleting(pod) else StatefulPlan(delete=(pod,))
        if not healthy(pod):
            return StatefulPlan()
    return StatefulPlan()


def claim_name(template: Object, stateful_set: Object, number: int) -> str:
    """Return the name of an ordinal's volume claim."""
    return f"{objects.name(template)}-{objects.name(stateful_set)}-{number}"


def identity(stateful_set: Object, number: int) -> dict[str, str]:
    """Return the labels that tell which pod of the set it is."""
    return {POD_NAME: f"{objects.name(stateful_set)}-{number}", POD_INDEX: str(number)}


def render_stateful_pod(stateful_set: Object, template: Object, number: int, revision: str) -> Object:
    """Return the pod of one ordinal: its stable name, host name and volumes."""
    name = f"{objects.name(stateful_set)}-{number}"
    pod = render_pod(template, stateful_set, STATEFULSETS)
    metadata, spec = pod["metadata"], pod["spec"]
    del metadata["generateName"]
    metadata["name"] = name
    metadata["labels"].update({**identity(stateful_set, number), HASH_LABEL: revision})
    spec["hostname"] = name
    spec["subdomain"] = stateful_set["spec"].get("serviceName") or ""
    claims = stateful_set["spec"].get("volumeClaimTemplates") or ()
    if claims:
        own = {objects.name(claim) for claim in claims}
        spec["volumes"] = [
            *(volume for volume in spec.get("volumes") or () if volume["name"] not in own),
            *(
                {
                    "name": objects.name(claim),
                    "persistentVolumeClaim": {"claimName": claim_name(claim, stateful_set, number)},
                }
                for claim in claims
            ),
        ]
    return pod


def render_claims(stateful_set: Object, number: int) -> list[Object]:
    """Return the volume claims of one ordinal. They outlive the pod, and the set, unless the retention policy says."""
    rendered = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        labels = {
            **objects.labels(template),
            **((stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}),
        }
        metadata: Object = {
            "name": claim_name(template, stateful_set, number),
            "namespace": objects.namespace(stateful_set),
            "labels": labels,
        }
        if objects.annotations(template):
            metadata["annotations"] = dict(objects.annotations(template))
        rendered.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": metadata,
                "spec": deepcopy(template.get("spec") or {}),
            }
        )
    return rendered


def compute_status(stateful_set: Object, owned: Sequence[Object], current: str, update: str, now: datetime) -> Object:
    """Count the pods; the update revision becomes the current one when every pod has it and is available.

    With strategy OnDelete it never does, as upstream.
    """
    min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)
    mine = [pod for pod in owned if ordinal(stateful_set, pod) >= 0]
    staying = [pod for pod in mine if not objects.is_deleting(pod)]
    wanted = int(stateful_set["spec"].get("replicas", 1))
    status: Object = {
        "observedGeneration": stateful_set["metadata"].get("generation", 0),
        "replicas": len(mine),
        "readyReplicas": sum(1 for pod in mine if pods.is_ready(pod)),
        "availableReplicas": sum(1 for pod in mine if pods.available_in(pod, min_ready, now) == 0),
        "currentReplicas": sum(1 for pod in staying if revision_of(pod) == current),
        "updatedReplicas": sum(1 for pod in staying if revision_of(pod) == update),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": int((stateful_set.get("status") or {}).get("collisionCount") or 0),
    }
    rolling = (stateful_set["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    if rolling and status["updatedReplicas"] == wanted == status["readyReplicas"] == status["replicas"]:
        status["currentRevision"], status["currentReplicas"] = update, status["updatedReplicas"]
    kept = (
        "observedGeneration",
        "replicas",
        "availableReplicas",
        "currentRevision",
        "updateRevision",
        "collisionCount",
    )
    return {key: value for key, value in status.items() if value or key in kept}
