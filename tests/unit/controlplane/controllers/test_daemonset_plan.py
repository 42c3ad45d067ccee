"""Where daemon pods run, and how an update walks over the nodes."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.api.catalogue import DAEMONSETS
from apimachinery.meta.node_selector import RequiredNodes
from controlplane.controllers import daemonset_plan as plan
from controlplane.controllers.daemonset_backoff import FailureBackoff
from controlplane.controllers.revisions import HASH_LABEL, find_equal, plan_history, render_revision
from tests.unit.controlplane.controllers.objects_for_controllers import NOW, node, pod, template

Object = dict[str, Any]


def daemon_set(**spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ds", "namespace": "default", "uid": "uid-ds", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec},
    }


def rolling(surge: int | str = 0, unavailable: int | str = 1) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def with_template(**spec: Any) -> Object:
    body = template()
    body["spec"].update(spec)
    return daemon_set(template=body)


def taint(key: str, effect: str) -> list[Object]:
    return [{"key": key, "effect": effect}]


@pytest.mark.parametrize(
    ("subject", "where", "expected"),
    [
        pytest.param(daemon_set(), node("n1"), (True, True), id="anywhere"),
        pytest.param(daemon_set(), node("n1", taints=taint("a", "NoSchedule")), (False, True), id="stays, not placed"),
        pytest.param(daemon_set(), node("n1", taints=taint("a", "NoExecute")), (False, False), id="evicted"),
        pytest.param(
            daemon_set(),
            node("n1", taints=taint("node.kubernetes.io/unreachable", "NoExecute")),
            (True, True),
            id="dead",
        ),
        pytest.param(
            daemon_set(), node("n1", taints=taint("node.kubernetes.io/unschedulable", "NoSchedule")), (True, True),
            id="cordoned",
        ),
        pytest.param(with_template(nodeSelector={"gpu": "yes"}), node("n1"), (False, False), id="selector"),
        pytest.param(with_template(nodeName="n2"), node("n1"), (False, False), id="another node named"),
    ],
)  # fmt: skip
def test_placement(subject: Object, where: Object, expected: tuple[bool, bool]) -> None:
    assert plan.placement(subject, where) == expected


def test_a_daemon_pod_is_pinned_to_its_node() -> None:
    made = plan.render_daemon_pod(daemon_set(), "n1", "abc")
    assert RequiredNodes(made["spec"]).names == {"n1"}
    assert made["metadata"]["labels"][HASH_LABEL] == "abc"
    assert plan.target_node(made) == "n1"
    assert {t["key"] for t in made["spec"]["tolerations"]} >= {"node.kubernetes.io/not-ready"}


@pytest.mark.parametrize(
    ("annotation", "label"), [(None, None), ("3", "3"), ("007", "7"), ("x", None), ("", None), ("9" * 5000, None)]
)
def test_pods_bear_the_number_of_their_template(annotation: str | None, label: str | None) -> None:
    owner = daemon_set()
    if annotation is not None:
        owner["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": annotation}
    assert plan.render_daemon_pod(owner, "n1", "abc")["metadata"]["labels"].get(plan.GENERATION_LABEL) == label


def test_pods_follow_nodes() -> None:
    nodes = [node("n1"), node("n2"), node("n3", taints=taint("a", "NoExecute")), node("n4")]
    owned = [
        pod("one", node="n1", age=100), pod("double", node="n1", age=10),
        pod("unwanted", node="n3"), pod("broken", node="n2", phase="Failed"),
        pod("ended", node="n4", phase="Succeeded"),
    ]  # fmt: skip
    found = plan.plan_pods(daemon_set(), nodes, owned, "new", NOW)
    assert found.create == ()
    assert {p["metadata"]["name"] for p in found.delete} == {"double", "unwanted", "broken", "ended"}
    assert [p["metadata"]["name"] for p in found.failed] == ["broken"]
    assert plan.plan_pods(daemon_set(), [*nodes, node("n5")], owned, "new", NOW).create == ("n5",)


def test_a_pod_that_is_only_kept_is_not_waited_for() -> None:
    """A finalizer keeps what has ended and is deleted. What is meant for no node is left to its scheduler."""
    kept = pod("kept", node="n1", phase="Failed", deleting=True)
    found = plan.plan_pods(daemon_set(), [node("n1")], [kept, pod("adopted", node="")], "new", NOW)
    assert (found.create, found.delete) == (("n1",), ())
    going = pod("going", node="n1", deleting=True)
    assert plan.plan_pods(daemon_set(), [node("n1")], [going], "new", NOW).create == ()
    surging = daemon_set(updateStrategy=rolling(1, 0))
    assert plan.plan_pods(surging, [node("n1")], [going], "new", NOW).create == ("n1",)


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        pytest.param({"ready": True}, {}, set(), id="side by side"),
        pytest.param({}, {}, {"old"}, id="the old one is not ready"),
        pytest.param({"ready": True}, {"ready": True, "ready_for": 59}, set(), id="not yet available"),
        pytest.param({"ready": True}, {"ready": True, "ready_for": 60}, {"old"}, id="available"),
    ],
)
def test_side_by_side_with_surge(old: Object, new: Object, gone: set[str]) -> None:
    owned = [
        pod("old", labels={HASH_LABEL: "old"}, age=100, **old), pod("older", labels={HASH_LABEL: "old"}, age=99),
        pod("new", labels={HASH_LABEL: "new"}, age=50, **new), pod("newer", labels={HASH_LABEL: "new"}, age=49),
    ]  # fmt: skip
    subject = daemon_set(updateStrategy=rolling(1, 0), minReadySeconds=60)
    found = plan.plan_pods(subject, [node("n1")], owned, "new", NOW)
    assert {p["metadata"]["name"] for p in found.delete} == {"older", "newer"} | gone


def test_a_limit_of_a_daemons_own_tolerations_is_taken_off() -> None:
    limited = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    other = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 5}
    found = plan.tolerations({"tolerations": [{**limited, "tolerationSeconds": 30}, other]})
    assert found[:2] == [limited, other]
    assert found.count(limited) == 1


def test_pods_that_keep_failing_are_replaced_ever_more_slowly() -> None:
    backoff, now, waits = FailureBackoff(), 1000.0, []
    for _ in range(12):
        assert backoff.may_retry("n1", now)
        assert not backoff.may_retry("n1", now)
        waits.append(backoff.left("n1", now))
        now += waits[-1]
    assert waits == [*(2.0**each for each in range(10)), 900.0, 900.0]
    assert backoff.may_retry("n2", now), "another node's or generation's"
    assert backoff.may_retry("n1", now + 901) and backoff.left("n1", now + 901) == 1.0, "the quiet is long enough"


def old_and_new(old: str, new: str = "") -> list[Object]:
    return [pod(f"p-{n}", node=n, ready=True, labels={"app": "web", HASH_LABEL: "old"}) for n in old.split()] + [
        pod(f"q-{n}", node=n, ready=True, labels={"app": "web", HASH_LABEL: "new"}) for n in new.split()
    ]


@pytest.mark.parametrize(
    ("strategy", "owned", "create", "delete"),
    [
        pytest.param(rolling(), old_and_new("n1 n2 n3"), 0, 1, id="one at a time"),
        pytest.param(rolling(0, "50%"), old_and_new("n1 n2 n3"), 0, 2, id="half of three rounds up"),
        pytest.param(rolling(), old_and_new("n2 n3"), 0, 0, id="one is missing already"),
        pytest.param(rolling(), old_and_new("n2 n3", "n1"), 0, 1, id="the next"),
        pytest.param(rolling(1, 0), old_and_new("n1 n2 n3"), 1, 0, id="surge starts a new one first"),
        pytest.param(rolling(1, 0), old_and_new("n1 n2 n3", "n1"), 1, 1, id="then removes the old one"),
        pytest.param(rolling(), old_and_new("", "n1 n2 n3"), 0, 0, id="done"),
    ],
)
def test_rolling_update(strategy: Object, owned: list[Object], create: int, delete: int) -> None:
    nodes = [node("n1"), node("n2"), node("n3")]
    step = plan.plan_rolling(daemon_set(updateStrategy=strategy), nodes, owned, "new", NOW)
    assert (len(step.create), len(step.delete)) == (create, delete)


@pytest.mark.parametrize(
    ("strategy", "owned", "create", "delete"),
    [
        pytest.param(rolling(1), old_and_new("n1", "n2 n3"), (), ["p-n1"], id="is exchanged as elsewhere"),
        pytest.param(rolling(1), [*old_and_new("n1", "n2"), pod("q-n3", node="n3", labels={HASH_LABEL: "new"})], (), [],
                     id="counts as elsewhere"),
        pytest.param(rolling(1), [*old_and_new("", "n2 n3"), pod("p-n1", node="n1")], (), ["p-n1"], id="not available"),
        pytest.param(rolling(1, 0), old_and_new("n1", "n2 n3"), (), ["p-n1"], id="surge: as many serve as should"),
        pytest.param(rolling(1, 0), old_and_new("n1 n2", "n3"), ("n2",), ["p-n1"], id="surge: none is started there"),
        pytest.param(rolling(1, 0), old_and_new("n1", "n2"), (), [], id="surge: too few serve elsewhere"),
        pytest.param(rolling(1, 0), [*old_and_new("", "n2"), pod("p-n1", node="n1")], (), ["p-n1"],
                     id="surge: not available"),
    ],
)  # fmt: skip
def test_an_old_pod_that_may_only_stay_goes_with_an_update(
    strategy: Object, owned: list[Object], create: tuple[str, ...], delete: list[str]
) -> None:
    nodes = [node("n1", taints=taint("a", "NoSchedule")), node("n2"), node("n3")]
    step = plan.plan_rolling(daemon_set(updateStrategy=strategy), nodes, owned, "new", NOW)
    assert (step.create, [each["metadata"]["name"] for each in step.delete]) == (create, delete)


def test_status() -> None:
    nodes = [node("n1"), node("n2"), node("n3", taints=taint("a", "NoSchedule"))]
    owned = [pod("a", node="n1", ready=True, labels={HASH_LABEL: "new"}), pod("b", node="n3")]
    assert plan.compute_status(daemon_set(), nodes, owned, "new", NOW) == {
        "currentNumberScheduled": 1, "numberMisscheduled": 1, "desiredNumberScheduled": 2, "numberReady": 1,
        "updatedNumberScheduled": 1, "numberAvailable": 1, "numberUnavailable": 1, "observedGeneration": 1,
    }  # fmt: skip


def test_the_old_pod_speaks_for_its_node_as_long_as_it_is_there() -> None:
    owned = [
        pod("old", node="n1", ready=True, labels={HASH_LABEL: "old"}, age=100),
        pod("new", node="n1", labels={HASH_LABEL: "new"}, age=10),
    ]
    status = plan.compute_status(daemon_set(updateStrategy=rolling(1, 0)), [node("n1")], owned, "new", NOW)
    assert (status["numberReady"], status["numberAvailable"]) == (1, 1)
    assert "updatedNumberScheduled" not in status and "numberUnavailable" not in status


def test_revisions_remember_templates() -> None:
    first = render_revision(daemon_set(), DAEMONSETS, 1)
    second = render_revision(daemon_set(template=template("v2")), DAEMONSETS, 2)
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert find_equal(daemon_set(), [second, first]) == [first]
    revisions = [{"metadata": {"name": f"r{i}"}, "revision": i} for i in (3, 1, 2)]
    assert [r["metadata"]["name"] for r in plan_history(revisions, ["r1"], 1)] == ["r2"]
