"""Webhooks that know tokens and decide about requests, as a real HTTPS server beside the API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.reviewer import Reviewer

PODS = "/api/v1/namespaces/default/pods"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@pytest.fixture
def reviewer(tmp_path: Path) -> Iterator[Reviewer]:
    with Reviewer(tmp_path).serving() as made:
        yield made


@pytest.fixture
def server(reviewer: Reviewer, tmp_path: Path) -> Iterator[ApiServer]:
    file = reviewer.kubeconfig(tmp_path / "webhook.kubeconfig")
    found = ApiServer(
        tmp_path / "data",
        "sqlite",
        "--authorization-mode=Node,RBAC,Webhook",
        f"--authorization-webhook-config-file={file}",
        "--authorization-webhook-version=v1",
        "--authorization-webhook-cache-unauthorized-ttl=0s",
        f"--authentication-token-webhook-config-file={file}",
        "--authentication-token-webhook-cache-ttl=1h",
    )
    found.start()
    yield found
    found.stop()


def as_user(server: ApiServer, token: str, path: str = PODS) -> Any:
    return server.request("GET", path, headers={"Authorization": f"Bearer {token}"}, anonymous=True)


def test_a_token_and_a_verdict(server: ApiServer, reviewer: Reviewer) -> None:
    jane = {"username": "jane", "uid": "7", "groups": ["devs"], "extra": {"team": ["a"]}}
    reviewer.people = {
        "good": {"authenticated": True, "user": jane},
        "elsewhere": {"authenticated": True, "user": jane, "audiences": ["vault"]},
    }
    refused = as_user(server, "good")
    assert refused.code == 403 and 'User "jane" cannot list resource "pods"' in refused.json["message"]
    asked = reviewer.of("TokenReview")
    assert [each["apiVersion"] for each in asked] == ["authentication.k8s.io/v1beta1"]
    assert asked[0]["spec"]["token"] == "good" and len(asked[0]["spec"]["audiences"]) == 1
    about = reviewer.of("SubjectAccessReview")[-1]
    assert about["apiVersion"] == "authorization.k8s.io/v1"
    assert about["spec"] == {
        "resourceAttributes": {"namespace": "default", "verb": "list", "version": "v1", "resource": "pods"},
        "user": "jane",
        "uid": "7",
        "groups": ["devs", "system:authenticated"],
        "extra": {"team": ["a"]},
    }
    reviewer.verdict = {"jane": {"allowed": False, "denied": True, "reason": "not on Sundays"}}
    assert as_user(server, "good").json["message"].endswith('in the namespace "default": not on Sundays')
    reviewer.verdict = {"jane": {"allowed": True}}
    assert as_user(server, "good", f"{PODS}?labelSelector=a%3Db").code == 200
    assert reviewer.of("SubjectAccessReview")[-1]["spec"]["resourceAttributes"]["labelSelector"] == {
        "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]
    }
    before = len(reviewer.asked)
    assert as_user(server, "good", f"{PODS}?labelSelector=a%3Db").code == 200
    assert len(reviewer.asked) == before, "what was allowed is remembered, and the token too"
    assert as_user(server, "bad").code == as_user(server, "elsewhere").code == 401
    assert server.request("GET", PODS).code == 200, "the administrator is asked of nobody"
    rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    told = server.request("POST", rules, {"spec": {"namespace": "default"}}).json["status"]
    assert told["incomplete"] and told["evaluationError"] == (
        "webhook authorizer does not support user rule resolution"
    )


def test_a_webhook_that_fails(server: ApiServer, reviewer: Reviewer) -> None:
    reviewer.people = {"good": {"authenticated": True, "user": {"username": "jane"}}}
    assert as_user(server, "good").code == 403
    reviewer.code = 403
    assert as_user(server, "unknown").code == 401
    assert as_user(server, "good").code == 500, "neither yes nor no"
    asked = {"spec": {"user": "joe", "nonResourceAttributes": {"verb": "get", "path": "/secret"}}}
    told = server.request("POST", ACCESS, asked).json["status"]
    assert told["allowed"] is False and told["evaluationError"]
    reviewer.code = 200
    reviewer.verdict = {"joe": {"allowed": True, "denied": True}}
    assert server.request("POST", ACCESS, asked).json["status"] == {
        "allowed": False,
        "denied": True,
        "evaluationError": "webhook subject access review returned both allow and deny response",
    }
    assert as_user(server, "good", "/healthz").code == 200, "what RBAC allows needs no webhook"
