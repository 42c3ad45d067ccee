"""--authorization-config: what it may say, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.kit.config import ConfigError
from controlplane.apiserver.authz.configuration import AuthorizerSettings, WebhookSettings, parse

RBAC = {"type": "RBAC", "name": "rbac"}


def written(*authorizers: Any, version: str = "v1", **more: Any) -> bytes:
    head = {"apiVersion": f"apiserver.config.k8s.io/{version}", "kind": "AuthorizationConfiguration"}
    return orjson.dumps({**head, "authorizers": list(authorizers), **more})


def webhook(name: str = "hook.example.com", **changed: Any) -> Any:
    """A good one; a field that is changed to None is left out."""
    settings = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/etc/passwd"},
        **changed,
    }
    return {"type": "Webhook", "name": name, "webhook": {k: v for k, v in settings.items() if v is not None}}


def problems(text: bytes, *required: str) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        parse(text, required)
    return wrong.value.problems


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_what_it_means(version: str) -> None:
    condition = {"expression": "has(request.resourceAttributes)"}
    own = webhook(authorizedTTL="1h", unauthorizedTTL="1m30s", failurePolicy="NoOpinion", matchConditions=[condition])
    node = {"type": "Node", "name": "node"}
    assert parse(written(own, node, RBAC, webhook("b"), version=version), ["RBAC", "Node"]) == (
        AuthorizerSettings(
            "Webhook",
            "hook.example.com",
            WebhookSettings(Path("/etc/passwd"), "v1", 3600.0, 90.0, 3.0, False, (condition["expression"],)),
        ),
        AuthorizerSettings("Node", "node"),
        AuthorizerSettings("RBAC", "rbac"),
        AuthorizerSettings("Webhook", "b", WebhookSettings(Path("/etc/passwd"), "v1", 300.0, 30.0, 3.0, True)),
    )


def test_yaml() -> None:
    text = b"""
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: AlwaysAllow
  name: alwaysallow
"""
    assert parse(text) == (AuthorizerSettings("AlwaysAllow", "alwaysallow"),)


@pytest.mark.parametrize(
    ("authorizers", "told"),
    [
        ([], ["authorizers: Required value: at least one authorization mode must be defined"]),
        ([{"name": "a"}], ["authorizers[0].type: Required value"]),
        (
            [{"type": "Magic", "name": "a"}],
            [
                'authorizers[0].type: Unsupported value: "Magic": supported values: "ABAC", "AlwaysAllow", '
                '"AlwaysDeny", "Node", "RBAC", "Webhook"'
            ],
        ),
        ([RBAC, RBAC], ['authorizers[1].type: Duplicate value: "RBAC"']),
        ([{"type": "RBAC"}], ["authorizers[0].name: Required value"]),
        ([{"type": "RBAC", "name": "own"}], ["expected name rbac for authorizer RBAC instead of own"]),
        (
            [{**RBAC, "webhook": {}}],
            ['authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook'],
        ),
        ([webhook("a"), webhook("a")], ['authorizers[1].name: Duplicate value: "a"']),
        ([{"type": "Webhook", "name": "a"}], ["authorizers[0].webhook: Required value: required when type=Webhook"]),
    ],
)
def test_authorizers(authorizers: list[Any], told: list[str]) -> None:
    assert problems(written(*authorizers)) == told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"timeout": None}, ["authorizers[0].timeout: Required value"]),
        ({"timeout": "31s"}, ['authorizers[0].timeout: Invalid value: "31s": must be > 0s and <= 30s']),
        ({"timeout": "-1s"}, ['authorizers[0].timeout: Invalid value: "-1s": must be > 0s and <= 30s']),
        ({"authorizedTTL": "-5m"}, ['authorizers[0].authorizedTTL: Invalid value: "-5m0s": must be > 0s']),
        ({"unauthorizedTTL": "-1s"}, ['authorizers[0].unauthorizedTTL: Invalid value: "-1s": must be > 0s']),
        ({"subjectAccessReviewVersion": None}, ["authorizers[0].subjectAccessReviewVersion: Required value"]),
        (
            {"subjectAccessReviewVersion": "v2"},
            [
                'authorizers[0].subjectAccessReviewVersion: Unsupported value: "v2": supported values: "v1", "v1beta1"',
            ],
        ),
        ({"matchConditionSubjectAccessReviewVersion": None}, []),
        (
            {"matchConditionSubjectAccessReviewVersion": None, "matchConditions": [{"expression": "true"}]},
            [
                "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions "
                "are specified"
            ],
        ),
        (
            {"matchConditionSubjectAccessReviewVersion": "v1beta1"},
            [
                'authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: "v1beta1": '
                'supported values: "v1"'
            ],
        ),
        ({"failurePolicy": None}, ["authorizers[0].failurePolicy: Required value"]),
        (
            {"failurePolicy": "Fail"},
            ['authorizers[0].failurePolicy: Unsupported value: "Fail": supported values: "NoOpinion", "Deny"'],
        ),
        ({"connectionInfo": None}, ["authorizers[0].connectionInfo.type: Required value"]),
        (
            {"connectionInfo": {"type": "Phone"}},
            [
                'authorizers[0].connectionInfo.type: Unsupported value: "Phone": supported values: "InClusterConfig", '
                '"KubeConfigFile"'
            ],
        ),
        (
            {"connectionInfo": {"type": "InClusterConfig", "kubeConfigFile": "/x"}},
            [
                'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/x": can only be set when '
                "type=KubeConfigFile",
                'authorizers[0].connectionInfo.type: Invalid value: "InClusterConfig": not allowed for kube-apiserver',
            ],
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile"}},
            ["authorizers[0].connectionInfo.kubeConfigFile: Required value"],
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "a/b"}},
            ['authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "a/b": must be an absolute path'],
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/none"}},
            [
                'authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/none": error loading file: stat /none: '
                "no such file or directory"
            ],
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/"}},
            ['authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "/": must be a regular file'],
        ),
        (
            {"matchConditions": [{"expression": " "}, {"expression": "true"}, {"expression": "true"}]},
            [
                "authorizers[0].matchConditions[0].expression: Required value",
                'authorizers[0].matchConditions[2].expression: Duplicate value: "true"',
            ],
        ),
        (
            {"matchConditions": [{"expression": "request.user"}, {"expression": "request.nobody"}]},
            [
                'authorizers[0].matchConditions[0].expression: Invalid value: "request.user": must evaluate to bool '
                "but got string",
                'authorizers[0].matchConditions[1].expression: Invalid value: "request.nobody": compilation failed: '
                "ERROR: <input>:1:8: undefined field 'nobody'\n | request.nobody\n | .......^",
            ],
        ),
        (
            {"matchConditions": [{"expression": f"{number} == 1"} for number in range(65)]},
            ["authorizers[0].matchConditions: Too many: 65: must have at most 64 items"],
        ),
    ],
)
def test_webhooks(changed: Any, told: list[str]) -> None:
    text = written(webhook(**changed))
    if told:
        assert problems(text) == told
    else:
        assert parse(text)


def test_an_empty_file() -> None:
    assert problems(b"") == ["authorizers: Required value: at least one authorization mode must be defined"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{}", "Object 'Kind' is missing in '{}'"),
        (b"kind: A", "Object 'apiVersion' is missing in 'kind: A'"),
        (b"{kind: A, apiVersion: b/v1}", 'no kind "A" is registered for version "b/v1"'),
        (written(version="v2"), "no kind"),
        (b"[]", "json: cannot unmarshal array into Go value of type AuthorizationConfiguration"),
        (b"a: [", "yaml: line 1: did not find expected node content"),
        (written({"type": 1, "name": "a"}), "cannot unmarshal number into Go struct field AuthorizerConfiguration."),
        (written(7), "json: cannot unmarshal number into Go struct field AuthorizationConfiguration.authorizers of "),
        (written(webhook(timeout=3)), "json: cannot unmarshal number into Go value of type string"),
        (written(webhook(timeout="3")), 'time: missing unit in duration "3"'),
        (written(RBAC, authors=1), 'strict decoding error: unknown field "authors"'),
        (written(webhook(cert="x")), 'strict decoding error: unknown field "authorizers[0].webhook.cert"'),
        (written(RBAC)[:-1] + b',"kind":"AuthorizationConfiguration"}', 'key "kind" already set in map'),
    ],
)
def test_what_cannot_be_read(text: bytes, told: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("failed to load AuthorizationConfiguration from file: ") and told in problem


def test_everything_at_once() -> None:
    found = problems(written({"type": "Magic"}, {"type": "RBAC", "name": "x", "odd": 1}, webhook(timeout="1m")), "Node")
    assert len(found) == 5 and "odd" in found[0] and found[-1] == "missing required types: [Node]"
    found = problems(written({"type": 1, "odd": 1}, webhook(timeout="a")))
    assert len(found) == 3, "what is no string is not missing too"
