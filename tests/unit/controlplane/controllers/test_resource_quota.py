"""The quota controller's arithmetic."""

from controlplane.controllers.resource_quota import compute_usage, limiting, lowers, plan_status
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, pod


def quota(hard, status=None, **spec):
    return {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard, **spec}, "status": status or {}}


def test_usage_is_the_sum_of_what_matches():
    pods = [pod("a", phase="Running"), pod("b", phase="Succeeded"), pod("c", phase="Running", activeDeadlineSeconds=5)]
    content = {("", "pods"): pods, ("", "secrets"): [{}, {}]}
    hard = {"pods": "5", "count/pods": "9", "secrets": "3", "count/deployments.apps": "1"}
    found = {name: str(amount) for name, amount in compute_usage(quota(hard), content, NOW).items()}
    assert found == {"pods": "2", "count/pods": "3", "secrets": "2", "count/deployments.apps": "0"}
    scoped = quota({"pods": "5"}, scopes=["Terminating"])
    assert str(compute_usage(scoped, content, NOW)["pods"]) == "1"


def test_the_status_says_what_is_limited_and_used():
    usage = compute_usage(quota({"pods": "5"}), {("", "pods"): [pod("a", phase="Running")]}, NOW)
    wanted = {"hard": {"pods": "5"}, "used": {"pods": "1"}}
    assert plan_status(quota({"pods": "5"}), usage) == wanted
    assert plan_status(quota({"pods": "5"}, wanted), usage) is None
    old = {"hard": {"pods": "5", "secrets": "1"}, "used": {"pods": "1", "secrets": "1"}}
    assert plan_status(quota({"pods": "5"}, old), usage) == wanted, "what is limited no longer goes"


def test_a_lower_usage_is_told_apart():
    before = quota({"pods": "5"}, {"hard": {"pods": "5"}, "used": {"pods": "2"}})
    assert lowers(before, {"used": {"pods": "1"}})
    assert not lowers(before, {"used": {"pods": "2"}}) and not lowers(before, {"used": {"pods": "3"}})


def test_a_part_of_a_quota():
    whole = quota({"pods": "5", "requests.cpu": "1", "count/pods": "9", "secrets": "3", "count/jobs.batch": "1"})
    part = limiting(whole, [("", "pods")])
    assert part["spec"]["hard"] == {"pods": "5", "requests.cpu": "1", "count/pods": "9"}
    assert part["metadata"] == whole["metadata"] and len(whole["spec"]["hard"]) == 5
