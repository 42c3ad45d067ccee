"""ABAC: policies, one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.config import ConfigError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.abac import ABACAuthorizer, load
from controlplane.apiserver.authz.attributes import Attributes, Decision

JANE = User("jane", groups=("devs", "system:authenticated"))
HEAD = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
EVERYWHERE = {"apiGroup": "*", "resource": "*", "namespace": "*"}


def pods(verb: str = "get", namespace: str = "a", group: str = "", user: User = JANE) -> Attributes:
    return Attributes(user, verb, group, "v1", "pods", "", namespace)


def path(text: str) -> Attributes:
    return Attributes(JANE, "get", path=text)


def authorizer(directory: Path, *lines: Any) -> ABACAuthorizer:
    file = directory / "policies"
    file.write_bytes(b"\n".join(each if isinstance(each, bytes) else orjson.dumps(each) for each in lines))
    return ABACAuthorizer(load(file))


@pytest.mark.parametrize(
    ("spec", "asked", "allowed"),
    [
        ({"user": "jane", **EVERYWHERE}, pods("delete", group="apps"), True),
        ({"user": "joe", **EVERYWHERE}, pods(), False),
        ({"group": "devs", **EVERYWHERE}, pods(), True),
        ({"user": "jane", "group": "ops", **EVERYWHERE}, pods(), False),
        (EVERYWHERE, pods(), False),
        ({"user": "*", **EVERYWHERE}, pods(), True),
        ({"user": "*", **EVERYWHERE}, pods(user=User("joe", groups=("system:unauthenticated",))), False),
        ({"user": "jane", "readonly": True, **EVERYWHERE}, pods("watch"), True),
        ({"user": "jane", "readonly": True, **EVERYWHERE}, pods("create"), False),
        ({"user": "jane", "resource": "pods", "namespace": "a"}, pods(), True),
        ({"user": "jane", "resource": "pods", "namespace": "a"}, pods(group="apps"), False),
        ({"user": "jane", "resource": "pods", "namespace": "a"}, pods(namespace="b"), False),
        ({"user": "jane", "resource": "nodes", "namespace": "*"}, pods(), False),
        ({"user": "jane", **EVERYWHERE}, path("/version"), False),
        ({"user": "jane", "nonResourcePath": "*"}, path("/version"), True),
        ({"user": "jane", "nonResourcePath": "/healthz/*"}, path("/healthz/etcd"), True),
        ({"user": "jane", "nonResourcePath": "/healthz"}, path("/healthz/etcd"), False),
        ({"user": "jane", "nonResourcePath": "*"}, pods(), False),
    ],
)
async def test_what_a_policy_allows(tmp_path: Path, spec: Any, asked: Attributes, allowed: bool) -> None:
    decision, reason = await authorizer(tmp_path, {**HEAD, "spec": spec}).authorize(asked)
    assert decision is (Decision.ALLOW if allowed else Decision.NO_OPINION)
    assert reason == ("" if allowed else "No policy matched.")


@pytest.mark.parametrize(
    ("line", "asked", "allowed"),
    [
        ({}, pods("delete", group="apps"), True),
        ({}, path("/version"), True),
        ({"user": "jane", "resource": "pods"}, pods(namespace="b"), True),
        ({"user": "jane", "resource": "pods"}, path("/version"), False),
        ({"group": "*", "namespace": "b", "readonly": True}, pods(namespace="b"), True),
        ({"user": "joe"}, pods(), False),
    ],
)
async def test_lines_without_a_version(tmp_path: Path, line: Any, asked: Attributes, allowed: bool) -> None:
    decision, _ = await authorizer(tmp_path, b"# all", b"  ", line).authorize(asked)
    assert (decision is Decision.ALLOW) is allowed


def test_the_rules_that_somebody_has(tmp_path: Path) -> None:
    found = authorizer(
        tmp_path,
        {**HEAD, "spec": {"user": "jane", "readonly": True, "resource": "pods", "namespace": "a"}},
        {**HEAD, "spec": {"group": "devs", "nonResourcePath": "/metrics", "namespace": "*"}},
        {**HEAD, "spec": {"user": "joe", **EVERYWHERE}},
    )
    reads = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]}
    metrics = {"verbs": ["*"], "nonResourceURLs": ["/metrics"]}
    assert list(found.rules_for(JANE, "a")) == [reads, metrics]
    assert list(found.rules_for(JANE, "b")) == [metrics]


def test_every_wrong_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        authorizer(
            tmp_path,
            b"# nothing",
            b"{",
            {**HEAD, "kind": "Rule"},
            {**HEAD, "spec": {"user": 1, "odd": 2}},
            {"readonly": "yes"},
            b"[]",
        )
    where = f"error reading policy file {tmp_path}/policies, line "
    told = [problem.removeprefix(where) for problem in wrong.value.problems]
    assert [each[0] for each in told] == ["2", "3", "4", "5", "6"]
    for problem, part in zip(
        told,
        (
            "{: couldn't get version/kind; json parse error: ",
            'no kind "Rule" is registered for version "abac.authorization.kubernetes.io/v1beta1"',
            "json: cannot unmarshal number into Go struct field PolicySpec.spec.user of type string",
            "json: cannot unmarshal string into Go struct field Policy.readonly of type bool",
            "not an object",
        ),
        strict=True,
    ):
        assert part in problem
