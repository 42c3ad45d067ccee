"""Jobs against the real API server, which refuses every status that upstream's validation would refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import EVENTS, JOBS, PODS
from apimachinery.kit.metrics import REGISTRY
from apimachinery.meta import objects, pods
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone, template

Object = dict[str, Any]

INDEX = "batch.kubernetes.io/job-completion-index"
TRACKING = "batch.kubernetes.io/job-tracking"


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data") as simulation:
        await simulation.fleet.add("worker-1", cpu="64")
        yield simulation


async def start(cluster: Simulation, name: str, labels: Object | None = None, **spec: Any) -> None:
    body = template("busybox", restartPolicy="Never")
    body["metadata"]["labels"] = labels or {}
    metadata = {"name": name, "namespace": "default"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": body, **spec}}
    await cluster.client.create(JOBS, job)


async def pods_of(cluster: Simulation, name: str, phase: str = "") -> list[Object]:
    listed = await cluster.client.list(PODS, "default", label_selector=f"batch.kubernetes.io/job-name={name}")
    return [pod for pod in listed["items"] if pods.phase(pod) == phase or not phase]


async def running(cluster: Simulation, name: str, count: int) -> list[Object]:
    async def look() -> list[Object] | None:
        found = [pod for pod in await pods_of(cluster, name, "Running") if not objects.is_deleting(pod)]
        return found if len(found) == count else None

    found: list[Object] = await cluster.eventually(look, f"{count} running pods of {name}")
    return sorted(found, key=lambda pod: objects.annotations(pod).get(INDEX, ""))


async def condition(cluster: Simulation, name: str, kind: str, word: str = "True") -> Object:
    async def look() -> Object | None:
        found = await cluster.client.get(JOBS, name, "default")
        return found if (pods.condition(found, kind) or {}).get("status") == word else None

    found: Object = await cluster.eventually(look, f"{name} is {kind}={word}")
    return found


async def test_policies_of_failure(cluster: Simulation) -> None:
    """One exit code is ignored and tried again, another ends the Job though its backoff limit is far."""
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
    ]
    await start(cluster, "strict", completions=3, parallelism=2, podFailurePolicy={"rules": rules})
    first, second = await running(cluster, "strict", 2)
    told = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "evicted"}
    since = first["status"]["conditions"][0]["lastTransitionTime"]  # an older one counts as forgotten
    conditions = [*first["status"]["conditions"], {**told, "lastTransitionTime": since}]
    body = {"status": {"conditions": conditions}}
    await cluster.client.patch(PODS, objects.name(first), body, "default", subresource="status")
    await cluster.fleet.finish(first, "Failed", 1)

    async def ignored() -> bool:
        found = await cluster.client.get(PODS, objects.name(first), "default")
        return TRACKING not in (found["metadata"].get("finalizers") or ())

    await cluster.eventually(ignored, "the ignored pod is let go of")
    assert "failed" not in (await cluster.client.get(JOBS, "strict", "default"))["status"]
    await cluster.fleet.finish(second, "Failed", 42)
    found = await condition(cluster, "strict", "Failed")
    ended = pods.condition(found, "Failed") or {}
    name = objects.name(second)
    assert ended["reason"] == "PodFailurePolicy"
    expected = f"Container main for pod default/{name} failed with exit code 42 matching FailJob rule at index 1"
    assert ended["message"] == expected
    assert (pods.condition(found, "FailureTarget") or {})["reason"] == "PodFailurePolicy"
    assert (found["status"]["failed"], found["status"]["uncountedTerminatedPods"]) == (1, {})

    async def event() -> bool:
        reasons = {each["reason"] for each in (await cluster.client.list(EVENTS, "default"))["items"]}
        return {"SuccessfulCreate", "PodFailurePolicy"} <= reasons

    await cluster.eventually(event, "an event about the policy")


async def test_each_index_on_its_own_account(cluster: Simulation) -> None:
    """Two indexes succeed, one fails: the Job waits for all of them, then it has failed, with both lists written."""
    await start(
        cluster, "grid", completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=0,
        maxFailedIndexes=1,
    )  # fmt: skip
    first, second, third = await running(cluster, "grid", 3)
    assert [objects.annotations(pod)[INDEX] for pod in (first, second, third)] == ["0", "1", "2"]
    await cluster.fleet.finish(second, "Failed")

    async def failed() -> bool:
        status = (await cluster.client.get(JOBS, "grid", "default"))["status"]
        return bool(status.get("failedIndexes") == "1")

    await cluster.eventually(failed, "index 1 has failed")
    await cluster.fleet.finish(first, "Succeeded")
    await cluster.fleet.finish(third, "Succeeded")
    status = (await condition(cluster, "grid", "Failed"))["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert (status["succeeded"], status["failed"]) == (2, 1)
    assert len(await pods_of(cluster, "grid")) == 3


async def test_success_of_the_leader_is_enough(cluster: Simulation) -> None:
    def told() -> list[float]:
        mode = {"completion_mode": "Indexed"}
        ended = {**mode, "result": "succeeded", "reason": "SuccessPolicy"}
        made = {**mode, "result": "success", "action": "pods_created"}
        return [
            REGISTRY.get_sample_value("job_controller_jobs_finished_total", ended) or 0,
            REGISTRY.get_sample_value("job_controller_job_pods_finished_total", {**mode, "result": "succeeded"}) or 0,
            REGISTRY.get_sample_value("job_controller_job_syncs_total", made) or 0,
        ]

    before = told()
    policy = {"rules": [{"succeededIndexes": "0"}]}
    await start(cluster, "led", completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy)
    leader, *_ = await running(cluster, "led", 3)
    await cluster.fleet.finish(leader, "Succeeded")
    status = (await condition(cluster, "led", "Complete"))["status"]
    reasons = {each["type"]: each["reason"] for each in status["conditions"]}
    assert reasons == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
    assert (status["succeeded"], status.get("failed"), status["terminating"]) == (1, None, 0)
    assert [now - then for now, then in zip(told(), before, strict=True)] == [1, 1, 1]
    assert [objects.name(pod) for pod in await pods_of(cluster, "led")] == [objects.name(leader)]


async def test_suspended_and_resumed(cluster: Simulation) -> None:
    await start(cluster, "pause", completions=2, parallelism=2)
    await running(cluster, "pause", 2)
    await cluster.client.patch(JOBS, "pause", {"spec": {"suspend": True}}, "default")
    await condition(cluster, "pause", "Suspended")

    async def nobody() -> bool:
        status = (await cluster.client.get(JOBS, "pause", "default"))["status"]
        return not await pods_of(cluster, "pause") and not status.get("active") and not status["terminating"]

    await cluster.eventually(nobody, "no pods while suspended, none of them counted")
    await cluster.client.patch(JOBS, "pause", {"spec": {"suspend": False}}, "default")
    await condition(cluster, "pause", "Suspended", "False")
    for pod in await running(cluster, "pause", 2):
        await cluster.fleet.finish(pod, "Succeeded")
    status = (await condition(cluster, "pause", "Complete"))["status"]
    assert (status["succeeded"], status.get("failed")) == (2, None)


async def test_pods_follow_their_job_and_nobody_touches_a_foreign_one(cluster: Simulation) -> None:
    """Deleted in the background, a Job leaves no pod behind that its finalizer would keep for ever."""
    await start(cluster, "foreign", managedBy="example.com/queue")
    await start(cluster, "brief", parallelism=2, completions=2)
    await running(cluster, "brief", 2)
    await cluster.client.delete(JOBS, "brief", "default", propagation="Background")

    async def swept() -> bool:
        return not await pods_of(cluster, "brief")

    await cluster.eventually(swept, "the pods of the deleted Job are gone")
    await start(cluster, "short", ttlSecondsAfterFinished=0)
    for pod in await running(cluster, "short", 1):
        await cluster.fleet.finish(pod, "Succeeded")
    await gone(cluster, JOBS, "short")
    assert not (await cluster.client.get(JOBS, "foreign", "default")).get("status")
    assert not await pods_of(cluster, "foreign")


async def test_the_status_of_a_job_that_waits_for_its_deletion_follows_its_pods(cluster: Simulation) -> None:
    await start(cluster, "kept", parallelism=2, completions=3)
    first, _ = await running(cluster, "kept", 2)
    finalizers = {"metadata": {"finalizers": ["example.com/wait"]}}
    await cluster.client.patch(JOBS, "kept", finalizers, "default", kind="merge")
    await cluster.client.delete(JOBS, "kept", "default", propagation="Background")

    async def free() -> bool:
        return not any(each["metadata"].get("finalizers") for each in await pods_of(cluster, "kept"))

    await cluster.eventually(free, "the pods may go")
    await cluster.fleet.finish(first, "Succeeded")

    async def told() -> bool:
        found = await cluster.client.get(JOBS, "kept", "default")
        return bool(found["status"].get("active") == 1)

    await cluster.eventually(told, "one pod less is active")
    assert len(await pods_of(cluster, "kept")) == 2, "none is made anew"
    await cluster.client.patch(JOBS, "kept", {"metadata": {"finalizers": None}}, "default", kind="merge")
    await gone(cluster, JOBS, "kept")


async def test_a_pod_that_is_let_go_of_is_taken_again(cluster: Simulation) -> None:
    """As the conformance suite does: without its owner it is adopted, without its labels it is released."""
    await start(cluster, "two", parallelism=2, completions=4)
    pod, other = await running(cluster, "two", 2)
    name, labels = objects.name(pod), objects.labels(pod)
    bare = {"metadata": {"ownerReferences": None, "finalizers": None}}
    await cluster.client.patch(PODS, name, bare, "default", kind="merge")

    async def adopted() -> bool:
        meta = (await cluster.client.get(PODS, name, "default"))["metadata"]
        return meta.get("ownerReferences") == pod["metadata"]["ownerReferences"] and meta.get("finalizers") == [
            TRACKING
        ]

    await cluster.eventually(adopted, "the pod adopted, and counted again")
    assert {objects.name(each) for each in await pods_of(cluster, "two")} == {name, objects.name(other)}
    await cluster.client.patch(PODS, name, {"metadata": {"labels": dict.fromkeys(labels)}}, "default", kind="merge")

    async def released() -> bool:
        meta = (await cluster.client.get(PODS, name, "default"))["metadata"]
        return not meta.get("ownerReferences") and not meta.get("finalizers")

    await cluster.eventually(released, "the pod released")
    await running(cluster, "two", 2)


async def test_a_pod_that_somebody_took_from_its_job_can_be_deleted(cluster: Simulation) -> None:
    """Without owner and labels it is no Job's any more, and no Job's finalizer may keep it."""
    await start(cluster, "robbed", parallelism=1)
    (pod,) = await running(cluster, "robbed", 1)
    lost = {"metadata": {"ownerReferences": None, "labels": None}}
    await cluster.client.patch(PODS, objects.name(pod), lost, "default", kind="merge")
    await running(cluster, "robbed", 1)
    await cluster.client.delete(PODS, objects.name(pod), "default", grace_period=0)
    await gone(cluster, PODS, objects.name(pod))


async def test_a_pod_that_has_ended_is_adopted_and_counts(cluster: Simulation) -> None:
    labels = {"task": "old"}
    await start(cluster, "before", manualSelector=True, selector={"matchLabels": labels}, labels=labels)
    (pod,) = await running(cluster, "before", 1)
    await cluster.fleet.finish(pod, "Succeeded")
    await condition(cluster, "before", "Complete")
    await cluster.client.delete(JOBS, "before", "default", propagation="Orphan")
    await gone(cluster, JOBS, "before")
    await start(cluster, "after", manualSelector=True, selector={"matchLabels": labels}, labels=labels)
    await condition(cluster, "after", "Complete")
    (left,) = (await cluster.client.list(PODS, "default", label_selector="task=old"))["items"]
    assert objects.name(left) == objects.name(pod), "the work is done"


async def test_a_deletion_that_says_nothing_leaves_the_pods(cluster: Simulation) -> None:
    """Of Jobs and ReplicationControllers, for the sake of old clients; kubectl says Background."""
    await start(cluster, "left", parallelism=1)
    (pod,) = await running(cluster, "left", 1)
    await cluster.client.delete(JOBS, "left", "default")
    await gone(cluster, JOBS, "left")
    left = await cluster.client.get(PODS, objects.name(pod), "default")
    assert not objects.is_deleting(left) and not left["metadata"].get("ownerReferences")
    assert not left["metadata"].get("finalizers")
