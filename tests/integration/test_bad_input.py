"""What nobody should send, line by line: how each is refused, as the real server refuses it, and that nothing of it is
stored. What chance makes of such requests is in test_malformed.py."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.hostile.attacks import BODIES
from tests.integration.definitions import Kind
from tests.integration.process import ControlPlane

JSON, YAML = "application/json", "application/yaml"
FORGED = base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":-1,"start":"../x"}').decode().rstrip("=")


@dataclass(frozen=True)
class Refusal:
    """A request, `{}` in its path standing for the namespace's collection of ConfigMaps, and its answer: the code, and
    what the message holds."""

    name: str
    path: str
    code: int
    says: str = ""
    method: str = "POST"
    body: Any = None
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


NAMES = ("foo\n", "..", "%2F", "a/b", "A")
DEFAULT = "/api/v1/namespaces/default"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"
CONFIGMAP = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
REFUSALS = [
    Refusal("over 3 MiB", "{}", 413, "limit is 3145728", body=BODIES["3 MiB and one"]),
    Refusal("over 3 MiB of spaces", "{}", 413, "limit is 3145728", body=BODIES["8 MiB"]),
    Refusal("100,000 brackets", "{}", 400, "nested deeper", body=BODIES["closed brackets"]),
    Refusal("100,000 brackets of YAML", "{}", 400, "nested deeper", body=BODIES["brackets"], media=YAML),
    Refusal("alias bomb", "{}", 400, "aliases", body=BODIES["alias bomb"], media=YAML),
    Refusal("NaN", "{}", 400, "unrecognized", body=BODIES["NaN"]),
    Refusal("NaN of YAML", "{}", 400, "unsupported value", body=BODIES["yaml nan"], media=YAML),
    Refusal("1e400", "{}", 400, "unrecognized", body=BODIES["1e400"]),
    Refusal("lone surrogate", "{}", 400, "unrecognized", body=BODIES["lone surrogate"]),
    Refusal("lone surrogate in a key", "{}", 400, "unrecognized", body=BODIES["lone surrogate in a key"]),
    Refusal("NUL", "{}", 422, SUBDOMAIN, body=BODIES["NUL"]),
    Refusal("raw NUL", "{}", 400, "unrecognized", body=BODIES["raw NUL"]),
    Refusal("beyond 64 bits", "{}", 400, "cannot unmarshal number", body=BODIES["beyond 64 bits"]),
    Refusal("no UTF-8", "{}", 400, "unrecognized", body=BODIES["not utf-8"]),
    Refusal(
        "doubled keys", "{}?fieldValidation=Strict", 400,
        CONFIGMAP + 'strict decoding error: duplicate field "metadata.name", duplicate field "data.a"',
        body=b'{"metadata":{"name":"a","name":"b"},"data":{"a":"1","a":"2"}}',
    ),
    Refusal(
        "doubled keys of YAML", "{}?fieldValidation=Strict", 400, 'line 3: key "a" already set in map',
        body=b"data:\n  a: '1'\n  a: '2'\n", media=YAML,
    ),
    *(Refusal(f"name {name!r}", "{}", 422, SUBDOMAIN, body=_named(name)) for name in NAMES),
    Refusal("254 characters", "{}", 422, "must be no more than 253 characters", body=_named("a" * 254)),
    Refusal("no name", "{}", 422, "name or generateName is required", body={}),
    Refusal("null", "{}", 422, "name or generateName is required", body=b"null"),
    Refusal("nothing in YAML", "{}", 422, "name or generateName is required", body=b"# nothing\n", media=YAML),
    Refusal("forged token", "{}?limit=1&continue=" + FORGED, 400, "continue key is not valid", "GET"),
    Refusal("nonsense for a token", "{}?limit=1&continue=%00", 400, "continue key is not valid", "GET"),
    Refusal("version abc", "{}?resourceVersion=abc", 400, "resourceVersion", "GET"),
    Refusal("watch from abc", "{}?watch=true&resourceVersion=abc&timeoutSeconds=1", 422, "invalid syntax", "GET"),
    Refusal("limit abc", "{}?limit=abc", 400, "", "GET"),
    Refusal("limit of nothing", "{}?limit=", 400, 'parsing "": invalid syntax', "GET"),
    Refusal("limit beyond 64 bits", "{}?limit=" + "9" * 19, 400, "value out of range", "GET"),
    Refusal("export", "{}/a?export", 400, "the export parameter, deprecated since v1.14, is no longer", "GET"),
    Refusal("dry run of exec", DEFAULT + "/pods/p/exec?command=id&dryRun=All", 400, "dryRun is not supported"),
    Refusal("dry run of a proxy", DEFAULT + "/services/s/proxy/?dryRun=", 400, "dryRun is not supported", "GET"),
    Refusal("no name in an update", "{}/a", 400, "(a based on URL) was undeterminable", "PUT", body={}),
    Refusal("labels", "{}?labelSelector=a%20in%20(", 400, "unable to parse requirement", "GET"),
    Refusal("fields", "{}?fieldSelector=spec.nothing%3D1", 400, "is not a known field selector", "GET"),
    Refusal("up and over", "/api/v1/namespaces/a/../kube-system/secrets", 404, "", "GET"),
    Refusal("up, encoded", "/api/v1/namespaces/a/%2e%2e/kube-system/secrets", 404, "", "GET"),
    Refusal("encoded slash", "{}/a%2Fb", 404, "could not find the requested resource", "GET"),
    Refusal("bad escape", "{}/%zz", 400, "", "GET"),
    Refusal("two dots", "{}/..", 400, """Name parameter invalid: "..": may not be '..'""", "PUT", body={}),
    Refusal("percent sign", "{}/a%25b", 400, """Name parameter invalid: "a%b": may not contain '%'""", "DELETE"),
    Refusal("a large header", "{}", 431, "", "GET", headers={"X": "y" * (1 << 20)}),
]  # fmt: skip


def test_each_is_refused_in_its_way_and_nothing_is_stored(control_plane: ControlPlane, namespace: str) -> None:
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    before = control_plane.request("GET", base).json["items"]
    wrong = []
    for each in REFUSALS:
        headers = {"Content-Type": each.media, **each.headers}
        answer = control_plane.request(each.method, each.path.replace("{}", base), each.body, headers=headers)
        message = answer.json.get("message", "accepted") if answer.headers.get("content-type") == JSON else ""
        if answer.code != each.code or each.says not in message:
            wrong.append((each.name, answer.code, message[:300]))
    assert not wrong, wrong
    assert control_plane.request("GET", base).json["items"] == before


def test_doubled_keys_are_warned_of_and_the_last_one_counts(control_plane: ControlPlane, namespace: str) -> None:
    base = f"/api/v1/namespaces/{namespace}/configmaps"
    body = b'{"metadata":{"name":"doubled"},"data":{"a":"1","a":"2"}}'
    made = control_plane.request("POST", base, body)
    assert made.code == 201
    assert made.headers["warning"] == '299 - "duplicate field \\"data.a\\""'
    assert made.json["data"] == {"a": "2"}
    patch = b'{"data":{"b":"1","b":"2"}}'
    merge = {"Content-Type": "application/merge-patch+json"}
    path = f"{base}/doubled"
    assert control_plane.request("PATCH", f"{path}?fieldValidation=Strict", patch, headers=merge).code == 422
    assert control_plane.request("GET", path).json["data"] == {"a": "2"}
    silent = control_plane.request("PATCH", f"{path}?fieldValidation=Ignore", patch, headers=merge)
    assert (silent.code, silent.headers.get("warning"), silent.json["data"]) == (200, None, {"a": "2", "b": "2"})
    applied = control_plane.request(
        "PATCH", f"{path}?fieldManager=me&force=true", orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap"})[:-1]
        + b',"data":{"c":"1","c":"2"}}', headers={"Content-Type": "application/apply-patch+yaml"},
    )  # fmt: skip
    assert applied.code == 200
    assert 'key \\"c\\" already set in map' in applied.headers["warning"]


def test_doubled_keys_of_a_defined_kind(control_plane: ControlPlane, namespace: str, kind: Kind) -> None:
    body = orjson.dumps(kind.object("doubled", nope=1))[:-1] + b',"kind":"%b"}' % kind.kind.encode()
    refused = control_plane.request("POST", kind.path(namespace) + "?fieldValidation=Strict", body)
    assert refused.code == 400
    sentence = 'strict decoding error: unknown field "spec.nope", duplicate field "kind"'
    assert refused.json["message"].endswith(sentence)
    warned = control_plane.request("POST", kind.path(namespace) + "?dryRun=All", body)
    assert warned.code == 201
    assert warned.headers["warning"] == '299 - "duplicate field \\"kind\\""', "of several the last"


@pytest.mark.parametrize("path", ["//api/v1/secrets", "/api//v1/secrets", "/api/v1/namespaces//kube-system/secrets"])
def test_empty_words_of_a_path_lead_nowhere(control_plane: ControlPlane, path: str) -> None:
    answer = control_plane.request("GET", path)
    assert answer.code in (301, 400, 404), answer.body
    assert b"items" not in answer.body
