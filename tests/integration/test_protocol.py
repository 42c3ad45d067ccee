"""The API over raw HTTP: lists, watches, optimistic locking, refusals."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.integration.process import ControlPlane, wait_until

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Api:
    """Config maps of one namespace, by HTTP."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.path = plane, f"/api/v1/namespaces/{namespace}/configmaps"

    def create(self, name: str, **more: Any) -> Any:
        labels = more.pop("labels", {})
        document = {"metadata": {"name": name, "labels": labels}, "data": more}
        answer = self.plane.request("POST", self.path, document)
        assert answer.code == 201, answer.body
        return answer.json

    def list(self, query: str = "", code: int = 200) -> Any:
        answer = self.plane.request("GET", f"{self.path}?{query}")
        assert answer.code == code, answer.body
        return answer.json

    def patch(self, name: str, document: Any) -> Any:
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.plane.request("PATCH", f"{self.path}/{name}", document, headers=headers)
        assert answer.code == 200, answer.body
        return answer.json

    @contextlib.contextmanager
    def watch(self, query: str) -> Iterator[Iterator[Any]]:
        connection = self.plane.connect(timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", f"{self.path}?watch=1&{query}")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield (orjson.loads(line) for line in iter(answer.readline, b""))


@pytest.fixture
def api(control_plane: ControlPlane, namespace: str) -> Api:
    return Api(control_plane, namespace)


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"] if item["metadata"]["name"] != "kube-root-ca.crt"]


def test_a_continued_list_is_of_one_moment(api: Api) -> None:
    for number in range(5):
        api.create(f"c{number}")
    first = api.list("limit=2")
    assert len(first["items"]) == 2 and first["metadata"]["remainingItemCount"] >= 3
    api.create("c3-late")
    found, page = names(first), first
    while token := page["metadata"].get("continue"):
        page = api.list(f"limit=2&continue={token}")
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        found += names(page)
    assert found == ["c0", "c1", "c2", "c3", "c4"]


def test_the_revisions_of_a_list(api: Api) -> None:
    old = api.create("a")["metadata"]["resourceVersion"]
    api.create("b")
    assert names(api.list(f"resourceVersion={old}&resourceVersionMatch=Exact")) == ["a"]
    assert names(api.list(f"resourceVersion={old}&resourceVersionMatch=NotOlderThan")) == ["a", "b"]
    assert names(api.list(f"resourceVersion={old}")) == ["a", "b"]
    later = api.list("resourceVersion=999999999", code=504)
    assert "Too large resource version" in later["message"]


def test_a_watch_continues_a_list(api: Api) -> None:
    listed = api.list()
    with api.watch(f"resourceVersion={listed['metadata']['resourceVersion']}") as events:
        api.create("a")
        api.patch("a", {"data": {"x": "1"}})
        api.plane.request("DELETE", f"{api.path}/a")
        seen = [next(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions)), "the removal has a revision of its own"


def test_crossing_a_selector_is_adding_and_deleting(api: Api) -> None:
    version = api.create("a", labels={"tier": "front"})["metadata"]["resourceVersion"]
    with api.watch(f"resourceVersion={version}&labelSelector=tier%3Dback") as events:
        api.patch("a", {"metadata": {"labels": {"tier": "back"}}})
        api.patch("a", {"data": {"x": "1"}})
        api.patch("a", {"metadata": {"labels": {"tier": "front"}}})
        assert [next(events)["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]


def test_a_streaming_list_says_when_it_is_complete(api: Api) -> None:
    api.create("a")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with api.watch(query) as events:
        seen = []
        for event in events:
            seen.append(event)
            if event["type"] == "BOOKMARK":
                break
    assert "a" in [event["object"]["metadata"]["name"] for event in seen[:-1]]
    assert seen[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert seen[-1]["object"]["kind"] == "ConfigMap"


def test_a_watch_ends_in_time(api: Api) -> None:
    with api.watch("timeoutSeconds=1&resourceVersion=0") as events:
        assert {event["type"] for event in events} <= {"ADDED"}


def test_shapes_of_a_list(api: Api) -> None:
    api.create("a", x="1")
    table = api.plane.request("GET", api.path, headers={"Accept": TABLE}).json
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    row = next(row for row in table["rows"] if row["cells"][0] == "a")
    assert row["cells"][1] == 1 and row["object"]["kind"] == "PartialObjectMetadata"
    partial = api.plane.request("GET", api.path, headers={"Accept": PARTIAL}).json
    assert partial["kind"] == "PartialObjectMetadataList" and "data" not in partial["items"][0]
    yaml = api.plane.request("GET", f"{api.path}/a", headers={"Accept": "application/yaml"})
    assert yaml.headers["content-type"] == "application/yaml" and b"kind: ConfigMap" in yaml.body


def test_contended_updates_lose_nothing(api: Api) -> None:
    api.create("counter", value="0")
    path = f"{api.path}/counter"

    def add(_: int) -> int:
        for attempt in range(200):
            current = api.plane.request("GET", path).json
            current["data"]["value"] = str(int(current["data"]["value"]) + 1)
            code = api.plane.request("PUT", path, current).code
            if code == 200:
                return attempt
            assert code == 409
        raise AssertionError("never won")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert api.plane.request("GET", path).json["data"]["value"] == "24"


def test_many_services_at_once_share_no_address(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"

    def create(number: int) -> Any:
        spec = {"type": "NodePort", "ports": [{"port": 80}], "selector": {"app": "x"}}
        answer = control_plane.request("POST", path, {"metadata": {"name": f"s{number}"}, "spec": spec})
        assert answer.code == 201, answer.body
        return answer.json["spec"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(30)))
    assert len({spec["clusterIP"] for spec in made}) == 30
    assert len({spec["ports"][0]["nodePort"] for spec in made}) == 30
    taken = {"type": "ClusterIP", "clusterIP": made[0]["clusterIP"], "ports": [{"port": 80}]}
    refused = control_plane.request("POST", path, {"metadata": {"name": "thief"}, "spec": taken})
    assert refused.code == 422 and "already allocated" in refused.json["message"]
    outside = {**taken, "clusterIP": "192.0.2.1"}
    refused = control_plane.request("POST", path, {"metadata": {"name": "far"}, "spec": outside})
    assert refused.code == 422 and "not in the valid range" in refused.json["message"]
    control_plane.request("DELETE", f"{path}/s0")
    again = control_plane.request("POST", path, {"metadata": {"name": "heir"}, "spec": taken})
    assert again.code == 201, again.body


def test_what_no_path_offers(api: Api) -> None:
    """Objects of all namespaces are read at once, never deleted; a name is not created at."""
    plane = api.plane
    api.create("kept")
    for method, path in (
        ("DELETE", "/api/v1/configmaps"),
        ("POST", "/api/v1/configmaps"),
        ("POST", f"{api.path}/kept"),
        ("PUT", api.path),
    ):
        answer = plane.request(method, path, {"metadata": {"name": "kept"}})
        assert (answer.code, answer.json["reason"]) == (405, "MethodNotAllowed"), path
    assert names(api.list()) == ["kept"]
    watched = plane.request("GET", f"{api.path}?watch=anything&timeoutSeconds=1")
    assert watched.body.startswith(b'{"type":"ADDED"'), "whatever is neither 0 nor false is true"
    assert plane.request("GET", f"{api.path}?watch=False").json["kind"] == "ConfigMapList"


def test_the_time_that_a_client_gives(api: Api) -> None:
    """kubectl --request-timeout: less than ours counts, more and 0 do not, and what is no duration is refused."""
    refused = api.plane.request("GET", f"{api.path}?timeout=soon")
    assert (refused.code, refused.json["message"]) == (
        400, 'invalid timeout specified in the request URL - time: invalid duration "soon"'
    )  # fmt: skip
    assert {api.plane.request("GET", f"{api.path}?timeout={each}").code for each in ("0s", "3m", "30s")} == {200}
    with contextlib.closing(api.plane.connect()) as connection:
        connection.putrequest("POST", f"{api.path}?timeout=1s")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"{")  # and no more
        answer = connection.getresponse()
        told = orjson.loads(answer.read())
    assert (answer.status, told["reason"]) == (504, "Timeout")
    assert told["message"] == "Timeout: request did not complete within the allotted timeout"


def test_nothing_is_written_for_an_answer_that_nobody_reads(api: Api) -> None:
    api.create("there")
    page, table = {"Accept": "text/html"}, {"Accept": TABLE}
    assert api.plane.request("POST", api.path, {"metadata": {"name": "a"}}, headers=page).code == 406
    assert api.plane.request("DELETE", f"{api.path}/there", headers=page).code == 406
    assert api.plane.request("DELETE", api.path, headers=page).code == 406
    assert names(api.list()) == ["there"]
    # A Status has no other shape, and is told as it is.
    assert api.plane.request("DELETE", f"{api.path}/there", headers=table).json["status"] == "Success"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "),
        ("/api/v1", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "),
        ("/apis", "only the following media types are accepted: application/json, application/yaml, "),
        ("/apis/apps", "only the following media types are accepted: application/json, application/yaml, "),
        ("/apis/apps/v1", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "),
        ("/version", "406: Not Acceptable\n\nAvailable representations: application/json"),
    ],
)
def test_discovery_is_no_page(control_plane: ControlPlane, path: str, said: str) -> None:
    refused = control_plane.request("GET", path, headers={"Accept": "text/html"})
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable")
    assert refused.json["message"].startswith(said)
    assert refused.body.startswith(b'{\n  "kind": "Status",\n'), "what cannot be negotiated is indented"
    assert control_plane.request("GET", "/openapi/v2", headers={"Accept": "text/html"}).code == 406


@pytest.mark.parametrize(
    ("method", "media", "code", "said"),
    [
        ("PATCH", "application/json", 415, "415: Unsupported Media Type"),
        ("PATCH", "", 415, "415: Unsupported Media Type"),
        ("POST", "text/yaml", 415, "the body of the request was in an unknown format - accepted media types include: "),
        ("PUT", ";;", 415, "the body of the request was in an unknown format - accepted media types include: "),
        ("POST", "application/json; a", 415, "the body of the request was in an unknown format - accepted media"),
        ("POST", 'application/json; charset="utf-8";', 422, 'ConfigMap "" is invalid: metadata.name: Required value'),
    ],
)
def test_bodies_of_other_media_types(api: Api, method: str, media: str, code: int, said: str) -> None:
    path = api.path if method == "POST" else f"{api.path}/a"
    refused = api.plane.request(method, path, {}, headers={"Content-Type": media})
    assert (refused.code, refused.json["message"][: len(said)]) == (code, said)


def test_what_is_forbidden_is_not_sniffed(control_plane: ControlPlane) -> None:
    headers = {"Impersonate-User": "nobody"}
    refused = control_plane.request("GET", "/api/v1/secrets", headers=headers)
    assert (refused.code, refused.headers["x-content-type-options"]) == (403, "nosniff")


def test_an_accept_header_may_ask_for_indentation(api: Api) -> None:
    api.create("a")
    shown = api.plane.request("GET", f"{api.path}/a", headers={"Accept": "application/json;pretty=1"})
    assert shown.body.startswith(b'{\n  "kind": "ConfigMap",\n')


def test_deletion_waits_for_finalizers(api: Api) -> None:
    document = {"metadata": {"name": "held", "finalizers": ["example.com/keep"]}}
    assert api.plane.request("POST", api.path, document).code == 201
    answer = api.plane.request("DELETE", f"{api.path}/held")
    assert answer.code == 200 and answer.json["metadata"]["deletionTimestamp"]
    assert names(api.list()) == ["held"]
    api.patch("held", {"metadata": {"finalizers": []}})
    assert names(api.list()) == []


def test_preconditions_of_a_deletion(api: Api) -> None:
    made = api.create("a")["metadata"]
    wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    answer = api.plane.request("DELETE", f"{api.path}/a", wrong)
    assert answer.code == 409 and "UID in the precondition" in answer.json["message"]
    wrong["preconditions"] = {"resourceVersion": "1"}
    answer = api.plane.request("DELETE", f"{api.path}/a", wrong)
    assert answer.json["message"] == (
        'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match '
        f"the ResourceVersion in record ({made['resourceVersion']}). The object might have been modified"
    )
    right = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": made["uid"]}}
    assert api.plane.request("DELETE", f"{api.path}/a", right).json["status"] == "Success"


def test_options_of_a_deletion_are_the_bodys_or_the_querys(api: Api) -> None:
    api.create("a")
    assert api.plane.request("DELETE", f"{api.path}/a?dryRun=All").code == 200 and names(api.list()) == ["a"]
    body = {"kind": "DeleteOptions", "apiVersion": "v1"}
    assert api.plane.request("DELETE", f"{api.path}/a?dryRun=All", body).code == 200 and names(api.list()) == []
    api.create("b")
    assert api.plane.request("DELETE", f"{api.path}/b", b"null").code == 200 and names(api.list()) == []


def test_deleting_a_page_of_a_collection(api: Api) -> None:
    for name in "abc":
        api.create(name, labels={"of": "these"})
    path = f"{api.path}?labelSelector=of%3Dthese"
    assert api.plane.request("DELETE", f"{path}&resourceVersionMatch=Exact").code == 422
    first = api.plane.request("DELETE", f"{path}&limit=2").json
    assert names(first) == ["a", "b"] and "deletionTimestamp" not in first["items"][0]["metadata"]
    assert names(api.list()) == ["c"]
    again = api.plane.request("DELETE", f"{path}&limit=2&continue={first['metadata']['continue']}").json
    assert names(again) == ["c"] and "continue" not in again["metadata"]
    listed = api.list()
    assert names(listed) == []
    rest = api.plane.request("DELETE", path).json
    assert rest["items"] == [] and int(rest["metadata"]["resourceVersion"]) >= int(
        listed["metadata"]["resourceVersion"]
    )


def test_operations_that_say_what_none_does(api: Api) -> None:
    api.create("a")
    headers = {"Content-Type": "application/json-patch+json"}
    operation = b'[{"op": "add", "path": "/data", "value": {"x": "1", "x": "2"}, "valeu": {}}]'
    answer = api.plane.request("PATCH", f"{api.path}/a", operation, headers=headers)
    assert answer.code == 200 and answer.json["data"] == {"x": "2"}
    told = answer.headers["warning"]  # the last of them
    assert told == '299 - "json patch duplicate field \\"[0].value.x\\""'
    answer = api.plane.request("PATCH", f"{api.path}/a?fieldValidation=Strict", operation, headers=headers)
    assert answer.code == 422
    assert 'strict decoding error: json patch unknown field "[0].valeu", json patch dup' in answer.json["message"]
    answer = api.plane.request("PATCH", f"{api.path}/a?fieldValidation=Ignore", operation, headers=headers)
    assert answer.code == 200 and "warning" not in answer.headers
    many = [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10_001
    answer = api.plane.request("PATCH", f"{api.path}/a", many, headers=headers)
    most = "The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert (answer.code, answer.json["message"]) == (413, f"Request entity too large: {most}")


def test_generated_names_differ(api: Api) -> None:
    made = [api.plane.request("POST", api.path, {"metadata": {"generateName": "g-"}}).json for _ in range(5)]
    found = {obj["metadata"]["name"] for obj in made}
    assert len(found) == 5 and all(name.startswith("g-") and len(name) == 7 for name in found)


def test_a_pod_is_bound_once_and_deleted_gracefully(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "busybox"}], "nodeSelector": {"never": "matches"}}
    made = control_plane.request("POST", path, {"metadata": {"name": "p"}, "spec": spec})
    assert made.code == 201 and made.json["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "elsewhere"}}
    for below, kind, body in (("binding", "Binding", binding), ("eviction", "Eviction", {})):
        for name in ({}, {"name": "q"}):
            refused = control_plane.request("POST", f"{path}/p/{below}", {**body, "metadata": name})
            assert (refused.code, refused.json["message"]) == (
                400, f"name in URL does not match name in {kind} object"
            )  # fmt: skip
    assert control_plane.request("POST", f"{path}/p/binding", binding).code == 201
    assert control_plane.request("POST", f"{path}/p/binding", binding).code == 409
    answer = control_plane.request("DELETE", f"{path}/p").json
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    for again in ("", "?gracePeriodSeconds=60"):
        assert control_plane.request("DELETE", f"{path}/p{again}").json["metadata"] == answer["metadata"]
    assert control_plane.request("GET", f"{path}/p").code == 200
    assert control_plane.request("DELETE", f"{path}/p?gracePeriodSeconds=0").code == 200
    assert control_plane.request("GET", f"{path}/p").code == 404


def test_the_status_is_apart(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    labels = {"app": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    document = {"metadata": {"name": "r"}, "spec": spec, "status": {"replicas": 7}}
    made = control_plane.request("POST", path, document).json
    assert made.get("status", {}).get("replicas", 0) == 0
    observed = wait_until(
        "the controller has seen it",
        lambda: (
            (obj := control_plane.request("GET", f"{path}/r").json).get("status", {}).get("observedGeneration") and obj
        ),
    )
    changed = {**observed, "spec": {**spec, "replicas": 5}, "status": {"replicas": 3}}
    answer = control_plane.request("PUT", f"{path}/r/status", changed).json
    assert answer["spec"]["replicas"] == 0 and answer["metadata"]["generation"] == 1


def test_what_is_made_in_a_namespace_only(control_plane: ControlPlane) -> None:
    assert control_plane.request("POST", "/api/v1/configmaps", {}).code == 405, "they are listed there"
    assert control_plane.request("POST", "/api/v1/bindings", {}).code == 404


BAD_PATHS = [
    "/api/v1/namespaces/a/../kube-system/secrets",
    "/api/v1/namespaces/a/%2e%2e/secrets",
    "/api/v1//pods",
    "/api/v1/nothing",
    "/api/v2/pods",
    "/apis/apps/v1/nothing",
    "/apis/apps/v9",
]
NO_PATHS = ["/apis/nothing.example.com/v1/things", "/apis/nothing.example.com", "/nothing", "/nothing/at/all"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_are_none(control_plane: ControlPlane, path: str) -> None:
    answer = control_plane.request("GET", path)
    assert (answer.code, answer.json["kind"], answer.json["reason"]) == (404, "Status", "NotFound")


@pytest.mark.parametrize("path", NO_PATHS)
def test_paths_that_lead_nowhere(control_plane: ControlPlane, path: str) -> None:
    answer = control_plane.request("GET", path)
    assert (answer.code, answer.body) == (404, b"404 page not found\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    done = control_plane.kubectl("get", "--raw", path, check=False)
    assert done.stderr == "Error from server (NotFound): the server could not find the requested resource\n"


def _pod(**spec: Any) -> Any:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


BAD_BODIES: list[tuple[str, Any, int, str]] = [
    ("cut off", b'{"metadata"', 400, "unrecognized"),
    ("no object", [], 400, "cannot unmarshal array into Go value"),
    ("100,000 brackets", b"[" * 100_000, 400, "nested deeper"),
    ("wrong type", {"metadata": {"name": 5}}, 400, "cannot unmarshal number into Go struct field"),
    ("wrong kind", {"kind": "Service", "apiVersion": "v1"}, 400, "cannot be handled as a Pod"),
    ("wrong version", {"kind": "Pod", "apiVersion": "v2"}, 400, 'no kind "Pod" is registered for version "v2"'),
    ("no name", {"spec": {"containers": [{"name": "c", "image": "i"}]}}, 422, "name or generateName is required"),
    ("newline in name", {**_pod(), "metadata": {"name": "foo\n"}}, 422, "metadata.name"),
    ("dots", {**_pod(), "metadata": {"name": ".."}}, 422, "metadata.name"),
    ("254 characters", {**_pod(), "metadata": {"name": "a" * 254}}, 422, "metadata.name"),
    ("other namespace", {**_pod(), "metadata": {"name": "p", "namespace": "zz"}}, 400, "does not match the namespace"),
    ("restartPolicy", _pod(restartPolicy="Bogus"), 422, "spec.restartPolicy: Unsupported value"),
    ("quantity", _pod(containers=[{"name": "c", "image": "i", "resources": {"limits": {"cpu": "abc"}}}]), 400, "quant"),
    ("no containers", {"metadata": {"name": "p"}, "spec": {}}, 422, "spec.containers: Required value"),
    ("has a version", {**_pod(), "metadata": {"name": "p", "resourceVersion": "5"}}, 400, "should not be set"),
]


@pytest.mark.parametrize(
    ("body", "code", "sentence"), [each[1:] for each in BAD_BODIES], ids=[e[0] for e in BAD_BODIES]
)
def test_bodies_that_are_refused(
    control_plane: ControlPlane, namespace: str, body: Any, code: int, sentence: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    answer = control_plane.request("POST", path, body)
    assert answer.code == code, answer.body
    assert answer.json["kind"] == "Status" and sentence in answer.json["message"], answer.json["message"]
    assert control_plane.request("GET", path).json["items"] == []


@pytest.mark.parametrize("word", ["delete", "replace", "merge"])
def test_an_applied_configuration_holds_no_directives(api: Api, word: str) -> None:
    api.create("a", x="1")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"$patch": word}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    path = f"{api.path}/a?fieldManager=f&force=true"
    for document, field in ((config, ".data.$patch"), ({**config, "$patch": word, "data": {}}, ".$patch")):
        answer = api.plane.request("PATCH", path, document, headers=headers)
        assert answer.code == 400 and f" {field}: field not declared in schema" in answer.json["message"], answer.body
    assert api.plane.request("GET", f"{api.path}/a").json["data"] == {"x": "1"}


def test_a_body_over_three_mebibytes(api: Api) -> None:
    answer = api.plane.request("POST", api.path, b'{"data":{"a":"' + b"x" * (3 * 1024 * 1024) + b'"}}')
    assert answer.code == 413 and answer.json["reason"] == "RequestEntityTooLarge"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("labelSelector=a%2C%2Cb", 400),
        ("labelSelector=" + "(" * 500, 400),
        ("fieldSelector=spec.nothing%3Dx", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersion=-1", 400),
        ("limit=x", 400),
        ("continue=abc", 400),
        ("continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLi9zZWNyZXRzLyJ9", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Sometimes", 422),
        ("sendInitialEvents=true", 422),
    ],
)
def test_queries_that_are_refused(api: Api, query: str, code: int) -> None:
    refused = api.list(query, code=code)
    assert refused["kind"] == "Status" and refused["message"]


def test_strangers(control_plane: ControlPlane) -> None:
    anonymous = control_plane.request("GET", "/api/v1/pods", anonymous=True)
    assert anonymous.code == 403 and 'User "system:anonymous" cannot list' in anonymous.json["message"]
    forged = control_plane.request("GET", "/api/v1/pods", headers={"Authorization": "Bearer a.b.c"}, anonymous=True)
    assert (forged.code, forged.json["message"]) == (401, "Unauthorized")
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert control_plane.request("GET", path, anonymous=True).code == 200
    assert control_plane.request("GET", "/metrics", anonymous=True).code == 403


def test_how_the_checks_ended(control_plane: ControlPlane) -> None:
    assert control_plane.alone.request("GET", "/readyz").code == 200
    told = control_plane.alone.request("GET", "/metrics/slis")
    lines = told.body.decode().splitlines()
    assert 'kubernetes_healthcheck{name="ping",type="readyz"} 1.0' in lines, told.body
    assert any(
        line.startswith('kubernetes_healthchecks_total{name="ping",status="success",type="readyz"}') for line in lines
    )
    assert control_plane.request("GET", "/metrics/slis", anonymous=True).code == 403


def test_a_node_is_held_to_what_is_its(control_plane: ControlPlane) -> None:
    def as_node(path: str) -> int:
        headers = {"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}
        return control_plane.request("GET", path, headers=headers).code

    assert as_node("/api/v1/nodes/n1") == 404  # allowed, and not there
    assert as_node("/api/v1/nodes") == 403
    assert as_node("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1") == 200
    assert as_node("/api/v1/pods") == 403
    assert as_node("/api/v1/namespaces/kube-system/secrets") == 403
    assert as_node("/apis/apps/v1/deployments") == 403


def test_health_discovery_and_metrics(control_plane: ControlPlane) -> None:
    verbose = control_plane.request("GET", "/readyz?verbose").body.decode()
    assert "[+]ping ok" in verbose and verbose.endswith("readyz check passed\n")
    assert control_plane.request("GET", "/readyz/ping").body == b"ok"
    assert control_plane.request("GET", "/readyz/nothing").code == 404
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    whole = control_plane.request("GET", "/apis", headers=accept)
    assert whole.json["kind"] == "APIGroupDiscoveryList" and "as=APIGroupDiscoveryList" in whole.headers["content-type"]
    again = control_plane.request("GET", "/apis", headers={**accept, "If-None-Match": whole.headers["etag"]})
    assert again.code == 304
    assert control_plane.request("GET", "/apis").json["kind"] == "APIGroupList"
    assert b"apiserver_request_total" in control_plane.request("GET", "/metrics").body
    keys = control_plane.request("GET", "/openid/v1/jwks").json["keys"]
    assert keys[0]["kty"] == "EC" and keys[0]["alg"] == "ES256"


def test_the_kubernetes_service(control_plane: ControlPlane) -> None:
    service = control_plane.request("GET", "/api/v1/namespaces/default/services/kubernetes").json["spec"]
    assert service["clusterIP"] == "10.96.0.1" and service["ports"][0]["targetPort"] == control_plane.port
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"

    def first() -> bool:  # by a lease, which runs out when the server gets no processor
        return bool(control_plane.request("GET", path).json["endpoints"][0]["addresses"] == ["127.0.0.1"])

    wait_until("the server's own endpoint", first)


def test_reviews(control_plane: ControlPlane, namespace: str) -> None:
    token = control_plane.kubectl("create", "token", "default", "-n", namespace).stdout.strip()
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    found = control_plane.request("POST", path, {"spec": {"token": token}})
    assert found.code == 201 and found.json["status"]["authenticated"]
    assert found.json["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert (
        control_plane.request("POST", path, {"spec": {"token": token + "x"}}).json["status"]["authenticated"] is False
    )
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    asked = {"user": "system:kube-scheduler", "resourceAttributes": {"verb": "create", "resource": "pods"}}
    assert control_plane.request("POST", path, {"spec": asked}).json["status"]["allowed"] is False
    asked["resourceAttributes"] = {"verb": "create", "resource": "pods", "subresource": "binding"}
    assert control_plane.request("POST", path, {"spec": asked}).json["status"]["allowed"] is True
    assert control_plane.request("POST", path, {"spec": {"user": "x"}}).code == 422
