"""More controllers against the real API server, with simulated nodes: budgets, schedules, protection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    CRONJOBS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    PODS,
    RESOURCEQUOTAS,
)
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta import objects, pods, times
from apimachinery.meta.status import ApiError
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

Object = dict[str, Any]


@pytest.fixture
async def cluster(tmp_path: Path, etcd_of_two: str) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data", etcd=etcd_of_two) as simulation:
        await simulation.fleet.add("worker-1")
        await simulation.fleet.add("worker-2")
        yield simulation


def deployment(replicas: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template()},
    }


def budget(name: str = "web", **spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


async def allows(cluster: Simulation, **wanted: int) -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(PODDISRUPTIONBUDGETS, "web", "default")
        status = found.get("status") or {}
        return found if wanted.items() <= status.items() else None

    found: Object = await cluster.eventually(look, f"a budget with {wanted}")
    return found


async def evict(cluster: Simulation, name: str) -> Object:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    return await cluster.client.create_subresource(PODS, name, "eviction", body, "default")


async def test_a_budget_guards_its_pods(cluster: Simulation) -> None:
    """Evictions are paid for one by one; two at once never spend the same disruption; a drain waits for its turn."""
    client = cluster.client
    await client.create(DEPLOYMENTS, deployment(4))
    await client.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable="25%"))
    found = await allows(cluster, expectedPods=4, currentHealthy=4, desiredHealthy=3, disruptionsAllowed=1)
    assert pods.condition(found, "DisruptionAllowed")["reason"] == "SufficientPods"
    names = [objects.name(pod) for pod in (await client.list(PODS, "default"))["items"]]

    # The replacements are held back, so that the budget stays spent.
    cluster.fleet.held = lambda pod: objects.name(pod) not in names
    answers = await asyncio.gather(*(evict(cluster, name) for name in names), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, ApiError)]
    assert len(refused) == 3 and all(error.code == 429 for error in refused), answers
    assert {error.message for error in refused} == {"Cannot evict pod as it would violate the pod's disruption budget."}
    spent = await allows(cluster, currentHealthy=3, disruptionsAllowed=0)
    assert pods.condition(spent, "DisruptionAllowed")["reason"] == "InsufficientPods"

    cluster.fleet.held = lambda pod: False
    for pod in (await client.list(PODS, "default"))["items"]:
        if not pods.is_ready(pod):
            await client.delete(PODS, objects.name(pod), "default", grace_period=0)
    await allows(cluster, currentHealthy=4, disruptionsAllowed=1)
    output = await cluster.kubectl("drain", "worker-1", "--timeout=120s", "--force")
    assert "node/worker-1 drained" in output
    on_nodes = {pods.node_name(pod) for pod in (await client.list(PODS, "default"))["items"] if pods.is_ready(pod)}
    assert on_nodes == {"worker-2"}


async def test_two_budgets_over_a_pod_and_pods_of_nobody(cluster: Simulation) -> None:
    """Upstream's refusal of the first; the second makes a percentage incomputable by events, not by death."""
    client = cluster.client
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": "default"}, **template()}
    bare["metadata"] = {"name": "bare", "namespace": "default", "labels": {"app": "web"}}
    await client.create(PODS, bare)
    await client.create(PODDISRUPTIONBUDGETS, budget(minAvailable=0))
    await allows(cluster, expectedPods=1, currentHealthy=1, disruptionsAllowed=1)
    await client.create(PODDISRUPTIONBUDGETS, budget("other", minAvailable="50%"))
    with pytest.raises(ApiError, match="This pod has more than one PodDisruptionBudget") as caught:
        await evict(cluster, "bare")
    assert caught.value.code == 500

    async def told() -> bool:
        output = await cluster.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
        return {"UnmanagedPods", "MultiplePodDisruptionBudgets"} <= set(output.split())

    await client.patch(PODS, "bare", {"metadata": {"labels": {"app": "web", "more": "x"}}}, "default")
    await cluster.eventually(told, "events about a pod with two budgets and without a controller")


async def test_pods_whose_controller_has_no_scale(cluster: Simulation) -> None:
    """A share of a Job cannot be told: nothing may be disrupted, and the condition says why; an integer can."""
    client = cluster.client
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "web", "namespace": "default"}}
    await client.create(JOBS, {**job, "spec": {"template": template(restartPolicy="Never")}})
    await client.create(PODDISRUPTIONBUDGETS, budget(maxUnavailable=1))

    async def failed() -> Object | None:
        found = pods.condition(await client.get(PODDISRUPTIONBUDGETS, "web", "default"), "DisruptionAllowed")
        return found if found is not None and found["reason"] == "SyncFailed" else None

    condition = await cluster.eventually(failed, "a budget that cannot be computed")
    assert condition["message"] == "jobs.batch does not implement the scale subresource"
    await client.patch(PODDISRUPTIONBUDGETS, "web", {"spec": {"maxUnavailable": None, "minAvailable": 0}}, "default")
    await allows(cluster, expectedPods=1, currentHealthy=1, disruptionsAllowed=1)


def cronjob(name: str, schedule: str, **spec: Any) -> Object:
    inner = template(restartPolicy="Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedule": schedule, "suspend": True, "jobTemplate": {"spec": {"template": inner}}, **spec},
    }


async def missed_since(cluster: Simulation, name: str, last: str) -> None:
    """Say when the suspended CronJob ran last, and let it run."""
    status = {"lastScheduleTime": last}
    await cluster.client.patch(CRONJOBS, name, {"status": status}, "default", subresource="status")
    await cluster.client.patch(CRONJOBS, name, {"spec": {"suspend": False}}, "default")


async def reasons(cluster: Simulation, name: str) -> set[str]:
    found = await cluster.kubectl("events", "--for", f"cronjob/{name}", "-o", "jsonpath={.items[*].reason}")
    return set(found.split())


async def test_a_cron_job_runs_what_it_missed_once(cluster: Simulation) -> None:
    """Hundreds of missed times make one Job, named after the last of them; its end is noted; history is kept short."""
    client = cluster.client
    await client.create(CRONJOBS, cronjob("yearly", "0 0 1 1 *", timeZone="Asia/Tokyo", successfulJobsHistoryLimit=0))
    await client.create(CRONJOBS, cronjob("monthly", "@monthly"))  # rarely due while this test runs
    await missed_since(cluster, "yearly", "2001-02-03T00:00:00Z")
    await missed_since(cluster, "monthly", "2001-02-03T00:00:00Z")

    async def started(name: str) -> Object | None:
        found = await client.get(CRONJOBS, name, "default")
        return found if (found.get("status") or {}).get("active") else None

    found = await cluster.eventually(lambda: started("yearly"), "the yearly run")
    reference, at = found["status"]["active"][0], times.parse(found["status"]["lastScheduleTime"])
    assert (at.month, at.day, at.hour) == (12, 31, 15)  # midnight in Tokyo
    assert reference["name"] == f"yearly-{int(at.timestamp()) // 60}"
    job = await client.get(JOBS, reference["name"], "default")
    assert objects.uid(job) == reference["uid"]
    stamp = objects.annotations(job)["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert stamp == f"{at.year + 1}-01-01T00:00:00+09:00"
    await cluster.eventually(lambda: started("monthly"), "the monthly run")
    listed = (await client.list(JOBS, "default"))["items"]
    assert sorted(objects.name(each).partition("-")[0] for each in listed) == ["monthly", "yearly"]

    async def done() -> bool:
        for pod in (await client.list(PODS, "default", label_selector=f"job-name={reference['name']}"))["items"]:
            if pods.phase(pod) == "Running":
                await cluster.fleet.finish(pod, "Succeeded")
        status = (await client.get(CRONJOBS, "yearly", "default"))["status"]
        names = {objects.name(each) for each in (await client.list(JOBS, "default"))["items"]}
        return not status.get("active") and bool(status.get("lastSuccessfulTime")) and reference["name"] not in names

    await cluster.eventually(done, "the run noted as successful, and cleaned up")

    async def told() -> bool:
        yearly = {"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"} <= await reasons(cluster, "yearly")
        return yearly and {"SuccessfulCreate", "TooManyMissedTimes"} <= await reasons(cluster, "monthly")

    await cluster.eventually(told, "upstream's events")
    skew = "cronjob_controller_job_creation_skew_duration_seconds"
    assert (REGISTRY.get_sample_value(f"{skew}_count") or 0) >= 2
    assert (REGISTRY.get_sample_value(f"{skew}_sum") or 0) > 0, "both were late"


async def test_concurrency_policies_and_schedules_that_never_come(cluster: Simulation) -> None:
    """Forbid waits, Replace deletes; a schedule that never comes is told about and harms nobody."""
    client = cluster.client
    await client.create(CRONJOBS, cronjob("never", "0 0 31 2 *"))
    await client.patch(CRONJOBS, "never", {"spec": {"suspend": False}}, "default")

    async def uids(name: str) -> list[str]:
        listed = (await client.list(JOBS, "default"))["items"]
        return [objects.uid(each) for each in listed if objects.name(each).startswith(name)]

    async def another(name: str, known: list[str]) -> bool:
        found = await uids(name)
        return bool(found) and found != known

    for policy in ("Forbid", "Replace"):
        name = policy.lower()
        await client.create(CRONJOBS, cronjob(name, "0 0 1 1 *", concurrencyPolicy=policy))
        await missed_since(cluster, name, "2001-02-03T00:00:00Z")
        await cluster.eventually(partial(another, name, []), f"the first run of {name}")
        first = await uids(name)
        # Another schedule has another last time, which is due while the first run is still under way.
        again = {"schedule": "0 0 1 2 *", "suspend": True}
        await client.patch(CRONJOBS, name, {"spec": again}, "default")
        await missed_since(cluster, name, "2001-02-03T00:00:00Z")
        if policy == "Replace":
            await cluster.eventually(partial(another, "replace", first), "the run replaced")
            assert len(await uids(name)) == 1

    async def told() -> bool:
        return "JobAlreadyActive" in await reasons(cluster, "forbid") and "InvalidSchedule" in await reasons(
            cluster, "never"
        )

    await cluster.eventually(told, "why nothing was started")
    assert len(await uids("forbid")) == 1
    assert not await uids("never")


async def test_claims_and_volumes_in_use_stay(cluster: Simulation) -> None:
    """A claim goes with its last pod, a volume when nothing is bound to it; unused ones go at once."""
    client = cluster.client
    claimed = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for name in ("used", "unused"):
        metadata = {"name": name, "namespace": "default"}
        bound = {"storageClassName": "manual", "volumeName": "used"} if name == "used" else {"storageClassName": ""}
        spec = {**claimed, **bound}
        await client.create(
            PERSISTENTVOLUMECLAIMS,
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec},
        )
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "manual",
                "hostPath": {"path": f"/srv/{name}"},
            },
        }
        await client.create(PERSISTENTVOLUMES, volume)

    async def is_bound() -> bool:
        return bool((await client.get(PERSISTENTVOLUMES, "used"))["status"].get("phase") == "Bound")

    await cluster.eventually(is_bound, "claim and volume bound")
    mounts = [{"name": "data", "persistentVolumeClaim": {"claimName": "used"}}]
    pod = {"apiVersion": "v1", "kind": "Pod", **template(volumes=mounts, nodeName="worker-1")}
    pod["metadata"] = {"name": "holder", "namespace": "default"}
    await client.create(PODS, pod)

    for resource, namespace in ((PERSISTENTVOLUMECLAIMS, "default"), (PERSISTENTVOLUMES, None)):
        for name in ("used", "unused"):
            await client.delete(resource, name, namespace)
        await gone(cluster, resource, "unused", namespace)
        kept = await client.get(resource, "used", namespace)
        assert objects.is_deleting(kept)
        assert [each.rpartition("-")[2] for each in kept["metadata"]["finalizers"]] == ["protection"]
    await client.delete(PODS, "holder", "default")
    await gone(cluster, PERSISTENTVOLUMECLAIMS, "used", "default")
    await gone(cluster, PERSISTENTVOLUMES, "used", None)


async def test_what_a_quota_can_count_at_once_is_limited_before_the_rest_is_looked_for(cluster: Simulation) -> None:
    """Until a quota's status says what is limited, everything passes."""
    hard = {"pods": "1", "count/secrets": "9"}
    made = await cluster.client.create(
        RESOURCEQUOTAS,
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few", "namespace": "default"},
            "spec": {"hard": hard},
        },
    )
    said: list[Object] = []
    async with asyncio.timeout(60):
        async for event in cluster.client.watch(
            RESOURCEQUOTAS, "default", resource_version=objects.resource_version(made)
        ):
            said.append(event.object["status"]["hard"])
            if said[-1] == hard:
                break
    assert said == [{"pods": "1"}, hard]
