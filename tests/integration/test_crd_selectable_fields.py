"""Field selectors on fields that only a conversion webhook makes (KEP-4358, KEP-598): v1, which is stored, says
hostPort, v2 says host and port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pytest

from tests.integration.conversion_webhook import Object, conversion_webhook
from tests.integration.definitions import Kind
from tests.integration.process import Answer, wait_until

META = "application/json;as={};g=meta.k8s.io;v=v1"
MERGE = {"Content-Type": "application/merge-patch+json"}


def _split(obj: Object, api_version: str) -> Object:
    found = dict(obj)
    if api_version.endswith("/v2"):
        host, _, port = found.pop("hostPort", "").partition(":")
        return found | {field: value for field, value in (("host", host), ("port", port)) if value}
    host, port = found.pop("host", ""), found.pop("port", "")
    return found | {"hostPort": f"{host}:{port}" if port else host}


def _version(name: str, *fields: str, storage: bool) -> Object:
    schema = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
    columns = [{"name": field, "type": "string", "jsonPath": f".{field}"} for field in fields]
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
        "additionalPrinterColumns": columns,
    }


class Hosts:
    """The kind, in one namespace; `close` ends its webhook."""

    def __init__(self, kind: Kind, namespace: str, close: Callable[[], None]) -> None:
        self.kind, self.namespace, self.close = kind, namespace, close
        self.alone = kind.plane.alone

    def create(self, name: str, host_port: str, **labels: str) -> Object:
        body = {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {"name": name, "labels": labels},
            "hostPort": host_port,
        }
        answer = self.kind.plane.request("POST", self.kind.path(self.namespace), body)
        assert answer.code == 201, answer.body
        found: Object = answer.json
        return found

    def move(self, name: str, host_port: str) -> int:
        """Another hostPort for that object; its revision."""
        path = self.kind.path(self.namespace, name)
        answer = self.kind.plane.request("PATCH", path, {"hostPort": host_port}, headers=MERGE)
        assert answer.code == 200, answer.body
        return int(answer.json["metadata"]["resourceVersion"])

    def path(self, version: str, **query: str) -> str:
        return f"{self.kind.path(self.namespace, '', version)}?{urlencode(query)}"

    def get(self, version: str = "v2", accept: str = "application/json", **query: str) -> Answer:
        return self.kind.plane.request("GET", self.path(version, **query), headers={"Accept": accept})

    def names(self, version: str = "v2", **query: str) -> list[str]:
        answer = self.get(version, **query)
        assert answer.code == 200, answer.body
        return [each["metadata"]["name"] for each in answer.json["items"]]

    def watch(self, version: str = "v2", accept: str = "application/json", **query: str) -> HTTPResponse:
        connection = self.alone.connect(timeout=60)
        connection.request("GET", self.path(version, watch="true", **query), headers={"Accept": accept})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return answer


@pytest.fixture
def hosts(make_kind: Callable[..., Kind], namespace: str, tmp_path: Path) -> Iterator[Hosts]:
    with ExitStack() as undo:
        config, _ = undo.enter_context(conversion_webhook(tmp_path, _split))
        kind = make_kind()
        kind.definition["spec"]["versions"] = [
            _version("v1", "hostPort", storage=True),
            _version("v2", "host", "port", storage=False),
        ]
        kind.definition["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]},
        }
        yield Hosts(kind.apply(), namespace, undo.close)


def _told(answer: HTTPResponse, count: int) -> list[tuple[str, str]]:
    """The next events: type, and name with host."""
    lines = [orjson.loads(answer.readline()) for _ in range(count)]
    assert all("host" in line["object"] for line in lines), lines
    return [(line["type"], f"{line['object']['metadata']['name']} {line['object']['host']}") for line in lines]


def test_lists(hosts: Hosts) -> None:
    hosts.create("a", "host1:80", app="x")
    hosts.create("b", "host1:8080", app="y")
    before = hosts.create("c", "host2", app="x")["metadata"]["resourceVersion"]
    assert hosts.names(fieldSelector="host=host1") == ["a", "b"]
    assert hosts.names(fieldSelector="host=host1,port=80") == ["a"]
    assert hosts.names(fieldSelector="host!=host1") == ["c"]
    assert hosts.names(fieldSelector="port=") == ["c"]
    assert hosts.names(fieldSelector="hostPort=host1:8080", version="v1") == ["b"]
    assert hosts.names(fieldSelector="host=host1", resourceVersion="0") == ["a", "b"]
    assert hosts.names(fieldSelector="host=host1", labelSelector="app=x") == ["a"]
    assert hosts.names(fieldSelector="host=host1,metadata.name=b") == ["b"]
    hosts.move("a", "host2:80")
    assert hosts.names(fieldSelector="host=host1") == ["b"]
    as_before = {"resourceVersion": before, "resourceVersionMatch": "Exact"}
    assert hosts.names(fieldSelector="host=host1", **as_before) == ["a", "b"]
    item = hosts.get(fieldSelector="host=host2,port=80").json["items"][0]
    assert (item["apiVersion"], item["host"], item["port"]) == (f"{hosts.kind.group}/v2", "host2", "80")
    refused = hosts.get(fieldSelector="hostPort=host1:80")
    assert refused.code == 400 and refused.json["message"].endswith("field label not supported: hostPort")


def test_lists_in_pieces(hosts: Hosts) -> None:
    for number in range(7):
        hosts.create(f"n{number}", f"host{number % 2}:80")
    for moved in ("", "host0:81"):
        pages: list[list[str]] = []
        query: dict[str, str] = {"fieldSelector": "host=host1", "limit": "2"}
        while True:
            page = hosts.get(**query)
            assert page.code == 200, page.body
            pages.append([each["metadata"]["name"] for each in page.json["items"]])
            if moved and len(pages) == 1:
                # The rest is read as it was: from the store's history.
                hosts.move("n5", moved)
            if not page.json["metadata"].get("continue"):
                break
            query["continue"] = page.json["metadata"]["continue"]
        assert pages == [["n1", "n3"], ["n5"]]
    assert hosts.names(fieldSelector="host=host1", limit="2") == ["n1", "n3"]
    assert hosts.names(fieldSelector="host=host1") == ["n1", "n3"]


def test_other_shapes_of_a_list(hosts: Hosts) -> None:
    hosts.create("a", "host1:80")
    hosts.create("b", "host2:80")
    table = hosts.get(accept=META.format("Table"), fieldSelector="host=host2").json
    assert [row["cells"] for row in table["rows"]] == [["b", "host2", "80"]]
    partial = hosts.get(accept=META.format("PartialObjectMetadataList"), fieldSelector="host=host2").json
    assert [each["metadata"]["name"] for each in partial["items"]] == ["b"]
    assert partial["items"][0]["kind"] == "PartialObjectMetadata"


def test_what_is_stored_in_another_version(hosts: Hosts) -> None:
    """v1 becomes the version that has to be made, of what v2 stores; what v1 stored before stays as it is."""
    hosts.create("a", "host1:80")
    for version in hosts.kind.definition["spec"]["versions"]:
        version["storage"] = not version["storage"]
    hosts.kind.apply()
    wait_until("v2 is stored", lambda: "v2" in hosts.kind.plane.get("crd", hosts.kind.name)["status"]["storedVersions"])
    hosts.create("b", "host1:80")
    hosts.create("c", "host2:80")
    assert hosts.names(fieldSelector="host=host1") == ["a", "b"]
    assert hosts.names(fieldSelector="hostPort=host1:80", version="v1") == ["a", "b"]


def test_a_default_that_came_later(make_kind: Callable[..., Kind], namespace: str) -> None:
    """It is selected by as it is shown, of what was stored without it, too: by each version's own default."""
    kind = make_kind().apply()
    kind.create(namespace, "a")
    kind.create(namespace, "b", level="high")
    kind.spec["properties"]["level"]["default"] = "low"
    kind.version["selectableFields"].append({"jsonPath": ".spec.level"})
    other = orjson.loads(orjson.dumps(kind.version)) | {"name": "v2", "storage": False}
    other["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["level"]["default"] = "high"
    kind.definition["spec"]["versions"].append(other)
    kind.apply()

    def names(level: str, version: str, **query: str) -> list[str]:
        path = f"{kind.path(namespace, '', version)}?{urlencode({'fieldSelector': f'spec.level={level}', **query})}"
        answer = kind.plane.request("GET", path)
        if "watch" in query:
            return sorted(orjson.loads(line)["object"]["metadata"]["name"] for line in answer.body.splitlines())
        return [each["metadata"]["name"] for each in answer.json.get("items") or ()]

    for version in ("v1", "v2"):
        wait_until("the new schema", lambda v=version: names("high", v))
    assert (names("low", "v1"), names("high", "v1")) == (["a"], ["b"])
    assert (names("low", "v2"), names("high", "v2")) == ([], ["a", "b"])
    lasts = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": "0"}
    assert (names("low", "v1", **lasts), names("high", "v2", **lasts)) == (["a"], ["a", "b"])


def test_watches(hosts: Hosts) -> None:
    revision = hosts.create("a", "host1:80")["metadata"]["resourceVersion"]
    live = hosts.watch(fieldSelector="host=host1", resourceVersion=revision)
    narrow = hosts.watch(fieldSelector="host=host1,port=80", resourceVersion=revision)
    stored = hosts.watch("v1", fieldSelector="hostPort=host1:80", resourceVersion=revision)
    hosts.create("b", "host1:80")
    hosts.create("c", "host2:80")
    hosts.move("b", "host1:8080")
    hosts.move("c", "host1:80")
    left = hosts.move("b", "host2:80")
    assert hosts.kind.plane.request("DELETE", hosts.kind.path(hosts.namespace, "c")).code == 200
    hosts.create("end", "host1:80")
    wide = [("ADDED", "b host1"), ("MODIFIED", "b host1"), ("ADDED", "c host1")]
    assert _told(live, 3) == wide
    gone = orjson.loads(live.readline())
    # It leaves as it was seen last, at the revision of what took it away.
    assert (gone["type"], gone["object"]["host"], gone["object"]["port"]) == ("DELETED", "host1", "8080")
    assert gone["object"]["metadata"]["resourceVersion"] == str(left)
    assert _told(live, 2) == [("DELETED", "c host1"), ("ADDED", "end host1")]
    found = [("ADDED", "b host1"), ("DELETED", "b host1"), ("ADDED", "c host1"), ("DELETED", "c host1")]
    assert _told(narrow, 5) == [*found, ("ADDED", "end host1")]
    types = [(line["type"], line["object"]["metadata"]["name"]) for line in map(orjson.loads, _lines(stored, 5))]
    assert types == [("ADDED", "b"), ("DELETED", "b"), ("ADDED", "c"), ("DELETED", "c"), ("ADDED", "end")]
    # All of it again, from the past.
    past = hosts.watch(fieldSelector="host=host1", resourceVersion=revision)
    assert _told(past, 3) == wide
    table = hosts.watch(accept=META.format("Table"), fieldSelector="host=host2", resourceVersion=revision)
    event = orjson.loads(table.readline())
    assert event["type"] == "ADDED" and event["object"]["rows"][0]["cells"] == ["c", "host2", "80"]


def _lines(answer: HTTPResponse, count: int) -> list[bytes]:
    return [answer.readline() for _ in range(count)]


def test_a_watch_from_before_the_cache(hosts: Hosts) -> None:
    """Nobody has read the kind yet: what went before is in the store's history alone."""
    revision = hosts.create("a", "host2:80")["metadata"]["resourceVersion"]
    for host_port in ("host1:80", "host1:81", "host2:81"):
        hosts.move("a", host_port)
    past = hosts.watch(fieldSelector="host=host1", resourceVersion=revision)
    assert _told(past, 3) == [("ADDED", "a host1"), ("MODIFIED", "a host1"), ("DELETED", "a host1")]
    hosts.move("a", "host1:82")
    assert _told(past, 1) == [("ADDED", "a host1")]


def test_watches_of_the_present_state(hosts: Hosts) -> None:
    hosts.create("a", "host1:80")
    hosts.create("b", "host2:80")
    initial = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    streamed = hosts.watch(fieldSelector="host=host1", **initial)
    assert _told(streamed, 1) == [("ADDED", "a host1")]
    bookmark = orjson.loads(streamed.readline())
    assert bookmark["type"] == "BOOKMARK" and bookmark["object"]["apiVersion"] == f"{hosts.kind.group}/v2"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    hosts.move("b", "host1:81")
    assert _told(streamed, 1) == [("ADDED", "b host1")]
    assert _told(hosts.watch(fieldSelector="host=host1", resourceVersion="0"), 2)[1] == ("ADDED", "b host1")


def test_delete_collection(hosts: Hosts) -> None:
    hosts.create("a", "host1:80")
    hosts.create("b", "host1:8080")
    hosts.create("c", "host2:80")
    path = hosts.path("v2", fieldSelector="host=host1,port=80")
    deleted = hosts.kind.plane.request("DELETE", path)
    assert deleted.code == 200, deleted.body
    assert [each["host"] for each in deleted.json["items"]] == ["host1"]
    assert hosts.names() == ["b", "c"]


def test_conversions_are_remembered(hosts: Hosts) -> None:
    hosts.kind.plane = hosts.alone  # what one server remembers
    hosts.create("a", "host1:80")
    hosts.create("b", "host2:80")
    assert hosts.names(fieldSelector="host=host1") == ["a"]
    hosts.close()
    assert hosts.names(fieldSelector="host=host2") == ["b"]
    hosts.move("a", "host2:80")
    assert hosts.get(fieldSelector="host=host2").code == 500


def test_a_webhook_that_does_not_answer(hosts: Hosts) -> None:
    revision = hosts.create("a", "host1:80")["metadata"]["resourceVersion"]
    live = hosts.watch(fieldSelector="host=host1", resourceVersion=revision)
    hosts.close()
    hosts.create("b", "host1:80")
    sentence = f"conversion webhook for {hosts.kind.group}/v1, Kind={hosts.kind.kind} failed: Post "
    initial = hosts.watch(fieldSelector="host=host1", resourceVersion="0")
    for stream in (live, initial):
        event = orjson.loads(stream.readline())
        assert (event["type"], event["object"]["kind"], event["object"]["code"]) == ("ERROR", "Status", 500)
        assert event["object"]["message"].startswith(sentence)
        assert stream.read() == b""
    queries: tuple[dict[str, str], ...] = ({}, {"limit": "1"}, {"resourceVersion": "0"})
    for query in queries:
        refused = hosts.get(fieldSelector="host=host1", **query)
        assert refused.code == 500 and refused.json["message"].startswith(sentence), refused.body
    refused = hosts.kind.plane.request("DELETE", hosts.path("v2", fieldSelector="host=host1"))
    assert refused.code == 500, refused.body
    # Who names what is stored asks nobody.
    assert hosts.names("v1", fieldSelector="hostPort=host1:80") == ["a", "b"]
    assert hosts.get("v1", fieldSelector="metadata.name=a").code == 200
