"""What the random users of `test_state_machine` do, and what they remember of it."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery.api.catalogue import (
    CRONJOBS,
    DAEMONSETS,
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    RESOURCEQUOTAS,
    SERVICES,
    STATEFULSETS,
    Resource,
)
from apimachinery.meta import objects, pods
from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.states_cluster import StatesCluster
from tests.integration.states_world import World

Object = dict[str, Any]

WORKLOADS = (DEPLOYMENTS, STATEFULSETS, DAEMONSETS, JOBS, CRONJOBS)
APPS = (DEPLOYMENTS, STATEFULSETS, DAEMONSETS)
NOT_MANY = 7  # workloads of a run, and claims


class Users:
    """One run in a namespace of its own."""

    def __init__(self, cluster: StatesCluster) -> None:
        self._cluster, self._client = cluster, cluster.client
        self.space = f"states-{cluster.number()}"
        self.history: list[str] = []
        self._made: dict[str, Resource] = {}
        self._surge: dict[str, int] = {}
        self._nodes: list[str] = []
        self._claims = 0
        self._quota = False

    def told(self, what: object) -> str:
        """A failure's text, with what was done."""
        return f"{what}\nafter, in {self.space}:\n  " + "\n  ".join(self.history)

    def _note(self, *words: object) -> None:
        self.history.append(" ".join(map(str, words)))

    async def begin(self) -> None:
        await self._client.create(NAMESPACES, {"metadata": {"name": self.space}})
        for cpu in (2, 2):
            await self.add_node(cpu)

    async def create_deployment(self, replicas: int, surge: int, unavailable: int, recreate: bool) -> None:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable if surge + unavailable else 1}
        strategy: Object = {"type": "RollingUpdate", "rollingUpdate": rolling}
        if recreate:
            strategy, surge = {"type": "Recreate"}, 0
        await self._make(DEPLOYMENTS, {"replicas": replicas, "strategy": strategy}, surge)

    async def create_stateful_set(self, replicas: int, parallel: bool) -> None:
        policy = "Parallel" if parallel else "OrderedReady"
        await self._make(STATEFULSETS, {"replicas": replicas, "serviceName": "x", "podManagementPolicy": policy})

    async def create_daemon_set(self, surge: bool) -> None:
        rolling = {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": 1}
        await self._make(DAEMONSETS, {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})

    async def create_job(self, completions: int, parallelism: int, outcome: str) -> None:
        await self._make(JOBS, self._run(completions, parallelism, outcome), outcome=outcome)

    async def create_cron_job(self, outcome: str, suspend: bool) -> None:
        job = {"metadata": {"labels": {"outcome": outcome}}, "spec": self._run(1, 1, outcome)}
        spec = {"schedule": "* * * * *", "suspend": suspend, "concurrencyPolicy": "Forbid", "jobTemplate": job}
        await self._make(CRONJOBS, {**spec, "successfulJobsHistoryLimit": 1})

    def _run(self, completions: int, parallelism: int, outcome: str) -> Object:
        spec = {"completions": completions, "parallelism": parallelism, "backoffLimit": 0 if outcome == "fail" else 100}
        return {**spec, "template": _template({"outcome": outcome}, 1, restartPolicy="Never")}

    async def _make(self, resource: Resource, spec: Object, surge: int = 0, outcome: str = "") -> None:
        if len(self._made) >= NOT_MANY:
            return
        name = f"{resource.singular}-{self._cluster.number()}"
        self._note("create", resource.kind, name, spec)
        labels = {"app": name}
        self._made[name], self._surge[name] = resource, surge
        if resource in APPS:
            cpu = "100m" if resource is DAEMONSETS else "500m"
            spec = {**spec, "selector": {"matchLabels": labels}, "template": _template(labels, 1, cpu)}
        if "replicas" in spec:
            self._want(name, spec["replicas"])
        if resource is JOBS:
            self._want(name, min(spec["parallelism"], spec["completions"]))
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        metadata = {"name": name, "namespace": self.space, "labels": {"outcome": outcome} if outcome else {}}
        await self._client.create(resource, {**body, "metadata": metadata})

    def _want(self, name: str, count: int) -> None:
        self._cluster.auditor.want((self.space, self._made[name].kind, name), count + self._surge[name])

    def _pick(self, which: int, *kinds: Resource) -> str:
        """The name of a workload; "" when there is none of these kinds."""
        names = [name for name, kind in self._made.items() if kind in kinds]
        return names[which % len(names)] if names else ""

    async def _patch(self, name: str, spec: Object) -> None:
        await self._client.patch(self._made[name], name, {"spec": spec}, self.space)

    async def scale(self, which: int, replicas: int) -> None:
        name = self._pick(which, DEPLOYMENTS, STATEFULSETS)
        if name:
            self._note("scale", name, replicas)
            self._want(name, replicas)
            await self._client.patch(
                self._made[name], name, {"spec": {"replicas": replicas}}, self.space, subresource="scale"
            )

    async def roll(self, which: int, image: int) -> None:
        name = self._pick(which, *APPS)
        if name:
            self._note("roll", name, image)
            await self._roll(name, image)

    async def _roll(self, name: str, image: int) -> None:
        cpu = "100m" if self._made[name] is DAEMONSETS else "500m"
        await self._patch(name, {"template": _template({"app": name}, image, cpu)})

    async def pause(self, which: int, paused: bool) -> None:
        name = self._pick(which, DEPLOYMENTS)
        if name:
            self._note("pause", name, paused)
            await self._patch(name, {"paused": paused})

    async def partition(self, which: int, partition: int) -> None:
        name = self._pick(which, STATEFULSETS)
        if name:
            self._note("partition", name, partition)
            await self._patch(name, {"updateStrategy": {"rollingUpdate": {"partition": partition}}})

    async def suspend(self, which: int, suspend: bool) -> None:
        name = self._pick(which, JOBS, CRONJOBS)
        if name:
            self._note("suspend", name, suspend)
            await self._patch(name, {"suspend": suspend})

    async def delete(self, which: int, how: str) -> None:
        name = self._pick(which, *WORKLOADS)
        if name:
            self._note("delete", name, how)
            resource = self._made.pop(name)
            await self._client.delete(resource, name, self.space, propagation=how)

    async def create_service_and_budget(self, which: int, budget: int) -> None:
        name = self._pick(which, *APPS)
        if name:
            self._note("service and budget of", budget, "for", name)
            metadata, selector = {"name": name, "namespace": self.space}, {"app": name}
            service = {"selector": selector, "ports": [{"port": 80}]}
            allowed = {"minAvailable": budget, "selector": {"matchLabels": selector}}
            for resource, spec in ((SERVICES, service), (PODDISRUPTIONBUDGETS, allowed)):
                await self._cluster.tried(self._client.create(resource, {"metadata": metadata, "spec": spec}), 409)

    async def create_autoscaler(self, which: int, low: int, high: int) -> None:
        name = self._pick(which, DEPLOYMENTS)
        if name:
            self._note("autoscaler", low, "to", high, "for", name)
            self._want(name, high)
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
            spec = {"scaleTargetRef": target, "minReplicas": low, "maxReplicas": high}
            body = {"metadata": {"name": name, "namespace": self.space}, "spec": spec}
            await self._cluster.tried(self._client.create(HORIZONTALPODAUTOSCALERS, body), 409)

    async def set_quota(self, count: int) -> None:
        self._note("quota", count)
        self._quota, hard = True, {"hard": {"pods": str(count)}}
        body = {"metadata": {"name": "pods", "namespace": self.space}, "spec": hard}
        if await self._cluster.tried(self._client.create(RESOURCEQUOTAS, body), 409) is None:
            await self._client.patch(RESOURCEQUOTAS, "pods", {"spec": hard}, self.space)

    async def lift_quota(self) -> None:
        if self._quota:
            self._note("no quota")
            self._quota = False
            await self._client.delete(RESOURCEQUOTAS, "pods", self.space)

    async def claim_volume(self) -> None:
        if self._claims >= NOT_MANY:
            return
        self._claims += 1
        name = f"{self.space}-{self._claims}"
        self._note("claim", name)
        common = {"storageClassName": self.space, "accessModes": ["ReadWriteOnce"]}
        volume = {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": f"/srv/{name}"}}
        claim = {**common, "resources": {"requests": {"storage": "1Gi"}}}
        volume["persistentVolumeReclaimPolicy"] = "Retain"
        await self._client.create(PERSISTENTVOLUMES, {"metadata": {"name": name}, "spec": volume})
        metadata = {"name": name, "namespace": self.space}
        await self._client.create(PERSISTENTVOLUMECLAIMS, {"metadata": metadata, "spec": claim})

    async def delete_claim(self) -> None:
        if self._claims:
            self._note("delete claim", self._claims)
            name = f"{self.space}-{self._claims}"
            await self._cluster.tried(self._client.delete(PERSISTENTVOLUMECLAIMS, name, self.space), 404)

    async def _pods(self, app: str = "") -> list[Object]:
        found = (await self._client.list(PODS, self.space, label_selector=f"app={app}" if app else ""))["items"]
        return [pod for pod in found if pods.is_active(pod)]

    async def delete_pod(self, which: int) -> None:
        if found := await self._pods():
            name = objects.name(found[which % len(found)])
            self._note("delete pod", name)
            await self._cluster.tried(self._client.delete(PODS, name, self.space), 404)

    async def pod_readiness(self, which: int, ready: bool) -> None:
        found = [pod for pod in await self._pods() if pods.phase(pod) == "Running"]
        if found:
            pod = found[which % len(found)]
            self._note("pod", objects.name(pod), "is ready:", ready)
            await self._set_ready(PODS, objects.name(pod), ready)

    async def _set_ready(self, resource: Resource, name: str, ready: bool) -> None:
        condition = {"type": "Ready", "status": str(ready), "reason": "Test", "message": ""}
        body = {"status": {"conditions": [{**condition, "lastTransitionTime": "2025-01-01T00:00:00Z"}]}}
        space = self.space if resource.namespaced else None
        patched = self._client.patch(resource, name, body, space, kind="strategic", subresource="status")
        await self._cluster.tried(patched, 404)

    async def cordon(self, which: int, cordoned: bool) -> None:
        if self._nodes:
            name = self._nodes[which % len(self._nodes)]
            self._note("cordon", name, cordoned)
            await self._client.patch(NODES, name, {"spec": {"unschedulable": cordoned or None}})

    async def node_readiness(self, which: int, ready: bool) -> None:
        if self._nodes:
            name = self._nodes[which % len(self._nodes)]
            self._note("node", name, "is ready:", ready)
            await self._set_ready(NODES, name, ready)

    async def add_node(self, cpu: int) -> None:
        if len(self._nodes) < 4:
            name = f"node-{self._cluster.number()}"
            self._note("add", name, "of", cpu)
            self._nodes.append(name)
            await self._cluster.add_node(name, cpu)

    async def remove_node(self, which: int) -> None:
        if self._nodes:
            name = self._nodes.pop(which % len(self._nodes))
            self._note("remove", name)
            await self._cluster.remove_node(name)

    async def wait(self, seconds: float) -> None:
        self._note("wait", seconds)
        await asyncio.sleep(seconds)

    async def rest(self, *, finished: bool) -> World:
        self._note("rest", "with all wishes granted" if finished else "")
        try:
            world = await self._cluster.rest(self.space, finished=finished)
        except AssertionError as error:
            raise AssertionError(self.told(error)) from None
        wrong = self._cluster.auditor.too_many()
        assert not wrong, self.told(wrong)
        for resource in (DEPLOYMENTS, STATEFULSETS):
            for each in world.all(resource):
                name = objects.name(each)
                owner = (self.space, resource.kind, name)
                self._cluster.auditor.mark(owner, each["spec"]["replicas"] + self._surge[name])
        return world

    async def roll_calmly(self, which: int, image: int) -> None:
        name = self._pick(which, *APPS)
        if not name:
            return
        world = await self.rest(finished=False)
        (app,) = [each for each in world.all(self._made[name]) if objects.name(each) == name]
        spec, count = app["spec"], len(world.active(app))
        wanted = len(world.nodes) if self._made[name] is DAEMONSETS else spec["replicas"]
        if any(not pods.is_ready(pod) for pod in world.active(app)) or count != wanted or self._quota:
            return  # what is missing already is not the roll's doing
        strategy = spec.get("strategy") or spec["updateStrategy"]
        missing = 1 if self._made[name] is STATEFULSETS else (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
        self._note("roll calmly", name, image)
        fewest = self._cluster.auditor.watch_least(self.space, name)
        await self._roll(name, image)
        await self.rest(finished=False)
        least = fewest()
        if missing is not None:
            assert least >= count - missing, self.told(f"{least} of {count} were ready, {missing} may be missing")

    async def evict_calmly(self, which: int) -> None:
        name = self._pick(which, *APPS)
        if not name:
            return
        world = await self.rest(finished=False)
        budgets = [each for each in world.all(PODDISRUPTIONBUDGETS) if objects.name(each) == name]
        if not budgets:
            return
        self._note("evict calmly", name)
        least = budgets[0]["spec"]["minAvailable"]
        before = sum(map(pods.is_ready, await self._pods(name)))
        fewest = self._cluster.auditor.watch_least(self.space, name)
        evicted = [self._evict(objects.name(pod)) for pod in await self._pods(name) if pods.is_ready(pod)]
        granted = sum(await asyncio.gather(*evicted))
        await self.rest(finished=False)
        seen = fewest()
        assert seen >= min(before, least), self.told(f"{granted} evictions left {seen}, the budget is {least}")

    async def _evict(self, name: str) -> bool:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": self.space}}
        done = self._client.create_subresource(PODS, name, "eviction", body, self.space)
        return await self._cluster.tried(done, 404, 409, 429, 500) is not None

    async def end(self) -> None:
        """Take every obstacle away, see every wish granted, and delete the namespace."""
        self._note("the end")
        await self._heal()
        await self.rest(finished=True)
        await self._client.delete(NAMESPACES, self.space)
        await self._cluster.eventually(self._gone, self.told("the namespace is gone"))
        for name in list(self._nodes):
            await self._cluster.remove_node(name)
        for number in range(1, self._claims + 1):
            await self._client.delete(PERSISTENTVOLUMES, f"{self.space}-{number}")

    async def _heal(self) -> None:
        await self.lift_quota()
        self._nodes.append(room := f"node-{self._cluster.number()}")
        await self._cluster.add_node(room, 64)
        for name in self._nodes:
            await self._client.patch(NODES, name, {"spec": {"unschedulable": None}})
            await self._set_ready(NODES, name, True)
        for name, resource in list(self._made.items()):
            if resource is DEPLOYMENTS:
                await self._patch(name, {"paused": None})
            elif resource is STATEFULSETS:
                await self._patch(name, {"updateStrategy": {"rollingUpdate": {"partition": 0}}})
            elif resource is JOBS:
                await self._patch(name, {"suspend": False})
        for pod in await self._pods():
            if not pods.is_ready(pod) and pods.phase(pod) == "Running":
                await self._set_ready(PODS, objects.name(pod), True)

    async def _gone(self) -> bool:
        try:
            await self._client.get(NAMESPACES, self.space)
        except ApiError as error:
            return is_not_found(error)
        return False


def _template(labels: Object, image: int, cpu: str = "250m", **spec: Any) -> Object:
    container = {"name": "main", "image": f"app:{image}", "resources": {"requests": {"cpu": cpu}}}
    soon = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
        for key in ("not-ready", "unreachable")
    ]
    return {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, "tolerations": soon, **spec},
    }
