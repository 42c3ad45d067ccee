"""Versions of custom resources: conversion, versions that come and go, two servers."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tests.integration.conversion_webhook import conversion_webhook
from tests.integration.definitions import Kind
from tests.integration.process import Answer, ControlPlane, wait_until

Object = dict[str, Any]


def test_watch_ends_when_the_definition_changes(kind: Kind, namespace: str) -> None:
    made = kind.create(namespace, "a")
    connection = kind.plane.connect(timeout=60)
    revision = made["metadata"]["resourceVersion"]
    connection.request("GET", kind.path(namespace) + f"?watch=true&resourceVersion={revision}")
    answer = connection.getresponse()
    merge = {"Content-Type": "application/merge-patch+json"}
    kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"image": "y"}}, headers=merge)
    assert orjson.loads(answer.readline())["type"] == "MODIFIED"
    kind.spec["properties"]["added"] = {"type": "string", "default": "new"}
    kind.apply()
    assert answer.read() == b""
    found = kind.plane.request("GET", kind.path(namespace, "a")).json
    assert found["spec"]["image"] == "y"
    assert kind.create(namespace, "b")["spec"]["added"] == "new"


def test_versions_without_conversion(make_kind: Callable[..., Kind], namespace: str) -> None:
    kind = make_kind()
    beta = orjson.loads(orjson.dumps(kind.version)) | {"name": "v1beta1", "storage": False, "deprecated": True}
    beta["additionalPrinterColumns"] = []
    kind.definition["spec"]["versions"].append(beta)
    kind.apply()
    kind.create(namespace, "a")
    old = kind.plane.request("GET", kind.path(namespace, "a", "v1beta1"))
    assert old.json["apiVersion"] == f"{kind.group}/v1beta1" and old.json["spec"]["replicas"] == 1
    listed = kind.plane.request("GET", kind.path(namespace, "", "v1beta1")).json
    assert listed["items"][0]["apiVersion"] == f"{kind.group}/v1beta1" and listed["kind"] == f"{kind.kind}List"
    body = {**kind.object("b"), "apiVersion": f"{kind.group}/v1beta1"}
    made = kind.plane.request("POST", kind.path(namespace, "", "v1beta1"), body)
    assert made.code == 201 and made.json["apiVersion"] == f"{kind.group}/v1beta1"
    told = f"{kind.group}/v1beta1 {kind.kind} is deprecated; use {kind.group}/v1 {kind.kind}"
    every = kind.plane.request("GET", kind.path(namespace, "", "v1beta1"))
    assert all(told in answer.headers["warning"] for answer in (made, old, every))
    assert "warning" not in kind.plane.request("GET", kind.path(namespace, "a")).headers
    labels = f'group="{kind.group}",removed_release="",resource="{kind.plural}",subresource="",version="v1beta1"'
    metrics = kind.plane.request("GET", "/metrics").body.decode()
    assert f"apiserver_requested_deprecated_apis{{{labels}}} 1.0" in metrics
    group = kind.plane.request("GET", f"/apis/{kind.group}").json
    assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
    # The other version becomes the stored one: what is stored in the first is served in either.
    for version in kind.definition["spec"]["versions"]:
        version["storage"] = not version["storage"]
    kind.apply()
    assert kind.plane.get("crd", kind.name)["status"]["storedVersions"] == ["v1", "v1beta1"]
    for version in ("v1", "v1beta1"):
        wait_until(
            "the old object in " + version, lambda v=version: _versions(kind, namespace, v) == {f"{kind.group}/{v}"}
        )
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"image": "z"}}, headers=merge)
    assert patched.json["apiVersion"] == kind.api_version and patched.json["spec"]["image"] == "z"


def _versions(kind: Kind, namespace: str, version: str) -> set[str]:
    items = kind.plane.request("GET", kind.path(namespace, "", version)).json["items"]
    one = kind.plane.request("GET", kind.path(namespace, "a", version)).json
    return {one["apiVersion"], *(each["apiVersion"] for each in items)}


def test_conversion_by_a_webhook(make_kind: Callable[..., Kind], namespace: str, tmp_path: Path) -> None:
    with conversion_webhook(tmp_path, _renamed) as (config_, asked):
        kind = make_kind()
        _add_renamed_version(kind, config_)
        kind.apply()
        kind.create(namespace, "a")
        found = kind.plane.request("GET", kind.path(namespace, "a", "v2"))
        assert found.code == 200, found.body
        assert found.json["spec"] == {"when": "* 5", "replicas": 1, "maxReplicas": 5}
        listed = kind.plane.request("GET", kind.path(namespace, "", "v2")).json["items"]
        assert [each["spec"]["when"] for each in listed] == ["* 5"]
        body = {**kind.object("b"), "apiVersion": f"{kind.group}/v2", "spec": {"when": "7"}}
        made = kind.plane.request("POST", kind.path(namespace, "", "v2"), body)
        assert made.code == 201 and made.json["spec"]["when"] == "7", made.body
        assert kind.plane.request("GET", kind.path(namespace, "b")).json["spec"]["schedule"] == "7"
        merge = {"Content-Type": "application/merge-patch+json"}
        path = kind.path(namespace, "b", "v2")
        patched = kind.plane.request("PATCH", path, {"spec": {"image": "z"}}, headers=merge)
        assert patched.json["spec"] == {"when": "7", "image": "z", "replicas": 1, "maxReplicas": 5}
        connection = kind.plane.connect(timeout=60)
        connection.request("GET", kind.path(namespace, "", "v2") + "?watch=true&timeoutSeconds=1&resourceVersion=0")
        lines = connection.getresponse().read().splitlines()
        assert {orjson.loads(line)["object"]["spec"]["when"] for line in lines} == {"* 5", "7"}
        assert asked and all(review["apiVersion"] == "apiextensions.k8s.io/v1" for review in asked)
    refused = kind.plane.request("GET", kind.path(namespace, "a", "v2"))
    assert refused.code == 500
    assert f"conversion webhook for {kind.group}/v1, Kind={kind.kind} failed: Post " in refused.json["message"]
    assert kind.plane.request("GET", kind.path(namespace, "a")).code == 200


def test_fields_are_owned_in_the_version_of_the_writer(
    make_kind: Callable[..., Kind], namespace: str, tmp_path: Path
) -> None:
    with conversion_webhook(tmp_path, _renamed) as (config_, _asked):
        kind = make_kind()
        kind.spec["x-kubernetes-validations"] = []
        _add_renamed_version(kind, config_)
        kind.apply()

        def apply(version: str, manager: str, force: str = "false", **spec: Any) -> Answer:
            body = {**kind.object("a"), "apiVersion": f"{kind.group}/{version}", "spec": spec}
            path = kind.path(namespace, "a", version) + f"?fieldManager={manager}&force={force}"
            media = {"Content-Type": "application/apply-patch+yaml"}
            return kind.plane.request("PATCH", path, orjson.dumps(body), headers=media)

        def owned(answer: Answer) -> dict[str, tuple[str, list[str]]]:
            return {
                each["manager"]: (each["apiVersion"].rpartition("/")[2], sorted(each["fieldsV1"]["f:spec"]))
                for each in answer.json["metadata"]["managedFields"]
            }

        assert apply("v2", "one", when="1", image="i").code == 201
        refused = apply("v1", "two", schedule="2")
        assert refused.code == 409 and 'conflict with "one": .spec.when' in refused.json["message"]
        shared = apply("v1", "two", schedule="1")
        assert owned(shared) == {"one": ("v2", ["f:image", "f:when"]), "two": ("v1", ["f:schedule"])}
        taken = apply("v1", "two", "true", schedule="2")
        assert owned(taken) == {"one": ("v2", ["f:image"]), "two": ("v1", ["f:schedule"])}
        merge = {"Content-Type": "application/merge-patch+json", "User-Agent": "hand/1.0"}
        path = kind.path(namespace, "a", "v2")
        patched = kind.plane.request("PATCH", path, {"spec": {"when": "3"}}, headers=merge)
        assert owned(patched) == {"one": ("v2", ["f:image"]), "hand": ("v2", ["f:when"])}
        moved = apply("v1", "one", schedule="3")
        assert moved.json["spec"].get("image") is None and moved.json["spec"]["schedule"] == "3"
        assert owned(moved) == {"one": ("v1", ["f:schedule"]), "hand": ("v2", ["f:when"])}


def _add_renamed_version(kind: Kind, config: Object) -> None:
    """A version v2 that says `when` where the first says `schedule`."""
    other = orjson.loads(orjson.dumps(kind.version)) | {"name": "v2", "storage": False}
    fields = other["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields["properties"]["when"] = fields["properties"].pop("schedule")
    fields["required"] = ["when"]
    fields["x-kubernetes-validations"] = []
    other["selectableFields"] = []
    kind.definition["spec"]["versions"].append(other)
    kind.definition["spec"]["conversion"] = {
        "strategy": "Webhook",
        "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
    }


def test_a_webhook_is_not_followed_to_another(make_kind: Callable[..., Kind], namespace: str, tmp_path: Path) -> None:
    with conversion_webhook(tmp_path, _renamed) as (config_, asked):
        kind = make_kind()
        kind.definition["spec"]["versions"].append({**kind.version, "name": "v2", "storage": False})
        elsewhere = {**config_, "url": config_["url"].replace("/convert", "/moved")}
        kind.definition["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {"clientConfig": elsewhere, "conversionReviewVersions": ["v1"]},
        }
        kind.apply()
        kind.create(namespace, "a")
        for path in (kind.path(namespace, "a", "v2"), kind.path(namespace, "", "v2")):
            refused = kind.plane.request("GET", path)
            assert refused.code == 500
            assert refused.json["message"] == (
                f"conversion webhook for {kind.group}/v1, Kind={kind.kind} failed: the server responded with the "
                "status code 307 but did not return more information"
            )
        assert asked == []
        assert kind.plane.request("GET", kind.path(namespace, "a")).code == 200


def _renamed(obj: Object, api_version: str) -> Object:
    """spec.schedule is spec.when of v2."""
    old, new = ("schedule", "when") if api_version.endswith("/v2") else ("when", "schedule")
    return {**obj, "spec": {new if field == old else field: value for field, value in obj["spec"].items()}}


def test_two_servers_on_one_store(etcd: str, tmp_path: Path) -> None:
    planes = [ControlPlane(tmp_path / "one" / "data", etcd), ControlPlane(tmp_path / "two" / "data", etcd)]
    for plane in planes:
        plane.directory.parent.mkdir()
    first, second = planes
    first.start()
    try:
        # The two know each other's clients: they share the authority, as masters do.
        shutil.copytree(first.directory / "pki", second.directory / "pki")
        second.start()
        kind = Kind(first).apply()
        kind.plane = second
        assert kind.create("default", "a")["spec"]["replicas"] == 1  # at once: the second asks the store
        kind.plane = first
        assert kind.plane.request("GET", kind.path("default", "a")).json["spec"]["schedule"] == "* 5"
        listed = wait_until(
            "the second server's discovery",
            lambda: second.request("GET", f"/apis/{kind.group}/v1").json.get("resources"),
        )
        assert listed[0]["name"] == kind.plural
        kind.spec["properties"]["added"] = {"type": "string", "default": "new"}
        kind.apply()
        kind.plane = second
        numbers = itertools.count()
        wait_until(
            "the second server's new schema", lambda: "added" in kind.create("default", f"b{next(numbers)}")["spec"]
        )
        first.kubectl("delete", "crd", kind.name, "--timeout=120s")
        wait_until("it is gone on the second", lambda: second.request("GET", kind.path("default")).code == 404)
    finally:
        for plane in planes:
            plane.stop()


def test_a_version_that_is_not_served_any_more(kind: Kind, namespace: str) -> None:
    kind.definition["spec"]["versions"].append({**kind.version, "name": "v2", "storage": False})
    kind.apply()
    wait_until("v2 is served", lambda: kind.plane.request("GET", kind.path(namespace, "", "v2")).code == 200)
    kind.version["served"] = False
    kind.apply()
    wait_until("v1 is gone", lambda: kind.plane.request("GET", kind.path(namespace)).code == 404)
    assert kind.plane.request("GET", f"/apis/{kind.group}/v1").code == 404
