"""What a pod as a whole asks for, as the kernel's numbers (KEP-2837), and the gate that hides it."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.kubelet import qos
from nodeagent.kubelet.sources.registry import PodRegistry
from nodeagent.kubelet.volumes.empty_dir import memory_size

MI = 1 << 20
OWN = {"requests": {"cpu": "1", "memory": "600Mi"}, "limits": {"cpu": "2", "memory": "1000Mi"}}


def pod(*containers: dict[str, Any], own: dict[str, Any] | None = OWN, **spec: Any) -> dict[str, Any]:
    named = [{"name": f"c{position}", **each} for position, each in enumerate(containers)]
    whole = {"containers": named, **spec, **({"resources": own} if own is not None else {})}
    return {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": whole}


def asks(memory: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"memory": memory}}, **more}


def test_the_pods_cgroup_has_its_own_limits() -> None:
    found = qos.pod_limits(pod({}, asks("100Mi")))
    assert (found.cpu_shares, found.cpu_quota, found.memory) == (1024, 200_000, 1000 * MI)
    part = qos.pod_limits(pod({}, own={"requests": {"cpu": "1"}, "limits": {"memory": "1000Mi"}}))
    assert (part.cpu_shares, part.cpu_quota, part.memory) == (1024, 0, 1000 * MI)


def test_a_container_without_limits_has_the_pods() -> None:
    one = {"resources": {"limits": {"cpu": "500m"}}}
    whole = pod(one, {})
    limited, free = (qos.container_limits(each, pod=whole) for each in whole["spec"]["containers"])
    assert (limited.cpu_quota, limited.memory) == (50_000, 1000 * MI)
    assert (free.cpu_quota, free.memory) == (200_000, 1000 * MI)
    assert qos.container_limits(one).memory == 0


@pytest.mark.parametrize(
    ("whole", "scores"),
    [
        (pod({}, asks("200Mi"), own=None), [999, 800]),
        (pod({}, asks("200Mi")), [800, 600]),  # 400Mi that nobody asked for: half of it each
        (pod({}, {}), [700, 700]),
    ],
)
def test_oom_scores_share_what_no_container_asks_for(whole: dict[str, Any], scores: list[int]) -> None:
    assert [qos.oom_score_adj(whole, each, 1000 * MI) for each in whole["spec"]["containers"]] == scores


def test_a_sidecar_is_not_killed_before_those_it_serves() -> None:
    sidecar = asks("10Mi", name="s", restartPolicy="Always")
    whole = pod(asks("300Mi"), asks("200Mi"), own=None, initContainers=[sidecar, asks("10Mi", name="i")])
    assert [qos.oom_score_adj(whole, each, 1000 * MI) for each in whole["spec"]["initContainers"]] == [800, 990]


def test_memory_volumes_are_bounded_by_the_pods_limit() -> None:
    assert memory_size(pod({}), {}, 5000 * MI) == 1000 * MI


def test_a_kubelet_whose_gate_is_closed_does_not_see_them() -> None:
    for opened in (True, False):
        registry = PodRegistry(pod_level_resources=opened)
        seen: list[dict[str, Any]] = []
        registry.update = seen.append
        registry.api_put(pod({}))
        registry.set_static([{**pod({}), "metadata": {"name": "s", "namespace": "n", "uid": "v"}}])
        assert [("resources" in each["spec"]) for each in (*seen, *registry.all())] == [opened] * 4
