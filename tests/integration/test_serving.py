"""Discovery, OpenAPI, health and metrics, as clients, probes and scrapers read them."""

from __future__ import annotations

import gzip
import re
from typing import Any

import orjson
import pytest

from apimachinery.api.catalogue import CATALOGUE
from controlplane.apiserver.front.health import started_parts
from tests.integration.definitions import Kind
from tests.integration.process import ControlPlane, wait_until

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
EXPLAINED = sorted({(r.plural, f"{r.group}/{r.version}".lstrip("/")) for r in CATALOGUE if "list" in r.verbs})


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery(control_plane: ControlPlane, path: str) -> None:
    for version in ("v2", "v2beta1"):
        accept = {"Accept": f"{AGGREGATED.format(version)},application/json"}
        answer = control_plane.request("GET", path, headers=accept)
        assert answer.headers["content-type"] == AGGREGATED.format(version)
        assert (answer.json["kind"], answer.json["apiVersion"]) == (
            "APIGroupDiscoveryList",
            f"apidiscovery.k8s.io/{version}",
        )
        assert answer.headers["vary"] == "Accept" and answer.headers["cache-control"] == "public"
        again = control_plane.request("GET", path, headers={**accept, "If-None-Match": answer.headers["etag"]})
        assert (again.code, again.body, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    both = f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json"
    assert control_plane.request("GET", path, headers={"Accept": both}).json["apiVersion"] == "apidiscovery.k8s.io/v2"
    plain = control_plane.request("GET", path, headers={"Accept": f"application/json,{AGGREGATED.format('v2')}"})
    assert plain.json["kind"] in ("APIVersions", "APIGroupList"), "what comes first is preferred"


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_in_other_forms(control_plane: ControlPlane, path: str) -> None:
    as_list = ";g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
    for version in ("v2", "v2beta1"):
        asked = f"application/vnd.kubernetes.protobuf{as_list.format(version)}"
        answer = control_plane.request("GET", path, headers={"Accept": asked})
        assert answer.headers["content-type"] == asked and answer.body.startswith(b"k8s\0")
        assert f"apidiscovery.k8s.io/{version}".encode() in answer.body[:64]
        again = control_plane.request("GET", path, headers={"Accept": asked, "If-None-Match": answer.headers["etag"]})
        assert again.code == 304
        asked = f"application/yaml{as_list.format(version)}"
        answer = control_plane.request("GET", path, headers={"Accept": asked})
        assert answer.headers["content-type"] == asked
        assert f"apiVersion: apidiscovery.k8s.io/{version}\n".encode() in answer.body
    asked = f"application/vnd.kubernetes.protobuf,application/json{as_list.format('v2')}"
    answer = control_plane.request("GET", path, headers={"Accept": asked})
    assert b"APIGroupDiscoveryList" not in answer.body, "the old document stands first"


def test_a_defined_kind_is_told_in_protobuf_too(control_plane: ControlPlane, kind: Kind) -> None:
    asked = {"Accept": "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}

    def described() -> bool:
        return kind.plural.encode() in control_plane.request("GET", "/apis", headers=asked).body

    wait_until("the kind is told", described, looks=2)


def test_openapi_documents_by_their_hash(control_plane: ControlPlane) -> None:
    index = control_plane.request("GET", "/openapi/v3").json["paths"]
    assert {"api/v1", "apis/apps/v1"} <= index.keys()
    where = index["apis/apps/v1"]["serverRelativeURL"]
    found = control_plane.request("GET", where)
    assert found.code == 200 and found.headers["cache-control"] == "public, immutable"
    assert "io.k8s.api.apps.v1.Deployment" in found.json["components"]["schemas"]
    moved = control_plane.request("GET", "/openapi/v3/apis/apps/v1?hash=OLD")
    assert (moved.code, moved.headers["location"]) == (301, where)


def test_openapi_v2_describes_what_is_served(control_plane: ControlPlane, kind: Kind) -> None:
    objects = f"/apis/{kind.group}/v1/namespaces/{{namespace}}/{kind.plural}/{{name}}"

    def described() -> Any:
        document = control_plane.request("GET", "/openapi/v2").json
        return objects in document["paths"] and document

    # Each server of a pair learns of the kind by itself.
    document = wait_until("the kind is described", described, looks=2)
    assert document["paths"]["/api/v1/namespaces/{namespace}/pods"]["get"]["operationId"] == "listCoreV1NamespacedPod"
    patch = document["paths"][objects]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["consumes"]
    assert patch["responses"]["200"]["schema"]["$ref"].removeprefix("#/definitions/") in document["definitions"]
    # Every path that is about no object answers as it is described. Other tests' groups may go meanwhile.
    lasting = {resource.group for resource in CATALOGUE}
    for path, item in document["paths"].items():
        words = path.strip("/").split("/")
        if "x-kubernetes-action" in item.get("get", {"x-kubernetes-action": ""}) or "{" in path:
            continue
        if words[0] != "apis" or len(words) == 1 or words[1] in lasting:
            answer = control_plane.request("GET", path)
            assert answer.code == 200, path
            assert answer.headers["content-type"] in item["get"]["produces"], path
    plane = control_plane.alone

    def kept() -> bool:
        tag = plane.request("GET", "/openapi/v2").headers["etag"]
        again = plane.request("GET", "/openapi/v2", headers={"If-None-Match": tag})
        return (again.code, again.body) == (304, b"")

    wait_until("nothing changes any more, and the client's copy is good", kept)
    packed = plane.request("GET", "/openapi/v2", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert objects in orjson.loads(gzip.decompress(packed.body))["paths"]


def test_openapi_v3_describes_the_server_too(control_plane: ControlPlane) -> None:
    index = control_plane.request("GET", "/openapi/v3").json["paths"]
    for path in ("version", "api", "apis", "apis/apps", ".well-known/openid-configuration", "openid/v1/jwks"):
        document = control_plane.request("GET", index[path]["serverRelativeURL"]).json
        assert list(document["paths"]) == [f"/{path}/"]
    assert control_plane.request("GET", "/openapi/v3/apis/nowhere.example.com").code == 404


@pytest.mark.parametrize(("plural", "version"), EXPLAINED, ids=[f"{plural} {version}" for plural, version in EXPLAINED])
def test_kubectl_explains_every_kind(control_plane: ControlPlane, plural: str, version: str) -> None:
    text = control_plane.kubectl("explain", plural, f"--api-version={version}", "--recursive").stdout
    assert "KIND:" in text and f"VERSION:    {version.rpartition('/')[2]}" in text, text
    fields = re.findall(r"^ +(\S+)\t<", text, re.MULTILINE)
    assert {"apiVersion", "kind", "metadata", "ownerReferences", "uid"} <= set(fields), text


PROXYING = "[+]poststarthook/aggregator-reload-proxy-client-cert ok"


def test_health_paths(control_plane: ControlPlane) -> None:
    def get(path: str) -> tuple[int, str]:
        # Anybody may ask for the whole; single checks say why they fail, and are for those who may look.
        answer = control_plane.request("GET", path, anonymous=path.count("/") == 1)
        assert answer.headers["x-content-type-options"] == "nosniff"
        return answer.code, answer.body.decode()

    store = "sqlite" if control_plane.store == "sqlite" else "etcd"
    for name in ("healthz", "livez", "readyz"):
        assert get(f"/{name}") == (200, "ok")
        code, verbose = get(f"/{name}?verbose")
        lines = verbose.splitlines()
        assert code == 200 and lines[0] == "[+]ping ok" and lines[-1] == f"{name} check passed"
        assert f"[+]{store} ok" in lines
        parts = [f"[+]{check} ok" for check in started_parts(fairness=True, proxying=PROXYING in lines)]
        assert [line for line in lines if line in parts] == parts, "in upstream's order"
        assert ("[+]informer-sync ok" in lines) is (name == "readyz")
        excluded = get(f"/{name}?verbose&exclude={store}&exclude=nothing")[1].splitlines()
        assert f"[+]{store} excluded: ok" in excluded
        assert 'warn: some health checks cannot be excluded: no matches for "nothing"' in excluded
        assert get(f"/{name}/poststarthook/rbac/bootstrap-roles") == (200, "ok")
        assert get(f"/{name}/nothing")[0] == 404
    assert get("/readyz/shutdown") == (200, "ok") and get("/livez/shutdown")[0] == 404


def test_a_server_is_there_by_a_lease(control_plane: ControlPlane) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
    chosen = f"{leases}?labelSelector=apiserver.kubernetes.io/identity=kube-apiserver"
    wait_until("the lease is there", lambda: control_plane.request("GET", chosen).json["items"])
    (lease,) = control_plane.request("GET", chosen).json["items"]
    name = lease["metadata"]["name"]
    assert name.startswith("apiserver-") and lease["spec"]["holderIdentity"].startswith(f"{name}_")
    assert lease["spec"]["leaseDurationSeconds"] == 3600


def test_the_version(control_plane: ControlPlane) -> None:
    found = control_plane.request("GET", "/version", anonymous=True).json
    assert (found["major"], found["minor"]) == ("1", "32") and found["gitVersion"].startswith("v1.32.")


def test_metrics_have_the_real_names_and_labels(control_plane: ControlPlane, namespace: str) -> None:
    control_plane = control_plane.alone
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    control_plane.request("POST", f"{path}?dryRun=All", {"metadata": {"name": "a"}})
    control_plane.request("POST", path, {"metadata": {"name": "a"}})
    control_plane.request("GET", f"{path}/a")
    control_plane.request("GET", path)
    control_plane.request("GET", f"{path}?fieldSelector=metadata.name%3Da")
    apply = {"Content-Type": "application/apply-patch+yaml"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    control_plane.request("PATCH", f"{path}/a?fieldManager=m", body, headers=apply)
    control_plane.request("GET", f"{path}?watch=1&timeoutSeconds=1")
    control_plane.request("GET", "/api/v1/made-up-by-a-client")

    text = control_plane.request("GET", "/metrics").body.decode()
    samples = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[:1] != "#"}

    def labelled(name: str, **labels: str) -> float:
        found = [
            value
            for key, value in samples.items()
            if key.startswith(name + "{") and all(f'{label}="{wanted}"' in key for label, wanted in labels.items())
        ]
        assert found, f"{name} {labels}"
        return sum(found)

    maps = {"group": "", "version": "v1", "resource": "configmaps", "subresource": "", "component": "apiserver"}
    requests, seconds = "apiserver_request_total", "apiserver_request_duration_seconds_bucket"
    assert labelled(requests, verb="POST", dry_run="All", scope="resource", code="201", **maps) >= 1
    assert labelled(requests, verb="GET", dry_run="", scope="resource", code="200", **maps) >= 2
    assert labelled(requests, verb="LIST", dry_run="", scope="namespace", code="200", **maps) >= 1
    assert labelled(requests, verb="APPLY", dry_run="", scope="resource", code="200", **maps) >= 1
    assert labelled(requests, verb="WATCH", dry_run="", scope="namespace", code="200", **maps) >= 1
    assert labelled(seconds, verb="LIST", dry_run="", scope="namespace", le="0.005", **maps) >= 0
    assert labelled("apiserver_request_duration_seconds_count", verb="WATCH", **maps) >= 1
    assert labelled("apiserver_request_sli_duration_seconds_count", verb="LIST", **maps) >= 1
    assert labelled("apiserver_response_sizes_count", verb="GET", scope="resource", **maps) >= 1
    assert labelled("apiserver_longrunning_requests", verb="WATCH", resource="pods", component="apiserver") >= 1
    assert labelled("apiserver_watch_events_total", group="", version="v1", kind="ConfigMap") >= 1
    assert labelled("apiserver_current_inflight_requests", request_kind="readOnly") >= 1
    assert labelled("apiserver_storage_objects", resource="namespaces") >= 4
    assert labelled("apiserver_storage_size_bytes", storage_cluster_id="etcd-0") >= 4096
    assert labelled("apiserver_storage_objects", resource="clusterroles.rbac.authorization.k8s.io") >= 10
    assert labelled("kubernetes_build_info", major="1", minor="32") == 1
    if control_plane.store != "sqlite":
        for operation in ("get", "list", "create", "update"):
            assert labelled("etcd_request_duration_seconds_count", operation=operation) >= 1
        assert labelled("etcd_requests_total", operation="create", type="configmaps") >= 1
    assert "made-up-by-a-client" not in text
    assert not [name for name in samples if name.partition("{")[0].endswith("_created")]


@pytest.mark.parametrize("data", [{"a": "b"}, {"a": '"resourceVersion"'}, {}])
def test_a_write_is_answered_with_what_is_then_read(
    control_plane: ControlPlane, namespace: str, data: dict[str, str]
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    made = control_plane.request("POST", path, {"metadata": {"name": "a"}, "data": data})
    assert made.code == 201 and made.json == control_plane.request("GET", f"{path}/a").json
    merge = {"Content-Type": "application/merge-patch+json"}
    for change in ({"metadata": {"labels": {"x": "y"}}}, {"metadata": {"labels": {"x": "y"}}}):
        patched = control_plane.request("PATCH", f"{path}/a", change, headers=merge)
        assert patched.code == 200 and patched.json == control_plane.request("GET", f"{path}/a").json
    assert int(patched.json["metadata"]["resourceVersion"]) > int(made.json["metadata"]["resourceVersion"])
