"""The admission plug-ins that are off unless somebody asks for them, on a server that was started with their flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.admitting import Webhook
from tests.integration.apiservers import ApiServer

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open"


class ImageBackend(Webhook):
    """Answers ImageReviews: an image of `refused` does not run."""

    refused = frozenset({"bad"})

    def respond(self, review: Any) -> Any:
        self.asked.append(review)
        bad = [each["image"] for each in review["spec"]["containers"] if each["image"] in self.refused]
        status = {"allowed": not bad, **({"reason": f"{bad[0]} is known to be bad"} if bad else {})}
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "status": status}


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[ImageBackend]:
    with ImageBackend(tmp_path).serving() as made:
        yield made


def configuration(directory: Path, backend: ImageBackend) -> Path:
    kubeconfig, file = directory / "images.kubeconfig", directory / "admission.json"
    cluster = {
        "server": f"https://127.0.0.1:{backend.server.server_port}/images",
        "certificate-authority-data": backend.bundle,
    }
    kubeconfig.write_bytes(
        orjson.dumps(
            {
                "clusters": [{"name": "images", "cluster": cluster}],
                "contexts": [{"name": "images", "context": {"cluster": "images"}}],
                "current-context": "images",
            }
        )
    )
    times = {"allowTTL": -1, "denyTTL": -1, "retryBackoff": 1, "defaultAllow": True}
    selectors = {"clusterDefaultNodeSelector": "env=dev", "strict": "env=prod,disk=ssd"}
    plugins = [
        {
            "name": "ImagePolicyWebhook",
            "configuration": {"imagePolicy": {"kubeConfigFile": str(kubeconfig), **times}},
        },
        {"name": "PodNodeSelector", "configuration": {"podNodeSelectorPluginConfig": selectors}},
    ]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    file.write_bytes(orjson.dumps(document))
    return file


@pytest.fixture
def server(backend: ImageBackend, tmp_path: Path) -> Iterator[ApiServer]:
    found = ApiServer(
        tmp_path / "data",
        "sqlite",
        "--enable-admission-plugins=NamespaceAutoProvision,PodNodeSelector,ImagePolicyWebhook",
        "--disable-admission-plugins=ServiceAccount",
        f"--admission-control-config-file={configuration(tmp_path, backend)}",
    )
    found.start()
    yield found
    assert found.stop() == 0, found.log


def create(server: ApiServer, namespace: str, name: str, image: str = "good", query: str = "", **spec: Any) -> Any:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": image}], **spec},
    }
    return server.request("POST", f"/api/v1/namespaces/{namespace}/pods{query}", pod)


def test_the_optional_plugins(server: ApiServer, backend: ImageBackend) -> None:
    # NamespaceAutoProvision, and PodNodeSelector's default.
    assert create(server, "fresh", "p", query="?dryRun=All").code == 404
    made = create(server, "fresh", "p")
    assert made.code == 201 and made.json["spec"]["nodeSelector"] == {"env": "dev"}
    namespace = server.request("GET", "/api/v1/namespaces/fresh").json
    assert namespace["status"]["phase"] == "Active"
    assert [each["manager"] for each in namespace["metadata"]["managedFields"]] == ["kube-apiserver"]
    assert server.request("GET", "/api/v1/namespaces/other/pods").json["items"] == []
    assert server.request("GET", "/api/v1/namespaces/other").code == 404, "only a creation makes it"

    # PodNodeSelector: what the namespace says, a conflict, and what it allows at all.
    server.kubectl("create", "namespace", "strict")
    server.kubectl("annotate", "namespace", "strict", f"{ANNOTATION}=env=prod")

    def refusal(name: str, **labels: str) -> str:
        answer = create(server, "strict", name, nodeSelector=labels)
        assert answer.code == 403
        return str(answer.json["message"])

    assert refusal("p", env="dev") == (
        'pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector'
    )
    assert refusal("p", zone="a") == (
        'pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist'
    )
    assert create(server, "strict", "p", nodeSelector={"disk": "ssd"}).json["spec"]["nodeSelector"] == {
        "disk": "ssd",
        "env": "prod",
    }

    # ImagePolicyWebhook: yes, no, and nobody there.
    assert backend.asked[0]["spec"] == {"containers": [{"image": "good"}], "namespace": "fresh"}
    answer = create(server, "fresh", "q", image="bad")
    assert (answer.code, answer.json["message"]) == (
        403,
        'pods "q" is forbidden: image policy webhook backend denied one or more images: bad is known to be bad',
    )
    patched = server.kubectl("-n", "fresh", "set", "image", "pod/p", "c=bad", check=False)
    assert "bad is known to be bad" in patched.stderr
    backend.code = 403
    assert create(server, "fresh", "q", image="bad").code == 201, "defaultAllow"
    assert server.get("-n", "fresh", "pod", "q")["metadata"]["annotations"] == {FAILED_OPEN: "true"}
