"""A verdict that is remembered is the verdict that the rules would give."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api import verdicts
from apimachinery.api.validation.pods import pod, pod_spec
from apimachinery.api.verdicts import Good, digest
from apimachinery.api.warnings.pods import pod_warnings
from apimachinery.meta.paths import Path

Object = dict[str, Any]


def spec(token: str = "kube-api-access-bcdfg", mounted: str = "") -> Object:
    container = {
        "name": "main",
        "image": "nginx",
        "imagePullPolicy": "Always",
        "terminationMessagePolicy": "File",
        "resources": {"requests": {"cpu": "10m"}},
        "volumeMounts": [{"name": mounted or token, "mountPath": "/token", "readOnly": True}],
    }
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    return {
        "containers": [container],
        "volumes": [{"name": token, "projected": {"defaultMode": 420, "sources": [source]}}],
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "serviceAccountName": "default",
        "securityContext": {},
    }


def judged(of: Object) -> list[str]:
    return [str(problem) for problem in pod({"metadata": {"name": "a"}, "spec": of})]


def by_the_rules(of: Object) -> list[str]:
    return [str(problem) for problem in pod_spec(of, Path("spec"), is_pod=True, name="a")]


def test_pods_whose_token_volumes_differ_in_their_random_end_are_one() -> None:
    assert judged(spec("kube-api-access-bcdfg")) == []
    assert digest(spec("kube-api-access-bcdfg")) == digest(spec("kube-api-access-hjklm")) is not None


@pytest.mark.parametrize(
    "other",
    [
        spec(
            "kube-api-access-bcdfg", mounted="kube-api-access-hjklm"
        ),  # another name is not the one that stands for all
        spec(mounted="kube-api-access-bcdf"),
        spec("kube-api-access"),
        {**spec(), "restartPolicy": "always"},
        {**spec(), "terminationGracePeriodSeconds": "30"},
        {**spec(), "priority": 1.0},
        {**spec(), "priority": True},
    ],
)
def test_what_says_something_else_is_judged_anew(other: Object) -> None:
    assert digest(other) != digest(spec())


def test_a_claim_named_after_its_pod_is_not_judged_by_the_spec_alone() -> None:
    assert digest({**spec(), "volumes": [{"name": "a", "ephemeral": {"volumeClaimTemplate": {}}}]}) is None


def test_what_is_no_json_is_judged_every_time() -> None:
    known, good = digest({"priority": 1 << 70}), Good()
    good.remember(known)
    assert known is None
    assert known not in good


def test_no_more_is_remembered_than_promised() -> None:
    good = Good()
    for number in range(3 * verdicts.REMEMBERED_MAX):
        good.remember(digest({"number": number}))
    assert digest({"number": 3 * verdicts.REMEMBERED_MAX - 1}) in good
    assert len(good._digests) <= verdicts.REMEMBERED_MAX


_VALUES = st.sampled_from(["", "main", "A_b", "Always", "kube-api-access-hjklm", "gitRepo", 0, -1, 420, True])
_PLACES = st.sampled_from(
    [
        ("containers", 0, "name"), ("containers", 0, "image"), ("containers", 0, "imagePullPolicy"),
        ("containers", 0, "volumeMounts", 0, "name"), ("containers", 0, "volumeMounts", 0, "mountPath"),
        ("containers", 0, "resources", "requests", "cpu"), ("volumes", 0, "name"), ("restartPolicy",), ("hostname",),
        ("terminationGracePeriodSeconds",), ("serviceAccountName",), ("nodeName",), ("schedulerName",),
    ]
)  # fmt: skip


@given(st.lists(st.tuples(_PLACES, _VALUES), max_size=3))
def test_verdicts_are_those_of_the_rules(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    made = spec()
    for place, value in changes:
        at: Any = made
        for step in place[:-1]:
            at = at[step]
        if isinstance(value, str) or place == ("terminationGracePeriodSeconds",):  # what decoding lets through
            at[place[-1]] = value
    if not isinstance(made["terminationGracePeriodSeconds"], int) or not made["serviceAccountName"]:
        return
    before = deepcopy(made)
    assert judged(made) == by_the_rules(made)
    assert judged(made) == by_the_rules(made)  # from memory, if it was good
    assert made == before


def test_warnings_are_told_every_time() -> None:
    odd = {"spec": {**spec(), "nodeSelector": {"beta.kubernetes.io/os": "linux"}}}
    assert pod_warnings(odd) == pod_warnings(odd) != []
    quiet = {"spec": spec()}
    assert pod_warnings(quiet) == pod_warnings(quiet) == []
    noted = {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}, **quiet}
    assert pod_warnings(noted) != []
