"""Answers in protobuf, as client-go's typed clients ask for them: the same objects as in JSON."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from functools import partial
from typing import Any

import aiohttp
import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.client.config import load_kubeconfig
from controlplane.apiserver.front import protobuf
from controlplane.apiserver.front.protobuf_messages import MAGIC
from tests.integration.definitions import Kind
from tests.integration.process import Answer, ControlPlane, wait_until

PROTOBUF = "application/vnd.kubernetes.protobuf"
TYPED = {"Accept": f"{PROTOBUF},application/json"}
# While one looks; and of components each server of a pair has its own.
CHANGING = ("events", "leases", "componentstatuses")
MERGE = "application/merge-patch+json"
METADATA = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@pytest.fixture
def path(control_plane: ControlPlane, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def read(answer: Answer, code: int = 200) -> Any:
    """The document of an answer in protobuf."""
    assert answer.code == code, answer.body
    assert answer.headers["content-type"] == PROTOBUF, answer.body
    return protobuf.decode(answer.body)


def seen(plane: ControlPlane, where: str, **headers: str) -> Answer:
    """The answer of a server that has heard of the object; either of a pair may be asked."""

    def found() -> Answer | None:
        answer = plane.request("GET", where, headers=headers)
        return answer if answer.code == 200 else None

    answer: Answer = wait_until(f"{where} is there", found)
    return answer


def messages(body: bytes) -> list[tuple[str, Any]]:
    """The events of a watch: type and object."""
    found = []
    while body:
        size = int.from_bytes(body[:4])
        found.append(event(body[4 : 4 + size]))
        body = body[4 + size :]
    return found


def event(message: bytes) -> tuple[str, Any]:
    # WatchEvent{type = 1, object = 2: RawExtension{raw = 1}}; the object begins with its magic number.
    kind = message[2 : 2 + message[1]].decode()
    return kind, protobuf.decode(message[message.index(MAGIC) :])


def same(found: Any, expected: Any) -> bool:
    """Whether they differ in nothing but what Go's JSON shows empty, or zero."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return all(
            same(found.get(key), expected.get(key)) or not (full(found.get(key)) or full(expected.get(key)))
            for key in {*found, *expected}
        )
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected)


def full(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(full, value.values()))
    return value not in (None, "", 0, "0", False, [])


def test_what_is_written_read_and_deleted(control_plane: ControlPlane, path: str) -> None:
    body = {"metadata": {"name": "a", "labels": {"b": "1", "a": "2"}}, "data": {"k": "é"}, "binaryData": {"b": "AP8="}}
    made = read(control_plane.request("POST", path, body, headers=TYPED), 201)
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"k": "é"})
    assert made["binaryData"] == {"b": "AP8="} and made["metadata"]["labels"] == {"a": "2", "b": "1"}
    as_json = seen(control_plane, f"{path}/a").json
    assert same(read(seen(control_plane, f"{path}/a", **TYPED)), as_json)
    patch = {**TYPED, "Content-Type": MERGE}
    changed = read(control_plane.request("PATCH", f"{path}/a", {"data": {"k": "2"}}, headers=patch))
    assert changed["data"] == {"k": "2"} and changed["metadata"]["uid"] == made["metadata"]["uid"]
    gone = read(control_plane.request("DELETE", f"{path}/a", headers=TYPED))
    assert (gone["kind"], gone["status"], gone["details"]["name"]) == ("Status", "Success", "a")
    refused = read(control_plane.request("POST", path, {"metadata": {"name": "A"}}, headers=TYPED), 422)
    assert refused["reason"] == "Invalid" and refused["details"]["causes"][0]["field"] == "metadata.name"
    assert control_plane.request("GET", path, headers={"Accept": f"application/json,{PROTOBUF}"}).json["kind"]


def test_what_protobuf_said_can_be_sent_back(control_plane: ControlPlane, path: str) -> None:
    made = control_plane.request("POST", path, {"metadata": {"name": "a"}, "data": {"k": "1"}}, headers=TYPED)
    sent = made.body.replace(b"\x12\x011", b"\x12\x012")  # the value of k
    answer = control_plane.request("PUT", f"{path}/a", sent, headers={**TYPED, "Content-Type": PROTOBUF})
    assert read(answer)["data"] == {"k": "2"}


def test_every_kind_lists_the_same(control_plane: ControlPlane) -> None:
    differ = []
    with contextlib.closing(control_plane.connect()) as connection:

        def asked(where: str, headers: dict[str, str]) -> Answer:
            connection.request("GET", where, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

        def settled(where: str) -> tuple[Any, Any] | None:
            before, found, after = (asked(where, headers) for headers in ({}, TYPED, {}))
            nobody_wrote = before.json["items"] == after.json["items"]
            return (before.json, read(found)) if nobody_wrote else None

        for resource in CATALOGUE:
            if "list" not in resource.verbs or resource.plural in CHANGING:
                continue
            as_json, found = wait_until(f"{resource.plural} are the same twice", partial(settled, resource.path()))
            assert found["kind"] == as_json["kind"]
            for one, other in zip(as_json["items"], found.get("items", []), strict=True):
                about = {key: one[key] for key in ("apiVersion", "kind") if key in one}  # items of a list have no type
                if not same(one, {**about, **other}):
                    differ.append((resource.plural, one, other))
    assert not differ


def test_a_large_list_is_sent_in_portions_and_compressed(control_plane: ControlPlane, path: str) -> None:
    for name in ("a", "b", "c"):
        control_plane.request("POST", path, {"metadata": {"name": name}, "data": {"k": name * 150_000}})

    def whole() -> bool:
        found = read(control_plane.request("GET", path, headers=TYPED))["items"]
        return {"a", "b", "c"} <= {item["metadata"]["name"] for item in found}

    wait_until("all are there", whole)
    plain = control_plane.request("GET", f"{path}?labelSelector=!none", headers=TYPED)
    packed = control_plane.request("GET", path, headers={**TYPED, "Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and len(packed.body) < 50_000
    assert len(plain.body) > 450_000
    items = protobuf.decode(gzip.decompress(packed.body))["items"]
    assert {item["data"]["k"][:1] for item in items if "k" in item["data"]} == {"a", "b", "c"}


def test_a_watch_in_protobuf(control_plane: ControlPlane, path: str) -> None:
    made = read(
        control_plane.request("POST", path, {"metadata": {"name": "a"}, "data": {"k": "1"}}, headers=TYPED), 201
    )
    control_plane.request("PATCH", f"{path}/a", {"data": {"k": "2"}}, headers={"Content-Type": MERGE})
    control_plane.request("DELETE", f"{path}/a")
    control_plane.request("POST", path, {"metadata": {"name": "z"}})  # what the bookmark tells of
    revision = int(made["metadata"]["resourceVersion"]) - 1
    query = f"watch=1&fieldSelector=metadata.name%3Da&resourceVersion={revision}"

    def told(accept: str, seconds: int, last: list[str]) -> list[Any]:
        where = f"{path}?{query}&timeoutSeconds={seconds}&allowWatchBookmarks={len(last)}"
        answer = control_plane.request("GET", where, headers={"Accept": accept})
        assert answer.code == 200 and answer.headers["content-type"] == f"{PROTOBUF};stream=watch"
        found = messages(answer.body)
        kinds = [kind for kind, _ in found]
        return [obj for _, obj in found] if kinds == ["ADDED", "MODIFIED", "DELETED", *last] else []

    *found, bookmark = wait_until("all is told", lambda: told(f"{PROTOBUF};stream=watch", 3, ["BOOKMARK"]))
    assert [obj["data"]["k"] for obj in found] == ["1", "2", "2"]
    assert bookmark["kind"] == "ConfigMap" and int(bookmark["metadata"]["resourceVersion"]) > revision
    found = wait_until("all is told", lambda: told(f"{PROTOBUF};{METADATA}", 1, []))
    assert [(obj["kind"], "data" in obj) for obj in found] == [("PartialObjectMetadata", False)] * 3


def test_what_goes_wrong_in_a_watch_is_told_in_protobuf(control_plane: ControlPlane, path: str) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999999999"
    ahead = control_plane.request("GET", f"{path}?{query}&allowWatchBookmarks=1", headers=TYPED)
    ((kind, told),) = messages(ahead.body)
    assert (kind, told["kind"], told["code"], told["reason"]) == ("ERROR", "Status", 504, "Timeout")


def test_changes_are_pushed_to_a_watch_as_they_happen(control_plane: ControlPlane, path: str) -> None:
    async def follow() -> list[tuple[str, Any]]:
        config = load_kubeconfig(control_plane.kubeconfig)
        url = f"{config.server}{path}?watch=1&timeoutSeconds=100"
        connector = aiohttp.TCPConnector(ssl=config.ssl_context())
        found: list[tuple[str, Any]] = []
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url, headers=TYPED) as answer:
            for name in ("x", "y"):
                await asyncio.to_thread(control_plane.request, "POST", path, {"metadata": {"name": name}})
                async with asyncio.timeout(60):
                    while not any(obj["metadata"]["name"] == name for _, obj in found):
                        size = int.from_bytes(await answer.content.readexactly(4))
                        found.append(event(await answer.content.readexactly(size)))
        return found

    found = asyncio.run(follow())
    assert [obj["metadata"]["name"] for _, obj in found if obj["metadata"]["name"] in ("x", "y")] == ["x", "y"]


def test_over_a_websocket_messages_are_binary(control_plane: ControlPlane, path: str) -> None:
    async def follow() -> tuple[str, Any]:
        config = load_kubeconfig(control_plane.kubeconfig)
        url = f"{config.server.replace('https', 'wss')}{path}?watch=1&fieldSelector=metadata.name%3Da"
        connector = aiohttp.TCPConnector(ssl=config.ssl_context())
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(url, headers={"Accept": PROTOBUF}, origin="https://here") as socket,
            asyncio.timeout(60),
        ):
            return event(await socket.receive_bytes())

    assert control_plane.request("POST", path, {"metadata": {"name": "a"}}).code == 201
    kind, obj = asyncio.run(follow())
    assert kind == "ADDED" and obj["metadata"]["name"] == "a"


def test_of_a_defined_kind_only_metadata_comes_in_protobuf(control_plane: ControlPlane, kind: Kind) -> None:
    where = kind.path("default")
    kind.create("default", "a")
    assert seen(control_plane, f"{where}/a", **TYPED).json["kind"] == kind.kind
    refused = read(control_plane.request("GET", f"{where}/a", headers={"Accept": PROTOBUF}), 406)
    assert refused["reason"] == "NotAcceptable"
    one = read(seen(control_plane, f"{where}/a", Accept=f"{PROTOBUF};{METADATA}"))
    assert (one["kind"], one["metadata"]["name"]) == ("PartialObjectMetadata", "a")
    seen(control_plane, f"{where}/a")
    many = read(control_plane.request("GET", where, headers={"Accept": f"{PROTOBUF};{METADATA_LIST},application/json"}))
    assert many["kind"] == "PartialObjectMetadataList" and many["apiVersion"] == "meta.k8s.io/v1"
    assert "a" in [item["metadata"]["name"] for item in many["items"]]


def test_discovery_in_protobuf(control_plane: ControlPlane) -> None:
    plane = control_plane.alone

    def alike(where: str) -> bool:  # soon: groups of other tests may be on their way out
        return same(read(plane.request("GET", where, headers=TYPED)), plane.request("GET", where).json)

    for where in ("/api", "/apis", "/apis/apps", "/api/v1", "/apis/apps/v1"):
        wait_until(f"{where} is the same", partial(alike, where))


def test_kubectl_explains_by_openapi_v2(control_plane: ControlPlane, kind: Kind) -> None:
    # The form that kubectl before 1.27 knows, which reads /openapi/v2 in protobuf.
    def explained(what: str) -> str:
        done = control_plane.kubectl("explain", what, "--output=plaintext-openapiv2", check=False)
        return done.stdout if done.returncode == 0 else ""

    limits = explained("pods.spec.containers.resources")
    assert "KIND:     Pod" in limits and "limits\t<map[string]string>" in limits, limits
    assert "FIELD:    schedule <string>" in wait_until(
        "the kind is explained", lambda: explained(f"{kind.plural}.spec.schedule")
    )


def test_openapi_v2_is_kept_by_its_tag(control_plane: ControlPlane) -> None:
    headers = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    plane = control_plane.alone

    def unchanged() -> bool:
        first = plane.request("GET", "/openapi/v2", headers=headers)
        assert first.code == 200 and first.body.startswith(b"\n\x032.0")
        assert first.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        again = {**headers, "If-None-Match": first.headers["etag"]}
        return plane.request("GET", "/openapi/v2", headers=again).code == 304

    wait_until("it is not sent again", unchanged)
