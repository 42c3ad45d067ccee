"""CustomResourceDefinitions with stock kubectl, the official client, kopf and raw HTTP."""

from __future__ import annotations

# ruff: noqa: E501 (a table of messages is read by the line)
import base64
import itertools
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from apimachinery.kit.certs import Authority
from tests.integration.process import ControlPlane, wait_until

Object = dict[str, Any]
_NUMBERS = itertools.count(1)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SPEC: Object = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["schedule"],
    "x-kubernetes-validations": [
        {"rule": "self.replicas <= self.maxReplicas", "message": "too many replicas", "fieldPath": ".replicas"},
        {
            "rule": "self.schedule == oldSelf.schedule",
            "messageExpression": "'schedule was ' + oldSelf.schedule",
            "reason": "FieldValueForbidden",
        },
    ],
    "properties": {
        "schedule": {"type": "string", "pattern": "^[0-9* ]+$", "description": "When."},
        "image": {"type": "string", "maxLength": 5},
        "replicas": {"type": "integer", "minimum": 0, "maximum": 10, "default": 1},
        "maxReplicas": {"type": "integer", "default": 5},
        "maybe": {"type": "string", "nullable": True},
        "level": {"type": "string", "enum": ["low", "high"]},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"},
                },
            },
        },
    },
}
STATUS: Object = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
}


class Kind:
    """A definition of the test's own: its group and names are unique."""

    def __init__(self, plane: ControlPlane, **changes: Any) -> None:
        self.plane, number = plane, next(_NUMBERS)
        self.group, self.plural, self.kind = f"t{number}.example.com", f"crons{number}", f"Cron{number}"
        self.name, self.api_version = f"{self.plural}.{self.group}", f"{self.group}/v1"
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                },
            },
            "selectableFields": [{"jsonPath": ".spec.schedule"}],
            "additionalPrinterColumns": [
                {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        }
        names = {"plural": self.plural, "kind": self.kind, "shortNames": [f"cr{number}"], "categories": ["mine"]}
        self.definition: Object = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name},
            "spec": {"group": self.group, "scope": "Namespaced", "names": names, "versions": [version], **changes},
        }

    @property
    def version(self) -> Object:
        found: Object = self.definition["spec"]["versions"][0]
        return found

    @property
    def spec(self) -> Object:
        """The schema of spec, a copy that the test may change."""
        self.version["schema"] = orjson.loads(orjson.dumps(self.version["schema"]))
        found: Object = self.version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return found

    def apply(self) -> Kind:
        """Create or update it; wait until it is established."""
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(self.definition))
        self.plane.kubectl("wait", "--for=condition=Established", f"crd/{self.name}", "--timeout=10s")
        return self

    def path(self, namespace: str, name: str = "", version: str = "v1") -> str:
        path = f"/apis/{self.group}/{version}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path

    def object(self, name: str, **spec: Any) -> Object:
        metadata = {"name": name}
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": metadata,
            "spec": {"schedule": "* 5", **spec},
        }

    def create(self, namespace: str, name: str, **spec: Any) -> Object:
        answer = self.plane.request("POST", self.path(namespace), self.object(name, **spec))
        assert answer.code == 201, answer.body
        found: Object = answer.json
        return found

    def refused(self, namespace: str, **spec: Any) -> str:
        """The message against an object."""
        answer = self.plane.request("POST", self.path(namespace), self.object("bad", **spec))
        assert answer.code == 422, answer.body
        found: str = answer.json["message"]
        return found


@pytest.fixture
def make_kind(control_plane: ControlPlane) -> Iterator[Callable[..., Kind]]:
    made: list[Kind] = []

    def make(**changes: Any) -> Kind:
        made.append(Kind(control_plane, **changes))
        return made[-1]

    yield make
    for kind in made:
        control_plane.kubectl("delete", "crd", kind.name, "--ignore-not-found", "--timeout=20s")


@pytest.fixture
def kind(make_kind: Callable[..., Kind]) -> Kind:
    return make_kind().apply()


def test_definition_is_established_with_upstreams_conditions(kind: Kind) -> None:
    found = kind.plane.get("crd", kind.name)
    assert found["spec"]["names"]["singular"] == kind.kind.lower()
    assert found["spec"]["names"]["listKind"] == f"{kind.kind}List"
    assert found["spec"]["conversion"] == {"strategy": "None"}
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["status"]["acceptedNames"] == found["spec"]["names"]
    shown = [(c["type"], c["status"], c["reason"], c["message"]) for c in found["status"]["conditions"]]
    assert shown == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]


def test_kubectl(kind: Kind, namespace: str) -> None:
    kubectl = kind.plane.kubectl
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a", image="x")))
    short = kind.definition["spec"]["names"]["shortNames"][0]
    table = kubectl("get", short, "-n", namespace).stdout.split()
    assert table[:3] == ["NAME", "SCHEDULE", "AGE"] and table[3:6] == ["a", "*", "5"]
    assert "REPLICAS" in kubectl("get", short, "-n", namespace, "-o", "wide").stdout
    assert kubectl("get", "mine", "-n", namespace, "-o", "name").stdout == f"{kind.kind.lower()}.{kind.group}/a\n"
    found = kind.plane.get(short, "a", "-n", namespace)
    assert found["spec"] == {"schedule": "* 5", "image": "x", "replicas": 1, "maxReplicas": 5}
    assert found["metadata"]["generation"] == 1
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a")))
    assert "image" not in kind.plane.get(short, "a", "-n", namespace)["spec"]
    kubectl("scale", f"{short}/a", "-n", namespace, "--replicas=3")
    scaled = kind.plane.get(short, "a", "-n", namespace)
    assert (scaled["spec"]["replicas"], scaled["metadata"]["generation"]) == (3, 3)
    refused = kubectl("scale", f"{short}/a", "-n", namespace, "--replicas=9", check=False).stderr
    assert 'spec.replicas: Invalid value: "object": too many replicas' in refused
    kubectl("label", short, "a", "x=y", "-n", namespace)
    kubectl("describe", short, "a", "-n", namespace)
    assert "No resources found" not in kubectl("get", short, "-n", namespace, "-l", "x=y").stderr
    explained = kubectl("explain", f"{kind.plural}.spec.schedule").stdout
    assert "When." in explained and "<string>" in explained
    assert "replicas\t<integer>" in kubectl("explain", kind.plural, "--recursive").stdout
    assert "What is wanted." in kubectl("explain", f"{kind.plural}.spec").stdout
    listed = kubectl("api-resources", f"--api-group={kind.group}", "-o", "wide", "--no-headers").stdout.split()
    assert listed[:5] == [kind.plural, short, kind.api_version, "true", kind.kind]
    assert "create,delete,deletecollection,get,list,patch,update,watch" in listed[5]
    kubectl("diff", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(kind.object("a", replicas=3)))
    kubectl("delete", short, "a", "-n", namespace)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"replicas": "x"}, 'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"'),
        ({"replicas": 11, "maxReplicas": 20}, "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
        ({"replicas": -1}, "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0"),
        ({"schedule": "abc"}, "spec.schedule: Invalid value: \"abc\": spec.schedule in body should match '^[0-9* ]+$'"),
        ({"image": "too-long"}, "spec.image: Too long: may not be more than 5 bytes"),
        ({"level": "no"}, 'spec.level: Unsupported value: "no": supported values: "low", "high"'),
        ({"port": True}, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        ({"ports": [{"port": 1}, {"port": 1}]}, 'spec.ports[1]: Duplicate value: map[string]interface {}{"port":1, "protocol":"TCP"}'),
        ({"ports": [{"name": "x"}]}, "spec.ports[0].port: Required value"),
        ({"template": {"a": 1}}, "spec.template.apiVersion: Required value: must not be empty"),
        ({"replicas": 6}, 'spec.replicas: Invalid value: "object": too many replicas'),
    ],
)  # fmt: skip
def test_values_are_refused_in_upstreams_words(kind: Kind, namespace: str, spec: Object, message: str) -> None:
    assert message in kind.refused(namespace, **spec)


def test_missing_required_field(kind: Kind, namespace: str) -> None:
    answer = kind.plane.request("POST", kind.path(namespace), {**kind.object("x"), "spec": {}})
    assert answer.code == 422 and "spec.schedule: Required value" in answer.json["message"]


def test_pruning_defaulting_and_what_is_kept(kind: Kind, namespace: str) -> None:
    spec = {
        "nope": 1,
        "maybe": None,
        "image": None,
        "free": {"anything": [1, {"x": None}]},
        "ports": [{"port": 80, "extra": 1}],
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "bogus": 1}, "spec": {"a": 1}},
    }
    warned = kind.plane.request("POST", kind.path(namespace), kind.object("a", **spec))
    assert warned.code == 201, warned.body
    assert 'unknown field \\"spec.template.metadata.bogus\\"' in warned.headers["warning"]  # the last of three
    assert warned.json["spec"] == {
        "schedule": "* 5",
        "maybe": None,
        "free": {"anything": [1, {"x": None}]},
        "ports": [{"port": 80, "protocol": "TCP"}],
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}},
        "replicas": 1,
        "maxReplicas": 5,
    }
    strict = kind.plane.request("POST", kind.path(namespace) + "?fieldValidation=Strict", kind.object("b", nope=1))
    assert strict.code == 400
    assert strict.json["message"] == (
        f'{kind.kind} in version "v1" cannot be handled as a {kind.kind}: strict decoding error: unknown field "spec.nope"'
    )


def test_transition_rules(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a")
    merge = {"Content-Type": "application/merge-patch+json"}
    refused = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"schedule": "1"}}, headers=merge)
    assert refused.code == 422
    assert refused.json["details"]["causes"] == [
        {"reason": "FieldValueForbidden", "message": "Forbidden: schedule was * 5", "field": "spec"}
    ]
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    assert kind.plane.request("PATCH", kind.path(namespace, "a"), {}, headers=strategic).code == 415


def test_status_is_apart(kind: Kind, namespace: str) -> None:
    made = kind.create(namespace, "a")
    asked = {**made, "status": {"replicas": 7}, "spec": {**made["spec"], "replicas": 2}}
    put = kind.plane.request("PUT", kind.path(namespace, "a"), asked)
    assert put.code == 200 and "status" not in put.json and put.json["metadata"]["generation"] == 2
    asked = {**put.json, "status": {"replicas": 7, "labelSelector": "a=b"}, "spec": {"schedule": "9"}}
    asked["metadata"] = {**asked["metadata"], "labels": {"not": "taken"}}
    written = kind.plane.request("PUT", kind.path(namespace, "a") + "/status", asked).json
    assert written["spec"] == put.json["spec"] and written["status"]["replicas"] == 7
    assert written["metadata"]["generation"] == 2 and "labels" not in written["metadata"]
    scale = kind.plane.request("GET", kind.path(namespace, "a") + "/scale").json
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 7, "selector": "a=b"})
    missing = {**kind.object("a"), "metadata": {"name": "a"}}
    refused = kind.plane.request("PUT", kind.path(namespace, "a"), missing)
    assert refused.code == 422 and "must be specified for an update" in refused.json["message"]


def test_selectable_fields(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a")
    kind.create(namespace, "b", schedule="1 1")
    found = kind.plane.request("GET", kind.path(namespace) + "?fieldSelector=spec.schedule%3D1%201").json
    assert [each["metadata"]["name"] for each in found["items"]] == ["b"]
    refused = kind.plane.request("GET", kind.path(namespace) + "?fieldSelector=spec.image%3Dx")
    assert refused.code == 400 and refused.json["message"].endswith("field label not supported: spec.image")


def test_server_side_apply_by_all_keys(kind: Kind, namespace: str) -> None:
    def apply(manager: str, *ports: Object, force: bool = False) -> Any:
        query = f"?fieldManager={manager}" + ("&force=true" if force else "")
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return kind.plane.request(
            "PATCH", kind.path(namespace, "a") + query, kind.object("a", ports=list(ports)), headers=headers
        )

    assert apply("one", {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "name": "dns"}).code == 201
    assert apply("two", {"port": 53, "protocol": "UDP", "name": "other"}).code == 409
    assert apply("two", {"port": 80}).code == 200
    both = apply("one", {"port": 53, "protocol": "UDP", "name": "dns"}).json["spec"]["ports"]
    assert both == [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 80, "protocol": "TCP"}]


def test_atomic_maps_have_one_owner(kind: Kind, namespace: str) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    path = kind.path(namespace, "a")
    made = kind.plane.request("PATCH", f"{path}?fieldManager=one", kind.object("a", atom={"x": "1"}), headers=headers)
    (entry,) = made.json["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:spec"]["f:atom"] == {}
    body = kind.object("a", atom={"y": "2"})
    assert kind.plane.request("PATCH", f"{path}?fieldManager=two", body, headers=headers).code == 409
    forced = kind.plane.request("PATCH", f"{path}?fieldManager=two&force=true", body, headers=headers).json
    assert forced["spec"]["atom"] == {"y": "2"}


def test_watch_ends_when_the_definition_changes(kind: Kind, namespace: str) -> None:
    made = kind.create(namespace, "a")
    connection = kind.plane.connect(timeout=20)
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
    assert f"{kind.group}/v1beta1 {kind.kind} is deprecated" in made.headers["warning"]
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
    with webhook(tmp_path) as (config_, asked):
        kind = make_kind()
        other = orjson.loads(orjson.dumps(kind.version)) | {"name": "v2", "storage": False}
        fields = other["schema"]["openAPIV3Schema"]["properties"]["spec"]
        fields["properties"]["when"] = fields["properties"].pop("schedule")
        fields["required"] = ["when"]
        fields["x-kubernetes-validations"] = []
        other["selectableFields"] = []
        kind.definition["spec"]["versions"].append(other)
        kind.definition["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {"clientConfig": config_, "conversionReviewVersions": ["v1"]},
        }
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
        connection = kind.plane.connect(timeout=20)
        connection.request("GET", kind.path(namespace, "", "v2") + "?watch=true&timeoutSeconds=1&resourceVersion=0")
        lines = connection.getresponse().read().splitlines()
        assert {orjson.loads(line)["object"]["spec"]["when"] for line in lines} == {"* 5", "7"}
        assert asked and all(review["apiVersion"] == "apiextensions.k8s.io/v1" for review in asked)
    refused = kind.plane.request("GET", kind.path(namespace, "a", "v2"))
    assert refused.code == 500
    assert f"conversion webhook for {kind.group}/v1, Kind={kind.kind} failed: Post " in refused.json["message"]
    assert kind.plane.request("GET", kind.path(namespace, "a")).code == 200


@contextmanager
def webhook(directory: Path) -> Iterator[tuple[Object, list[Object]]]:
    """A conversion webhook that moves spec.schedule to spec.when of v2 and back; its clientConfig and what it was asked."""
    authority = Authority.create("webhook")
    pair = authority.issue("127.0.0.1", ips=("127.0.0.1",), server=True)
    (directory / "tls.pem").write_bytes(pair.cert_pem + pair.key_pem)
    asked: list[Object] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(review)
            wanted, converted = review["request"]["desiredAPIVersion"], []
            for obj in review["request"]["objects"]:
                old, new = ("schedule", "when") if wanted.endswith("/v2") else ("when", "schedule")
                spec = {new if field == old else field: value for field, value in obj["spec"].items()}
                converted.append({**obj, "apiVersion": wanted, "spec": spec})
            response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
            body = orjson.dumps({**review, "request": None, "response": response})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = base64.b64encode(authority.pair.cert_pem).decode()
    try:
        yield {"url": f"https://127.0.0.1:{server.server_port}/convert", "caBundle": bundle}, asked
    finally:
        server.shutdown()
        server.server_close()


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
        first.kubectl("delete", "crd", kind.name, "--timeout=20s")
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


def test_names_that_are_taken(make_kind: Callable[..., Kind]) -> None:
    first, second = make_kind().apply(), make_kind()
    spec = second.definition["spec"]
    spec["group"] = first.group
    spec["names"] |= {"kind": first.kind, "shortNames": first.definition["spec"]["names"]["shortNames"]}
    second.name = second.definition["metadata"]["name"] = f"{second.plural}.{first.group}"
    second.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(second.definition))

    def conditions() -> dict[str, Object]:
        status = second.plane.get("crd", second.name)["status"]
        return {each["type"]: each for each in status.get("conditions") or ()}

    wait_until("a verdict", lambda: "NamesAccepted" in conditions())
    found = conditions()["NamesAccepted"]
    assert (found["status"], found["reason"]) == ("False", "ListKindConflict")
    assert found["message"] == f'"{first.kind}List" is already in use'
    assert conditions()["Established"]["reason"] == "NotAccepted"
    second.plane.kubectl("delete", "crd", first.name, "--timeout=20s")
    second.plane.kubectl("wait", "--for=condition=Established", f"crd/{second.name}", "--timeout=10s")


def test_deletion_takes_the_objects_along(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "plain")
    held = kind.plane.request(
        "POST",
        kind.path(namespace),
        {**kind.object("held"), "metadata": {"name": "held", "finalizers": ["example.com/x"]}},
    )
    assert held.code == 201
    deleted = kind.plane.request("DELETE", f"{CRDS}/{kind.name}").json
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    def terminating() -> str:
        status = kind.plane.get("crd", kind.name)["status"]
        return "".join(each["reason"] for each in status["conditions"] if each["type"] == "Terminating")

    wait_until("deletion is in progress", lambda: terminating() == "InstanceDeletionInProgress")
    wait_until("only the held one is left", lambda: len(_names(kind, namespace)) == 1)
    assert kind.plane.request("POST", kind.path(namespace), kind.object("new")).code == 405
    merge = {"Content-Type": "application/merge-patch+json"}
    kind.plane.request("PATCH", kind.path(namespace, "held"), {"metadata": {"finalizers": None}}, headers=merge)
    wait_until("the definition is gone", lambda: kind.plane.request("GET", f"{CRDS}/{kind.name}").code == 404)
    assert kind.plane.request("GET", kind.path(namespace)).code == 404
    assert kind.plane.request("GET", f"/apis/{kind.group}").code == 404


def _names(kind: Kind, namespace: str) -> list[str]:
    return [each["metadata"]["name"] for each in kind.plane.request("GET", kind.path(namespace)).json["items"]]


def test_namespace_deletion_and_garbage_collection(kind: Kind, control_plane: ControlPlane) -> None:
    name = f"going-{next(_NUMBERS)}"
    control_plane.kubectl("create", "namespace", name)
    owner = kind.create(name, "owner")
    reference = {field: owner[field] for field in ("apiVersion", "kind")}
    reference |= {"name": "owner", "uid": owner["metadata"]["uid"]}
    child: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "child", "ownerReferences": [reference]},
    }
    path = f"/api/v1/namespaces/{name}/configmaps"
    assert control_plane.request("POST", path, child).code == 201
    kind.create(name, "other")
    control_plane.request("DELETE", kind.path(name, "owner"))
    # The collector hears of new kinds every half minute, as upstream.
    wait_until("the dependent is collected", lambda: control_plane.request("GET", f"{path}/child").code == 404, 60)
    control_plane.kubectl("delete", "namespace", name, "--timeout=60s")
    assert kind.plane.request("GET", kind.path(name, "other")).code == 404


REFUSED: list[tuple[str, Callable[[Object], Any], str]] = [
    ("name", lambda d: d["metadata"].update(name="x.y.z"), 'metadata.name: Invalid value: "x.y.z": must be spec.names.plural+"."+spec.group'),
    ("group", lambda d: d["spec"].update(group="nodots"), 'spec.group: Invalid value: "nodots": should be a domain with at least one dot'),
    ("scope", lambda d: d["spec"].update(scope="Galaxy"), 'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
    ("storage", lambda d: d["spec"]["versions"][0].update(storage=False), "must have exactly one version marked as storage version"),
    ("version", lambda d: d["spec"]["versions"][0].update(name="V1!"), 'spec.versions[0].name: Invalid value: "V1!": a DNS-1035 label must consist of'),
    ("no-schema", lambda d: d["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
    ("list-kind", lambda d: d["spec"]["names"].update(listKind=d["spec"]["names"]["kind"]), "kind and listKind may not be the same"),
    ("root-type", lambda d: _root(d).pop("type"), "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root"),
    ("field-type", lambda d: _root(d)["properties"].update(x={}), "spec.validation.openAPIV3Schema.properties[x].type: Required value: must not be empty for specified object fields"),
    ("items", lambda d: _root(d)["properties"].update(x={"type": "array"}), "spec.validation.openAPIV3Schema.properties[x].items: Required value: must be specified"),
    ("both", lambda d: _root(d)["properties"].update(x={"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}), "additionalProperties and properties are mutual exclusive"),
    ("unique", lambda d: _root(d)["properties"].update(x={"type": "array", "uniqueItems": True, "items": {"type": "string"}}), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
    ("ref", lambda d: _root(d)["properties"].update(x={"$ref": "#/definitions/y"}), "$ref is not supported"),
    ("pattern", lambda d: _root(d)["properties"].update(x={"type": "string", "pattern": "["}), "must be a valid regular expression, but isn't: error parsing regexp: missing ]"),
    ("nested", lambda d: _root(d).update(anyOf=[{"type": "object"}]), "spec.validation.openAPIV3Schema.anyOf[0].type: Forbidden: must be empty to be structural"),
    ("default", lambda d: _root(d)["properties"].update(x={"type": "integer", "default": "a"}), 'spec.validation.openAPIV3Schema.properties[x].default: Invalid value: "string": default in body must be of type integer: "string"'),
    ("keys", lambda d: _root(d)["properties"].update(x={"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}), "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"),
    ("preserve", lambda d: _root(d).update({"x-kubernetes-preserve-unknown-fields": False}), "must be true or undefined"),
    ("scale", lambda d: d["spec"]["versions"][0]["subresources"]["scale"].update(specReplicasPath=".status.x"), 'spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec'),
    ("column", lambda d: d["spec"]["versions"][0]["additionalPrinterColumns"].append({"name": "x", "type": "text", "jsonPath": ".a"}), 'spec.additionalPrinterColumns[3].type: Invalid value: "text": must be one of boolean,date,integer,number,string'),
    ("selectable", lambda d: d["spec"]["versions"][0].update(selectableFields=[{"jsonPath": ".spec.nope"}]), 'spec.selectableFields[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field'),
    ("protected", lambda d: (d["spec"].update(group="x.k8s.io"), d["metadata"].update(name=f"{d['spec']['names']['plural']}.x.k8s.io")), 'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation'),
    ("webhook", lambda d: d["spec"].update(conversion={"strategy": "Webhook"}), "spec.conversion.conversionReviewVersions: Required value"),
    ("cel-field", lambda d: _rule(d, "self.nope > 1"), "compilation failed: ERROR: <input>:1:5: undefined field 'nope'"),
    ("cel-type", lambda d: _rule(d, "self.replicas"), "cel expression must evaluate to a bool"),
    ("cel-syntax", lambda d: _rule(d, "self.replicas >"), "compilation failed: ERROR: <input>:1:16: Syntax error: mismatched input '<EOF>'"),
    ("cel-empty", lambda d: _rule(d, " "), "x-kubernetes-validations[0].rule: Required value: rule is not specified"),
]  # fmt: skip


def _root(definition: Object) -> Object:
    found: Object = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _rule(definition: Object, text: str) -> None:
    _root(definition)["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": text}]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_definitions(make_kind: Callable[..., Kind], change: Callable[[Object], Any], message: str) -> None:
    kind = make_kind()
    kind.definition = orjson.loads(orjson.dumps(kind.definition))
    change(kind.definition)
    answer = kind.plane.request("POST", CRDS, kind.definition)
    assert answer.code == 422, answer.body
    assert message in answer.json["message"]


def test_what_may_not_change(kind: Kind) -> None:
    asked = kind.plane.request("GET", f"{CRDS}/{kind.name}").json
    asked["spec"]["scope"] = "Cluster"
    refused = kind.plane.request("PUT", f"{CRDS}/{kind.name}", asked)
    assert refused.code == 422
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in refused.json["message"]
    renamed = {**kind.version, "name": "v9"}
    asked = kind.plane.request("GET", f"{CRDS}/{kind.name}").json
    asked["spec"]["versions"] = [renamed]
    refused = kind.plane.request("PUT", f"{CRDS}/{kind.name}", asked)
    assert 'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions' in refused.json["message"]


def test_stored_versions_are_taken_away_by_status(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind()
    kind.definition["spec"]["versions"].append({**kind.version, "name": "v2", "storage": False})
    kind.apply()
    for version in kind.definition["spec"]["versions"]:
        version["storage"] = not version["storage"]
    kind.apply()
    merge = {"Content-Type": "application/merge-patch+json"}
    path = f"{CRDS}/{kind.name}/status"
    refused = kind.plane.request("PATCH", path, {"status": {"storedVersions": ["v1"]}}, headers=merge)
    assert "must have the storage version v2" in refused.json["message"]
    assert kind.plane.request("PATCH", path, {"status": {"storedVersions": ["v2"]}}, headers=merge).code == 200
    del kind.definition["spec"]["versions"][0]
    kind.apply()
    assert kind.plane.get("crd", kind.name)["status"]["storedVersions"] == ["v2"]


def test_formats_that_nobody_checks(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind()
    kind.spec["properties"]["replicas"]["format"] = "int64"
    kind.spec["properties"]["image"]["format"] = "hostname"
    answer = kind.plane.request("POST", CRDS, kind.definition)
    assert answer.code == 201 and answer.headers["warning"] == '299 - "unrecognized format \\"int64\\""'


def test_unchanged_values_are_not_judged_again(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "a", image="long!")
    kind.spec["properties"]["image"]["maxLength"] = 2
    kind.apply()
    merge = {"Content-Type": "application/merge-patch+json"}
    wait_until("the new schema", lambda: "spec.image" in kind.refused(namespace, image="long!"))
    kept = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"level": "low"}}, headers=merge)
    assert kept.code == 200, kept.body
    changed = kind.plane.request("PATCH", kind.path(namespace, "a"), {"spec": {"image": "other"}}, headers=merge)
    assert changed.code == 422


def test_cluster_scope_and_names(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind(scope="Cluster").apply()
    path = f"/apis/{kind.group}/v1/{kind.plural}"
    assert kind.plane.request("POST", path, kind.object("a")).code == 201
    assert kind.plane.request("POST", path, kind.object("Not_A_Name")).code == 422
    assert kind.plane.request("GET", f"{path}/a").json["metadata"].get("namespace") is None


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
        operator.wait(20)
