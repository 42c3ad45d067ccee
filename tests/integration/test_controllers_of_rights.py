"""Aggregated ClusterRoles, the signatures of cluster-info and the end of bootstrap tokens: the real controllers and API
server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.api.catalogue import (
    CERTIFICATESIGNINGREQUESTS,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    CONFIGMAPS,
    PODS,
    SECRETS,
    SERVICEACCOUNTS,
)
from apimachinery.client.accounts import Accounts
from apimachinery.client.rest import Client
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.kit.trace import Trace
from apimachinery.meta import objects, times
from controlplane.controllers.bootstrap_signer import signature
from controlplane.controllers.certificates import approver, request
from controlplane.controllers.context import Context
from controlplane.controllers.legacy_token_cleaner import INVALID_SINCE, NAME, TRACKING
from controlplane.controllers.wire import run_controllers
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import gone

Object = dict[str, Any]

NAMES = ("clusterrole-aggregation-controller", "bootstrap-signer-controller", "token-cleaner-controller")
INFO = "apiVersion: v1\nkind: Config\n"


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Simulation]:
    """A cluster without controllers."""
    async with simulated_cluster(tmp_path / "data", controllers=False, scheduler=False) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def controllers(cluster: Simulation, *names: str, **changes: Any) -> AsyncIterator[None]:
    config = dataclasses.replace(cluster.controllers, controllers=names, **changes)
    async with (
        Client(config.client, "kube-controller-manager") as client,
        Accounts(client, "kube-controller-manager", lambda: True, SystemClock()) as accounts,
    ):
        context = Context(client, config, SystemClock(), accounts)
        running = asyncio.create_task(run_controllers(context, GlassBox(Trace("kube-controller-manager"))))
        try:
            yield
        finally:
            await cancel_and_wait(running)


@pytest.fixture
async def cluster(idle: Simulation) -> AsyncIterator[Simulation]:
    async with controllers(idle, *NAMES):
        yield idle


async def test_a_role_holds_the_rules_of_those_that_its_selector_finds(cluster: Simulation) -> None:
    def role(name: str, verb: str, **labels: str) -> Object:
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}
        return {"metadata": {"name": name, "labels": labels}, "rules": [rule]}

    selector = {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}
    await cluster.client.create(CLUSTERROLES, {"metadata": {"name": "all"}, "aggregationRule": selector})
    await cluster.client.create(CLUSTERROLES, role("a", "get", to="all"))
    await cluster.client.create(CLUSTERROLES, role("b", "list", to="all"))
    await cluster.client.create(CLUSTERROLES, role("c", "delete"))

    async def holds(*verbs: str) -> bool:
        found = await cluster.client.get(CLUSTERROLES, "all")
        return [each["verbs"] for each in found.get("rules") or ()] == [[verb] for verb in verbs]

    await cluster.eventually(lambda: holds("get", "list"), "the rules of two roles")
    await cluster.client.delete(CLUSTERROLES, "a")
    await cluster.eventually(lambda: holds("list"), "the rules of the one that is left")


async def test_a_bootstrap_token_signs_and_goes(cluster: Simulation) -> None:
    def token(identity: str, lives: timedelta) -> Object:
        plain = {
            "token-id": identity,
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-signing": "true",
            "expiration": times.rfc3339(SystemClock().now() + lives),
        }
        data = {key: b64encode(value.encode()).decode() for key, value in plain.items()}
        return {
            "metadata": {"name": f"bootstrap-token-{identity}"},
            "type": "bootstrap.kubernetes.io/token",
            "data": data,
        }

    await cluster.client.create(
        CONFIGMAPS, {"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": INFO}}, "kube-public"
    )
    await cluster.client.create(SECRETS, token("abcdef", timedelta(hours=1)), "kube-system")

    async def signed_by(*identities: str) -> bool:
        data = (await cluster.client.get(CONFIGMAPS, "cluster-info", "kube-public"))["data"]
        return {key.removeprefix("jws-kubeconfig-"): data[key] for key in data if key != "kubeconfig"} == {
            each: signature(INFO, each, "0123456789abcdef") for each in identities
        }

    await cluster.eventually(lambda: signed_by("abcdef"), "its signature")
    await cluster.client.create(SECRETS, token("passed", timedelta(seconds=-1)), "kube-system")
    await gone(cluster, SECRETS, "bootstrap-token-passed", "kube-system")
    await cluster.client.get(SECRETS, "bootstrap-token-abcdef", "kube-system")
    await cluster.client.delete(SECRETS, "bootstrap-token-abcdef", "kube-system")
    await cluster.eventually(lambda: signed_by(), "no signature")


async def test_tokens_that_nobody_uses(idle: Simulation) -> None:
    client, names = idle.client, ("unused", "mounted", "pulling", "invalid", "own")
    account = {"metadata": {"name": "robot"}, "secrets": [{"name": each} for each in names if each != "own"]}
    await client.create(SERVICEACCOUNTS, account, "default")
    for name in names:
        meta: Object = {"name": name, "annotations": {"kubernetes.io/service-account.name": "robot"}}
        if name == "invalid":
            meta["labels"] = {INVALID_SINCE: "2020-01-01"}
        secret = {"metadata": meta, "type": "kubernetes.io/service-account-token"}
        await client.create(SECRETS, secret, "default")
    reference = {"valueFrom": {"secretKeyRef": {"name": "mounted", "key": "token"}}}
    spec = {
        "serviceAccountName": "robot",
        "containers": [{"name": "c", "image": "none", "env": [{"name": "TOKEN", **reference}]}],
        "imagePullSecrets": [{"name": "pulling"}],
    }
    await client.create(PODS, {"metadata": {"name": "p"}, "spec": spec}, "default")

    async def tracked() -> bool:
        return any(objects.name(each) == TRACKING for each in (await client.list(CONFIGMAPS, "kube-system"))["items"])

    await idle.eventually(tracked, "the day since which uses are noted")
    await client.patch(CONFIGMAPS, TRACKING, {"data": {"since": "2020-01-01"}}, "kube-system", kind="merge")
    async with controllers(idle, NAME, legacy_token_period=0.001):
        await gone(idle, SECRETS, "invalid", "default")

        async def marked() -> set[str]:
            held = (await client.list(SECRETS, "default"))["items"]
            return {objects.name(each) for each in held if INVALID_SINCE in objects.labels(each)}

        await idle.eventually(marked, "a token that is marked")
        assert await marked() == {"unused"}


async def test_a_request_is_approved_when_the_right_comes_later(
    idle: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    async def allow(role: str) -> None:
        subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        body = {"metadata": {"name": role.replace(":", "-")}, "subjects": [subject], "roleRef": reference}
        await idle.client.create(CLUSTERROLEBINDINGS, body)

    await idle.client.create(SERVICEACCOUNTS, {"metadata": {"name": "robot"}}, "default")
    await allow("system:node-bootstrapper")
    made = await idle.client.create_subresource(SERVICEACCOUNTS, "robot", "token", {"spec": {}}, "default")
    names = [(x509.NameOID.ORGANIZATION_NAME, "system:nodes"), (x509.NameOID.COMMON_NAME, "system:node:n")]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = asked.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    usages = ["digital signature", "client auth"]
    spec = {"signerName": request.KUBELET_CLIENT, "request": b64encode(pem).decode(), "usages": usages}
    config = idle.controllers.client
    robot = dataclasses.replace(config, cert_data=None, key_data=None, token=made["status"]["token"])
    async with Client(robot, "robot") as client:
        await client.create(CERTIFICATESIGNINGREQUESTS, {"metadata": {"name": "n"}, "spec": spec})

    async def refused() -> bool:
        return 'recognized csr "n" as [nodeclient] but subject access review was not approved' in caplog.text

    async def approved() -> bool:
        found = await idle.client.get(CERTIFICATESIGNINGREQUESTS, "n")
        return request.condition(found, "Approved") is not None

    async with controllers(idle, approver.NAME):
        await idle.eventually(refused, "the refusal")
        await allow("system:certificates.k8s.io:certificatesigningrequests:nodeclient")
        await idle.eventually(approved, "the approval")
