"""Thousands of requests that nobody should send: never the server's fault, nothing stored, no traceback in the log."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from typing import Any

import orjson

from tests.integration.process import ControlPlane

SECONDS = 8.0
AT_LEAST = 300  # requests, on the slowest machine
KINDS = [
    ("/api/v1/namespaces/{}/pods", "v1", "Pod", {"containers": [{"name": "c", "image": "i"}]}),
    ("/api/v1/namespaces/{}/services", "v1", "Service", {"ports": [{"port": 80}], "selector": {"a": "b"}}),
    (
        "/apis/apps/v1/namespaces/{}/deployments",
        "apps/v1",
        "Deployment",
        {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {
                "metadata": {"labels": {"a": "b"}},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]},
            },
        },
    ),
    (
        "/apis/batch/v1/namespaces/{}/jobs",
        "batch/v1",
        "Job",
        {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    ),
]
# One of these in the place of anything makes a document that has to be refused, or is an absent field (null).
WRONG: list[Any] = [[[]], [5], {"": {"": []}}, "\0", -1, 1 << 62, 1.5, True, "x" * 300, {"$patch": "delete"}, [None]]
RAW = [
    b"",
    b"{",
    b"\xff\xfe{}",
    b'{"metadata":{"name":"\xc3\x28"}}',
    b'{"metadata":{"name":"\\ud800"}}',
    b'{"spec":NaN}',
    b'{"spec":{"replicas":Infinity}}',
    b'{"spec":1e999}',
    b'{"spec":' + b"9" * 5000 + b"}",
    b'{"metadata":{"name":5},"metadata":{"name":[]}}',
    b"[" * 5000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b"null",
    b'"text"',
    b"true",
    b"k8s\0",
    b"k8s\0\x0a\xff\xff\xff\xff\x0f",
    b"- &a [*a]",
    b"a: &a [x]\nb: [*a, *a]",
    b"!!python/object/apply:os.system [id]",
    b"{" + b"[{" * 600,
]
MEDIA = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
    "application/json; charset=\xff",
    "/",
]
PATCHES: list[Any] = [
    [{"op": "add"}],
    [{"op": "test", "path": "/metadata/name", "value": {}}],
    [{"op": "copy", "from": "/", "path": "/a/b/c"}],
    [{"op": "replace", "path": "/spec/~2", "value": 1}],
    [{"op": "add", "path": "/data", "value": [[]]}],
    [5],
    [{"op": "move", "from": "/data", "path": "/data/a/b"}],
    {"data": [1]},
    {"data": {"a": {}}},
    {"metadata": []},
    {"metadata": {"name": "other"}},
    {"metadata": {"labels": {"$patch": 5}}},
    {"metadata": {"labels": {"a": {}}}},
    {"metadata": {"finalizers": {"$deleteFromPrimitiveList/": 1}}},
    {"metadata": {"$setElementOrder/finalizers": 5, "finalizers": ["a"]}},
    {"metadata": {"ownerReferences": [5]}},
    {"metadata": {"ownerReferences": [{"$patch": "delete"}]}},
    {"$patch": "nonsense"},
    {"metadata": {"managedFields": [{}, {"manager": 5}]}},
    {"metadata": {"managedFields": [{"operation": "Update", "apiVersion": "v1", "fieldsV1": {"k:{": {"x": 1}}}]}},
    {
        "metadata": {
            "managedFields": [
                {
                    "operation": "Apply",
                    "apiVersion": "v1",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:data": {"k:5": {}}},
                }
            ]
        }
    },
    {"apiVersion": "v1", "kind": "ConfigMap", "$patch": "delete"},
    5,
]

QUERIES = ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "timeoutSeconds"]


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in children:
        yield (*path, key)
        yield from _places(below, (*path, key))


def _broken(document: Any, chance: random.Random) -> Any:
    """A copy with something wrong in one or two places."""
    broken = orjson.loads(orjson.dumps(document))
    for _ in range(chance.randint(1, 2)):
        *parents, last = chance.choice(list(_places(broken)))
        node = broken
        for step in parents:
            node = node[step]
        node[last] = chance.choice(WRONG)
    return broken


def _requests(namespace: str, chance: random.Random) -> Iterator[tuple[str, str, bytes, str]]:
    """Method, path, body, media type; without end. First every raw body and patch, then what chance makes."""
    target = f"/api/v1/namespaces/{namespace}/configmaps/held?fieldManager=f"
    for media in MEDIA:
        for body in RAW:
            yield "POST", KINDS[0][0].format(namespace), body, media
            yield "PATCH", target, body, media
        for patch in PATCHES:
            yield "PATCH", target, orjson.dumps(patch), media
    while True:
        path, version, kind, spec = chance.choice(KINDS)
        document = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": spec}
        yield "POST", path.format(namespace) + "?dryRun=All", orjson.dumps(_broken(document, chance)), MEDIA[0]
        whole = orjson.dumps(document)
        at = chance.randrange(len(whole))
        cut = whole[:at] + bytes([chance.randrange(256)]) + whole[at + chance.randrange(3) :]
        yield "POST", path.format(namespace) + "?dryRun=All", cut, chance.choice(MEDIA[:3])
        word = "".join(chance.choices("%(),=!<>/.\\%00%ff%2e&?aé$", k=12))
        query = chance.choice(QUERIES)
        yield "GET", f"{path.format(namespace)}?{query}={_quoted(word)}", b"", MEDIA[0]
        yield "GET", f"/api/v1/namespaces/{_quoted(word)}/pods/{_quoted(word)}", b"", MEDIA[0]


def _quoted(word: str) -> str:
    return "".join(each if each.isascii() and each not in " &?#" else "%C3%A9" for each in word)


def test_no_request_is_the_servers_fault(control_plane: ControlPlane, namespace: str, seed: int = 20250101) -> None:
    held = {"metadata": {"name": "held"}, "data": {"a": "b"}}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    before = control_plane.request("POST", path, held).json
    end, sent = time.monotonic() + SECONDS, 0
    connection = control_plane.connect()
    with contextlib.closing(connection):
        for method, target, body, media in _requests(namespace, random.Random(seed)):
            headers = {"Content-Type": media}
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            said = (method, target, media, body[:300], answer.status, text[:300])
            assert answer.status < 500, said
            if method != "GET" and "dryRun" not in target and (body not in (b"", b"null") or method == "POST"):
                assert answer.status >= 400 or method == "PATCH", said
            if answer.status >= 400:
                assert orjson.loads(text)["kind"] == "Status", said
            sent += 1
            if time.monotonic() > end and sent >= AT_LEAST:
                break
    for each, *_ in KINDS:
        assert control_plane.request("GET", each.format(namespace)).json["items"] == []
    after = control_plane.request("GET", f"{path}/held").json
    assert after["data"] == before["data"] and after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "Traceback" not in control_plane.log
