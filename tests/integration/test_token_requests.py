"""Asking for the token of a service account."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from apimachinery.kit.jwt import decode
from tests.integration.process import ControlPlane, wait_until


def test_what_a_token_may_be_bound_to(control_plane: ControlPlane, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    wait_until("the account", lambda: control_plane.request("GET", f"{accounts}/default").code == 200)
    control_plane.kubectl("run", "p", "--image=none", "-n", namespace)
    control_plane.kubectl("create", "serviceaccount", "other", "-n", namespace)

    def ask(account: str = "default", name: str = "", **spec: Any) -> Any:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        if name:
            body["metadata"] = {"name": name}
        return control_plane.request("POST", f"{accounts}/{account}/token", body).json

    pod = {"apiVersion": "v1", "kind": "Pod", "name": "p"}
    made = ask(boundObjectRef=pod, expirationSeconds=3607)
    claims = orjson.loads(decode(made["status"]["token"].split(".")[1]))
    begun, told = (
        datetime.fromisoformat(text)
        for text in (made["metadata"]["creationTimestamp"], made["status"]["expirationTimestamp"])
    )
    assert (told - begun).total_seconds() == 3607 and claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    for refused, message in (
        (
            ask(boundObjectRef={"apiVersion": "v1", "kind": "ConfigMap", "name": "p"}),
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            ask(boundObjectRef={**pod, "apiVersion": "apps/v1"}),
            "cannot bind token to object of type apps/v1, Kind=Pod",
        ),
        (
            ask("other", boundObjectRef={**pod, "uid": "x"}),
            'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.',
        ),
        (
            ask(boundObjectRef={**pod, "uid": "x"}),
            'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (x) does not match the '
            "UID in record. The object might have been deleted and then recreated",
        ),
        (
            ask(name="other"),
            'TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "other": must '
            "match the service account name if specified",
        ),
        (
            ask(expirationSeconds=0),
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 0: may not '
            "specify a duration less than 10 minutes",
        ),
    ):
        assert refused["message"] == message


def test_warnings_of_what_is_below_an_object(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    path, robot = f"/api/v1/namespaces/{namespace}", {"serviceAccountName": "robot"}
    container = {"name": "c", "image": "none"}
    for name in "ab":
        pod = {"metadata": {"name": name}, "spec": {**robot, "schedulerName": "none", "containers": [container]}}
        assert control_plane.request("POST", f"{path}/pods", pod).code == 201
    node = {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": node, "wrong": 1}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}, "wrong": 1}
    for where, body in (
        ("serviceaccounts/robot/token", asked),
        ("pods/a/binding", binding),
        ("bindings", {**binding, "metadata": {"name": "b"}}),
    ):
        answer = control_plane.request("POST", f"{path}/{where}", body)
        assert (answer.code, answer.headers.get("warning")) == (201, '299 - "unknown field \\"wrong\\""'), where


def test_a_body_that_says_another_namespace(control_plane: ControlPlane, namespace: str) -> None:
    path, meta = f"/api/v1/namespaces/{namespace}", {"name": "a", "namespace": "elsewhere"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview", "spec": {"user": "a"}}
    for where, body in (
        (f"{path}/serviceaccounts/a/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}),
        (f"{path}/pods/a/binding", {"apiVersion": "v1", "kind": "Binding", "target": {"name": "n"}}),
        (f"{path}/bindings", {"apiVersion": "v1", "kind": "Binding", "target": {"name": "n"}}),
        (f"{path}/pods/a/eviction", {"apiVersion": "policy/v1", "kind": "Eviction"}),
        (f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews", review),
    ):
        answer = control_plane.request("POST", where, {**body, "metadata": meta})
        told = "the namespace of the provided object does not match the namespace sent on the request"
        assert (answer.code, answer.json["message"]) == (400, told), where
