"""Who the server is to a webhook: identities of a kubeconfig file by the webhook's name, shown to a real one."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.api.catalogue import SERVICES
from apimachinery.client.config import ClientConfig
from apimachinery.kit.config import Problems
from controlplane.apiserver.admission.configuration import WEBHOOKS, AdmissionConfiguration, load
from controlplane.apiserver.admission.webhooks.client import CallFailed, WebhookClient
from controlplane.apiserver.admission.webhooks.credentials import Credentials
from controlplane.apiserver.admission.webhooks.credentials import load as load_credentials
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.interface import Storage
from tests.unit.controlplane.apiserver.admission.webhook_server import WebhookServer

NAMES = (
    *("exact.ns.svc:8443", "*.ns.svc:8443", "exact.ns.svc", "*.svc"),
    *("*.company.org", "*.org:8443", "10.0.0.1", "[fd00::1]:9", "fd00::2"),
)
REVIEW = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}})


def kubeconfig(path: Path, users: dict[str, Any], current: str = "") -> Path:
    document: dict[str, Any] = {"users": [{"name": name, "user": user} for name, user in users.items()]}
    if current:
        document |= {"current-context": "c", "contexts": [{"name": "c", "context": {"user": current}}]}
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("exact.ns.svc", 8443, "exact.ns.svc:8443"),
        ("exact.ns.svc", 443, "exact.ns.svc"),
        ("other.ns.svc", 8443, "*.ns.svc:8443"),
        ("other.ns.svc", 443, "*.svc"),
        ("hooks.company.org", 443, "*.company.org"),
        ("hooks.company.org", 8443, "*.org:8443"),
        ("hooks.company.org", 9443, "*"),
        ("company.org", 443, "*"),
        ("10.0.0.1", 443, "10.0.0.1"),
        ("fd00::1", 9, "[fd00::1]:9"),
        ("fd00::2", 443, "fd00::2"),
    ],
)
def test_the_nearest_name_counts(host: str, port: int, name: str) -> None:
    users = {each: ClientConfig("", token=each) for each in (*NAMES, "*", "current")}
    found = Credentials(users, "current").of(host, port)
    assert found is not None and found.token == name


def test_the_current_user_is_for_all_that_have_none() -> None:
    users = {"current": ClientConfig("", token="t")}
    assert Credentials(users, "current").of("a.b.svc", 443) == users["current"]
    assert Credentials(users).of("a.b.svc", 443) is None and Credentials().of("a.b.svc", 443) is None


async def shown(server: WebhookServer, storage: Storage, file: Path) -> Any:
    client = WebhookClient(ObjectStore(SERVICES, storage), load_credentials(file))
    await client.post(server.config(), REVIEW, 60)
    await client.close()
    return server.asked["/"][-1]


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "secret"}, "Bearer secret"),
        ({"tokenFile": "token"}, "Bearer from a file"),
        ({"username": "me", "password": "x:y"}, f"Basic {base64.b64encode(b'me:x:y').decode()}"),
        ({}, ""),
    ],
    ids=["token", "file", "password", "nobody"],
)
async def test_what_the_webhook_is_shown(
    server: WebhookServer, storage: Storage, tmp_path: Path, user: dict[str, Any], header: str
) -> None:
    (tmp_path / "token").write_text("from a file\n")
    file = kubeconfig(tmp_path / "kubeconfig", {"elsewhere": {"token": "no"}, f"127.0.0.1:{server.port}": user})
    came = await shown(server, storage, file)
    assert came["shown"]["Authorization"] == header and came["subject"] == ""
    assert came["shown"]["User-Agent"] == "kube-apiserver-admission"


async def test_a_certificate_is_shown(server: WebhookServer, storage: Storage, tmp_path: Path) -> None:
    pair = server.authority.issue("the-api-server", client=True)
    (tmp_path / "key").write_bytes(pair.key_pem)
    user = {"client-certificate-data": base64.b64encode(pair.cert_pem).decode(), "client-key": "key"}
    came = await shown(server, storage, kubeconfig(tmp_path / "kubeconfig", {"*": user}))
    assert came["subject"] == "the-api-server" and came["shown"]["Authorization"] == ""


async def test_a_token_file_that_is_gone_is_a_failure(server: WebhookServer, storage: Storage, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", {"*": {"tokenFile": "gone"}})
    client = WebhookClient(ObjectStore(SERVICES, storage), load_credentials(file))
    with pytest.raises(CallFailed, match="No such file"):
        await client.post(server.config(), REVIEW, 60)
    await client.close()


def loaded(directory: Path, plugin: str, configuration: dict[str, Any]) -> tuple[AdmissionConfiguration, list[str]]:
    plugins = [{"name": plugin, "configuration": configuration}]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    (directory / "admission.json").write_bytes(orjson.dumps(document))
    problems = Problems()
    return load(directory / "admission.json", problems), list(problems)


V1 = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
V1ALPHA1 = {"apiVersion": "apiserver.config.k8s.io/v1alpha1", "kind": "WebhookAdmission"}


@pytest.mark.parametrize("plugin", WEBHOOKS)
@pytest.mark.parametrize("head", [V1, V1ALPHA1], ids=["v1", "v1alpha1"])
def test_the_configuration_names_the_file(tmp_path: Path, plugin: str, head: dict[str, str]) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", {"a.b.svc": {"token": "x"}}, "a.b.svc")
    found, problems = loaded(tmp_path, plugin, {**head, "kubeConfigFile": str(file)})
    assert problems == [] and found.webhooks == {
        plugin: Credentials({"a.b.svc": ClientConfig("", token="x")}, "a.b.svc")
    }


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        ({**V1, "kubeConfigFile": "a"}, 'kubeConfigFile: Invalid value: "a": must be an absolute file path'),
        (V1, 'kubeConfigFile: Invalid value: "": must be an absolute file path'),
        ({**V1, "kubeConfigFile": "/nowhere/it"}, "stat /nowhere/it: no such file or directory"),
        ({**V1, "kind": "WebhookAdmission"}, 'no kind "WebhookAdmission" is registered for version'),
    ],
    ids=["relative", "none", "gone", "kind"],
)
def test_mistakes_in_the_configuration(tmp_path: Path, configuration: dict[str, str], sentence: str) -> None:
    _, problems = loaded(tmp_path, "MutatingAdmissionWebhook", configuration)
    assert len(problems) == 1 and sentence in problems[0]


def test_an_identity_that_a_program_would_find_is_refused(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", {"*": {"exec": {"command": "login"}}})
    _, problems = loaded(tmp_path, "ValidatingAdmissionWebhook", {**V1, "kubeConfigFile": str(file)})
    assert len(problems) == 1 and "user '*': exec is not supported" in problems[0]
