"""What must hold of a namespace that has come to rest, whatever was done to it. Pure: each looks at one picture.

`inconsistencies`: what a status says is what there is, nothing belongs to nobody, nothing is left half done.
`unfinished`: what users asked for is there, given room for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from apimachinery.api.catalogue import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    REPLICASETS,
    RESOURCEQUOTAS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from apimachinery.client.rest import Client
from apimachinery.controller.owners import is_controlled_by
from apimachinery.meta import objects, pods

Object = dict[str, Any]

KINDS: tuple[Resource, ...] = (
    DEPLOYMENTS, REPLICASETS, STATEFULSETS, DAEMONSETS, JOBS, CRONJOBS, HORIZONTALPODAUTOSCALERS, SERVICES,
    ENDPOINTSLICES, ENDPOINTS, PODDISRUPTIONBUDGETS, RESOURCEQUOTAS, PERSISTENTVOLUMECLAIMS, PODS,
)  # fmt: skip
REVISION = "deployment.kubernetes.io/revision"


@dataclass(slots=True)
class World:
    """One picture. nodes: those on which daemons should run."""

    nodes: list[str]
    volumes: list[Object]
    found: dict[str, list[Object]] = field(default_factory=dict)

    def all(self, resource: Resource) -> list[Object]:
        return self.found[resource.plural]

    def of(self, owner: Object, resource: Resource = PODS) -> list[Object]:
        """What `owner` controls."""
        return [each for each in self.all(resource) if is_controlled_by(each, owner)]

    def active(self, owner: Object) -> list[Object]:
        """The pods of an owner that count; those of a Deployment are its sets'."""
        if owner["kind"] == "Deployment":
            return [pod for replica_set in self.of(owner, REPLICASETS) for pod in self.active(replica_set)]
        return [pod for pod in self.of(owner) if pods.is_active(pod)]


async def look(client: Client, namespace: str) -> World:
    """The picture of now; its lists are of different moments, so it holds of a namespace at rest."""
    nodes = [objects.name(each) for each in (await client.list(NODES))["items"] if not _tainted(each)]
    volumes = (await client.list(PERSISTENTVOLUMES))["items"]
    world = World(nodes, [each for each in volumes if objects.name(each).startswith(namespace)])
    for resource in KINDS:
        items = (await client.list(resource, namespace))["items"]
        world.found[resource.plural] = [{**each, "kind": resource.kind} for each in items]
    return world


def _tainted(node: Object) -> bool:
    """Whether daemons stay away: of the taints of nodes that are not well, they tolerate only NoExecute ones."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return any(t["effect"] == "NoSchedule" and not t["key"].endswith("/unschedulable") for t in taints)


def inconsistencies(world: World) -> list[str]:
    """What of the picture cannot stay so; empty for one that may."""
    return [f"{named(each)}: {what}" for check in _CHECKS for each, what in check(world)]


def unfinished(world: World) -> list[str]:
    """What users asked for and is not there."""
    return [f"{named(each)}: {what}" for check in _WISHES for each, what in check(world)]


def named(obj: Object) -> str:
    return f"{obj['kind']} {objects.name(obj)}"


Findings = Iterator[tuple[Object, str]]


def _numbers(obj: Object, **wanted: int) -> Findings:
    """Fields of the status that are not what they should be; absent is 0."""
    status = obj.get("status") or {}
    for name, number in wanted.items():
        if (status.get(name) or 0) != number:
            yield obj, f"status.{name} is {status.get(name)}, there are {number}"


def _ready(found: list[Object]) -> int:
    return sum(pods.is_ready(pod) for pod in found)


def _image(obj: Object) -> str:
    image: str = (obj["spec"].get("template") or obj)["spec"]["containers"][0]["image"]
    return image


def _everything(world: World) -> Findings:
    uids = {objects.uid(each) for resource in KINDS for each in world.all(resource)}
    for resource in KINDS:
        for each in world.all(resource):
            if objects.is_deleting(each):
                yield each, f"still going, held by {each['metadata'].get('finalizers')}"
            for reference in each["metadata"].get("ownerReferences") or ():
                if reference["uid"] not in uids:
                    yield each, f"belongs to {reference['kind']} {reference['name']}, which is gone"
            observed = (each.get("status") or {}).get("observedGeneration")
            if observed is not None and observed != each["metadata"].get("generation"):
                yield each, f"generation {each['metadata'].get('generation')}, observed {observed}"


def _replica_sets(world: World) -> Findings:
    for each in world.all(REPLICASETS):
        active = world.active(each)
        yield from _numbers(each, replicas=len(active), readyReplicas=_ready(active), availableReplicas=_ready(active))
        if len(active) != each["spec"]["replicas"] and not world.all(RESOURCEQUOTAS):
            yield each, f"{each['spec']['replicas']} pods wanted, there are {len(active)}"


def _deployments(world: World) -> Findings:
    for each in world.all(DEPLOYMENTS):
        sets, active = world.of(each, REPLICASETS), world.active(each)
        new = [pod for pod in active if _image(pod) == _image(each)]
        ready = _ready(active)
        yield from _numbers(each, replicas=len(active), readyReplicas=ready, availableReplicas=ready)
        planned = sum(one["spec"]["replicas"] for one in sets)
        yield from _numbers(each, updatedReplicas=len(new), unavailableReplicas=max(0, planned - ready))
        surge = each["spec"]["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
        if len(active) > each["spec"]["replicas"] + surge:
            yield each, f"{len(active)} pods"
        current = [one for one in sets if _image(one) == _image(each)]
        revisions = {int(objects.annotations(one).get(REVISION, 0)): one for one in sets}
        if len(revisions) != len(sets) or len({_image(one) for one in sets}) != len(sets):
            yield each, "two ReplicaSets of one revision or template"
        if not current and not each["spec"].get("paused"):
            yield each, "no ReplicaSet of the template"
        if current and not each["spec"].get("paused"):
            if revisions[max(revisions)] is not current[0]:
                yield each, "another ReplicaSet than that of the template is the newest"
            if (told := objects.annotations(each).get(REVISION)) != str(max(revisions)):
                yield each, f"revision {told}, newest {max(revisions)}"


def _stateful_sets(world: World) -> Findings:
    for each in world.all(STATEFULSETS):
        active, replicas = world.active(each), each["spec"]["replicas"]
        yield from _numbers(each, replicas=len(active), readyReplicas=_ready(active))
        names = {f"{objects.name(each)}-{ordinal}" for ordinal in range(replicas)}
        if strangers := {objects.name(pod) for pod in active} - names:
            yield each, f"pods of other ordinals: {sorted(strangers)}"


def _daemon_sets(world: World) -> Findings:
    for each in world.all(DAEMONSETS):
        active = world.active(each)
        by_node: dict[str, list[Object]] = {}
        for pod in active:
            by_node.setdefault(_wanted_node(pod), []).append(pod)
        surge = each["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"]
        for node, found in by_node.items():
            if len(found) > 1 + surge or len({_image(pod) for pod in found}) < len(found):
                yield each, f"{len(found)} pods on {node}"
        here = [node for node in by_node if node in world.nodes]
        yield from _numbers(each, desiredNumberScheduled=len(world.nodes), currentNumberScheduled=len(here))
        yield from _numbers(each, numberMisscheduled=len(by_node) - len(here))
        if not world.all(RESOURCEQUOTAS) and len(here) < len(world.nodes):
            yield each, f"no pods on {set(world.nodes) - set(here)}"
        if len(by_node) == len(active):
            yield from _numbers(each, numberReady=_ready([by_node[node][0] for node in here]))


def _wanted_node(pod: Object) -> str:
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    node: str = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
    return node


def _jobs(world: World) -> Findings:
    for each in world.all(JOBS):
        owned = world.of(each)
        active, spec = [pod for pod in owned if pods.is_active(pod)], each["spec"]
        ended = any(_is(each, kind) for kind in ("Complete", "Failed"))
        yield from _numbers(each, active=len(active), ready=_ready(active))
        if len(active) > spec["parallelism"] or ((ended or spec.get("suspend")) and active):
            yield each, f"{len(active)} pods run"
        if not ended and any(pods.is_terminal(pod) and pod["metadata"].get("finalizers") for pod in owned):
            yield each, "pods ended and are not counted"


def _cron_jobs(world: World) -> Findings:
    for each in world.all(CRONJOBS):
        owned = world.of(each, JOBS)
        running = {objects.name(job) for job in owned if not _is(job, "Complete") and not _is(job, "Failed")}
        told = {reference["name"] for reference in (each.get("status") or {}).get("active") or ()}
        if told != running:
            yield each, f"status.active names {sorted(told)}, {sorted(running)} run"
        if len(running) > 1:
            yield each, "two runs at once, which its policy forbids"


def _is(obj: Object, kind: str) -> bool:
    return (pods.condition(obj, kind) or {}).get("status") == "True"


def _budgets(world: World) -> Findings:
    for each in world.all(PODDISRUPTIONBUDGETS):
        matching = [pod for pod in _selected(world, each["spec"]["selector"]["matchLabels"]) if pods.is_active(pod)]
        least: int = each["spec"]["minAvailable"]
        healthy = _ready(matching)
        allowed = max(0, healthy - least) if matching else 0
        yield from _numbers(each, currentHealthy=healthy, desiredHealthy=least, disruptionsAllowed=allowed)


def _selected(world: World, wanted: Object) -> list[Object]:
    return [pod for pod in world.all(PODS) if wanted.items() <= objects.labels(pod).items()]


def _services(world: World) -> Findings:
    for each in world.all(SERVICES):
        chosen = [pod for pod in _selected(world, each["spec"]["selector"]) if pods.is_active(pod)]
        wanted = sorted(pod["status"].get("podIP", "") for pod in chosen if pods.is_ready(pod))
        slices = [one for one in world.all(ENDPOINTSLICES) if is_controlled_by(one, each)]
        ends = [end for one in slices for end in one.get("endpoints") or ()]
        ready = sorted(
            address for end in ends if (end.get("conditions") or {}).get("ready") for address in end["addresses"]
        )
        if ready != wanted:
            yield each, f"its slices say {ready}, ready are {wanted}"
        for one in world.all(ENDPOINTS):
            if objects.name(one) == objects.name(each):
                ready = sorted(a["ip"] for subset in one.get("subsets") or () for a in subset.get("addresses") or ())
                if ready != wanted:
                    yield each, f"its Endpoints say {ready}, ready are {wanted}"


def _quotas(world: World) -> Findings:
    for each in world.all(RESOURCEQUOTAS):
        used = sum(not pods.is_terminal(pod) for pod in world.all(PODS))
        if ((each.get("status") or {}).get("used") or {}).get("pods") != str(used):
            yield each, f"status.used is {(each.get('status') or {}).get('used')}, there are {used} pods"


def _claims(world: World) -> Findings:
    volumes = {(each["spec"].get("claimRef") or {}).get("uid"): each for each in world.volumes}
    for each in world.all(PERSISTENTVOLUMECLAIMS):
        volume, phase = volumes.pop(objects.uid(each), None), _phase(each)
        if volume is None or each["spec"].get("volumeName") != objects.name(volume):
            yield each, "bound to no volume, or to another than is bound to it"
        elif (phase, _phase(volume)) != ("Bound", "Bound"):
            yield each, f"{phase}, its volume {_phase(volume)}"
    for uid, volume in volumes.items():
        if uid is not None and _phase(volume) != "Released":
            yield {**volume, "kind": "PersistentVolume"}, f"{_phase(volume)}, its claim is gone"


def _phase(obj: Object) -> str:
    return str((obj.get("status") or {}).get("phase"))


def _autoscalers(world: World) -> Findings:
    targets = {objects.name(each): each for each in world.all(DEPLOYMENTS)}
    for each in world.all(HORIZONTALPODAUTOSCALERS):
        target = targets.get(each["spec"]["scaleTargetRef"]["name"])
        low, high = each["spec"]["minReplicas"], each["spec"]["maxReplicas"]
        if target is not None and target["spec"]["replicas"] and not low <= target["spec"]["replicas"] <= high:
            yield each, f"its target has {target['spec']['replicas']} replicas, {low} to {high} are allowed"


def _wished_deployments(world: World) -> Findings:
    for each in world.all(DEPLOYMENTS):
        count = each["spec"]["replicas"]
        yield from _numbers(each, replicas=count, updatedReplicas=count, availableReplicas=count)
        if not (_is(each, "Available") and _is(each, "Progressing")):
            yield each, f"conditions {(each.get('status') or {}).get('conditions')}"


def _wished_sets(world: World) -> Findings:
    for each in world.all(REPLICASETS):
        yield from _numbers(each, readyReplicas=each["spec"]["replicas"])
    for each in world.all(STATEFULSETS):
        count, status = each["spec"]["replicas"], each.get("status") or {}
        yield from _numbers(each, readyReplicas=count, updatedReplicas=count, currentReplicas=count)
        if status.get("currentRevision") != status.get("updateRevision"):
            yield each, "two revisions"
        yield from ((each, f"{objects.name(pod)} is old") for pod in world.active(each) if _image(pod) != _image(each))
    for each in world.all(DAEMONSETS):
        count = len(world.nodes)
        yield from _numbers(each, updatedNumberScheduled=count, numberAvailable=count, numberMisscheduled=0)
        yield from ((each, f"{objects.name(pod)} is old") for pod in world.active(each) if _image(pod) != _image(each))


def _wished_jobs(world: World) -> Findings:
    for each in world.all(JOBS):
        outcome, spec = objects.labels(each)["outcome"], each["spec"]
        if outcome != "fail" and (each.get("status") or {}).get("failed"):
            continue  # a pod of it was taken away: the next comes after a backoff by wall time
        if outcome == "ok":
            yield from _numbers(each, succeeded=spec["completions"])
            if not _is(each, "Complete"):
                yield each, "not complete"
        elif outcome == "fail" and not _is(each, "Failed"):
            yield each, "not failed"
        elif outcome == "run":
            yield from _numbers(each, ready=min(spec["parallelism"], spec["completions"]))


_CHECKS: tuple[Callable[[World], Findings], ...] = (
    _everything, _replica_sets, _deployments, _stateful_sets, _daemon_sets, _jobs, _cron_jobs, _budgets, _services,
    _quotas, _claims, _autoscalers,
)  # fmt: skip
_WISHES = (_wished_deployments, _wished_sets, _wished_jobs)
