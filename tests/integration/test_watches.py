"""Watches in every form a client may ask for, and what they say when they cannot be."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import orjson
import pytest

from apimachinery.client.config import load_kubeconfig
from tests.integration.process import ControlPlane, wait_until

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
ORIGIN = "https://page.example.com"


@pytest.fixture
def path(control_plane: ControlPlane, namespace: str) -> str:
    found = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b"):
        assert control_plane.request("POST", found, {"metadata": {"name": name}}).code == 201

    def is_there() -> bool:
        listed = control_plane.request("GET", f"{found}?resourceVersion=0").json["items"]
        return {item["metadata"]["name"] for item in listed} == {"a", "b", "kube-root-ca.crt"}

    # A watch of whatever version there is begins with what the server's cache has now.
    wait_until("what a watch begins with", is_there, looks=2)
    return found


def events(plane: ControlPlane, path: str, **headers: str) -> list[Any]:
    answer = plane.request("GET", path, headers=headers)
    assert answer.code == 200, answer.body
    return [orjson.loads(line) for line in answer.body.splitlines()]


def names(found: list[Any]) -> list[str]:
    return [event["object"]["metadata"].get("name", "") for event in found]


def test_old_paths(control_plane: ControlPlane, path: str) -> None:
    old = path.replace("/api/v1/", "/api/v1/watch/")
    assert {"a", "b"} <= set(names(events(control_plane, f"{old}?timeoutSeconds=1")))
    assert names(events(control_plane, f"{old}/a?timeoutSeconds=1")) == ["a"]
    assert names(events(control_plane, f"{old}/a?timeoutSeconds=1&fieldSelector=metadata.name%3Da")) == ["a"]
    refused = control_plane.request("GET", f"{old}/a?fieldSelector=metadata.name%3Db")
    assert refused.code == 400 and refused.json["message"] == "fieldSelector metadata.name doesn't match requested name"


def test_a_state_ends_with_a_bookmark_and_a_watch_with_another(control_plane: ControlPlane, path: str) -> None:
    found = events(control_plane, f"{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3")
    first, *_ = (event for event in found if event["type"] == "BOOKMARK")
    assert first["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    begun = first["object"]["metadata"]["resourceVersion"]
    control_plane.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "x-"}})
    query = f"watch=1&allowWatchBookmarks=1&timeoutSeconds=3&resourceVersion={begun}&fieldSelector=metadata.name%3Dnone"
    found = events(control_plane, f"{path}?{query}")
    assert {event["type"] for event in found} == {"BOOKMARK"}, "one at the end; each watch has one a minute besides"
    last = found[-1]
    assert int(last["object"]["metadata"]["resourceVersion"]) > int(begun)
    assert "annotations" not in last["object"]["metadata"]


def test_without_initial_events(control_plane: ControlPlane, path: str) -> None:
    query = "watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    for version in ("", "&resourceVersion=0"):
        assert events(control_plane, f"{path}?{query}{version}") == []


def test_what_is_yet_to_come_is_told_inside(control_plane: ControlPlane, path: str) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999999999"
    (event,) = events(control_plane, f"{path}?{query}")
    assert event["type"] == "ERROR" and event["object"]["code"] == 504
    assert event["object"]["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]


def test_tables_and_metadata(control_plane: ControlPlane, path: str) -> None:
    query = "watch=1&timeoutSeconds=1&fieldSelector=metadata.name%21%3Dkube-root-ca.crt"
    first, second = events(control_plane, f"{path}?{query}", **TABLE)
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["columnDefinitions"] is None and second["object"]["rows"][0]["cells"][0] == "b"
    first, second = events(control_plane, f"{path}?{query}", **PARTIAL)
    assert first["object"]["kind"] == "PartialObjectMetadata" and first["object"]["metadata"]["name"] == "a"
    refused = control_plane.request("GET", f"{path}?watch=1&includeObject=All", headers=TABLE)
    assert refused.code == 400
    assert refused.json["message"] == (
        "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', "
        "'Object', 'None', or empty"
    )
    assert control_plane.request("GET", f"{path}?watch=1", headers={"Accept": "application/yaml"}).code == 406


def test_forms_that_do_not_fit(control_plane: ControlPlane, path: str) -> None:
    refused = control_plane.request("GET", path, headers=PARTIAL)
    assert refused.code == 406
    assert refused.json["message"] == (
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    )
    as_list = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    refused = control_plane.request("GET", f"{path}/a", headers=as_list)
    assert refused.code == 406 and "is not a list (*core.ConfigMap)" in refused.json["message"]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
def test_rows_hold_what_was_asked_for(
    control_plane: ControlPlane, path: str, version: str, include: str, kind: str
) -> None:
    accept = {"Accept": f"application/json;as=Table;v={version};g=meta.k8s.io"}
    table = control_plane.request("GET", f"{path}?includeObject={include}", headers=accept).json
    assert (table["kind"], table["apiVersion"]) == ("Table", f"meta.k8s.io/{version}")
    assert {row["object"]["kind"] for row in table["rows"]} == {kind}
    bare = control_plane.request("GET", f"{path}?includeObject=None", headers=accept).json
    assert {row["object"] for row in bare["rows"]} == {None}


def test_over_a_websocket(control_plane: ControlPlane, path: str) -> None:
    """As a browser does it: who says no origin is refused."""
    offered = ["base64url.bearer.authorization.k8s.io.x", "mine"]

    async def follow() -> tuple[list[Any], str | None, Any]:
        config = load_kubeconfig(control_plane.kubeconfig)
        context = config.ssl_context()
        assert context is not None
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            url = f"https://127.0.0.1:{control_plane.port}{path}?watch=1&fieldSelector=metadata.name%3Da"
            async with session.ws_connect(url, protocols=offered, origin=ORIGIN) as socket:
                found = [await socket.receive_json(timeout=60)]
                await asyncio.to_thread(control_plane.request, "DELETE", f"{path}/a")
                found.append(await socket.receive_json(timeout=60))
                chosen = socket.protocol
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(url)
            async with session.ws_connect(f"{url}&timeoutSeconds=1&resourceVersion=0", origin=ORIGIN) as socket:
                ended = (await socket.receive(timeout=60)).type
            return found, chosen, ended

    found, chosen, ended = asyncio.run(follow())
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in found] == [
        ("ADDED", "a"),
        ("DELETED", "a"),
    ]
    before, after = (int(event["object"]["metadata"]["resourceVersion"]) for event in found)
    assert after > before, "a deletion has a revision of its own"
    assert chosen == "mine"
    assert ended in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


def test_a_watcher_that_does_not_read_is_cut_off(control_plane: ControlPlane, path: str) -> None:
    control_plane = control_plane.alone

    def measured(name: str, *labels: str) -> float:
        lines = control_plane.request("GET", "/metrics").body.decode().splitlines()
        found = [line for line in lines if line.startswith(name) and all(label in line for label in labels)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def terminated() -> float:
        return measured("apiserver_terminated_watchers_total", 'resource="configmaps"')

    def served() -> float:
        return measured("apiserver_longrunning_requests", 'resource="configmaps"', 'scope="namespace"')

    ended, others = terminated(), served()
    connection, writer = control_plane.connect(timeout=60), control_plane.connect(timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.request("GET", f"{path}?watch=1")
    connection.getresponse()
    assert served() == others + 1
    merge = {"Content-Type": "application/merge-patch+json"}
    for number in range(4000):
        document = orjson.dumps({"data": {"x": f"{number:05}" * 2000}})
        writer.request("PATCH", f"{path}/a", document, merge)
        writer.getresponse().read()
        if number % 250 == 249 and terminated() > ended:
            break
    else:
        raise AssertionError("4000 events of 10 kB were kept for a client that reads none")
    wait_until("nothing is held for it any more", lambda: served() == others)
    connection.close()
    writer.close()
