"""Custom resources with the official Python client, its dynamic client, and kopf."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from tests.integration.definitions import STATUS, Kind
from tests.integration.process import wait_until

Object = dict[str, Any]


def test_the_dynamic_client(kind: Kind, namespace: str) -> None:
    dynamic = DynamicClient(config.new_client_from_config(str(kind.plane.kubeconfig)))
    crons = dynamic.resources.get(api_version=kind.api_version, kind=kind.kind)
    made = crons.create(body=kind.object("a"), namespace=namespace)
    assert made.spec.replicas == 1
    assert crons.get(name="a", namespace=namespace).spec.schedule == "* 5"
    body = {"spec": {"image": "y"}}
    crons.patch(name="a", namespace=namespace, body=body, content_type="application/merge-patch+json")
    assert crons.get(namespace=namespace).items[0].spec.image == "y"
    crons.status.patch(
        name="a", namespace=namespace, body={"status": {"replicas": 2}}, content_type="application/merge-patch+json"
    )
    assert crons.get(name="a", namespace=namespace).status.replicas == 2
    crons.delete(name="a", namespace=namespace)


def test_the_typed_client_makes_a_definition(make_kind: Callable[..., Kind], namespace: str) -> None:
    kind = make_kind()
    api = config.new_client_from_config(str(kind.plane.kubeconfig))
    client.ApiextensionsV1Api(api).create_custom_resource_definition(kind.definition)
    custom = client.CustomObjectsApi(api)
    wait_until("the kind is served", lambda: kind.plane.request("GET", kind.path(namespace)).code == 200)
    custom.create_namespaced_custom_object(kind.group, "v1", namespace, kind.plural, kind.object("a"))
    found = custom.list_namespaced_custom_object(kind.group, "v1", namespace, kind.plural)
    assert [each["metadata"]["name"] for each in found["items"]] == ["a"]


OPERATOR = """
import kopf

@kopf.on.create("{plural}.{group}")
def created(spec, patch, **_):
    patch.status["replicas"] = spec["replicas"]
    return None

@kopf.on.update("{plural}.{group}", field="spec.replicas")
def updated(new, patch, **_):
    patch.status["replicas"] = new

@kopf.on.delete("{plural}.{group}")
def deleted(**_):
    pass
"""


def test_kopf(kind: Kind, namespace: str, tmp_path: Path) -> None:
    kind.version["schema"]["openAPIV3Schema"]["properties"]["status"] = {
        **STATUS,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    kind.apply()
    (tmp_path / "operator.py").write_text(OPERATOR.format(plural=kind.plural, group=kind.group))
    environment = {**os.environ, "KUBECONFIG": str(kind.plane.kubeconfig)}
    argv = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(tmp_path / "operator.py")]
    with (tmp_path / "log").open("wb") as log:
        operator = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
    try:
        kind.create(namespace, "a", replicas=2)

        def status() -> Any:
            assert operator.poll() is None, (tmp_path / "log").read_text()
            found = kind.plane.request("GET", kind.path(namespace, "a")).json
            return (found.get("status") or {}).get("replicas"), found["metadata"].get("finalizers")

        wait_until("kopf saw the creation", lambda: status() == (2, ["kopf.zalando.org/KopfFinalizerMarker"]))
        merge = {"Content-Type": "application/merge-patch+json"}
        kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"replicas": 3}}, headers=merge)
        wait_until("kopf saw the change", lambda: status()[0] == 3)
        kind.plane.request("DELETE", kind.path(namespace, "a"))
        wait_until("kopf let it go", lambda: kind.plane.request("GET", kind.path(namespace, "a")).code == 404)
    finally:
        operator.terminate()
        operator.wait(60)
