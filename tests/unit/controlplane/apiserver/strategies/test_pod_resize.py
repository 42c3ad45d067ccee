"""pods/resize: what of a write counts."""

from __future__ import annotations

from copy import deepcopy

from controlplane.apiserver.strategies.pod_resize import prepare_resize, settle_resize_policies

OLD = {
    "metadata": {"name": "p", "resourceVersion": "7", "labels": {"a": "b"}},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
    "status": {"phase": "Running"},
}


def test_only_resources_are_taken_and_proposed() -> None:
    new, before = deepcopy(OLD), deepcopy(OLD)
    new["metadata"] |= {"labels": {}, "resourceVersion": "7"}
    new["spec"] = {"nodeName": "other", "containers": [
        {"name": "c", "image": "evil", "resources": {"requests": {"cpu": "2"}}}, {"name": "more", "image": "x"},
    ]}  # fmt: skip
    prepare_resize(new, OLD)
    wanted = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}
    assert new["spec"] == {"nodeName": "n", "containers": [wanted]} and new["metadata"]["labels"] == {"a": "b"}
    assert new["status"] == {"phase": "Running", "resize": "Proposed"} and before == OLD


def test_the_same_in_other_words_is_no_resize() -> None:
    new = deepcopy(OLD)
    prepare_resize(new, OLD)
    assert new == OLD


def test_policies_of_a_new_pod() -> None:
    said = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    containers = [
        {"name": "a", "resources": {"limits": {"memory": "1Mi", "cpu": "1"}}, "resizePolicy": said},
        {"name": "b"},
    ]
    settle_resize_policies({"spec": {"containers": containers}})
    assert containers[0]["resizePolicy"] == [*said, {"resourceName": "cpu", "restartPolicy": "NotRequired"}]
    assert "resizePolicy" not in containers[1]
