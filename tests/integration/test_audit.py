"""The audit log of a running server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from apimachinery.kit.jwt import decode
from tests.integration.apiservers import ApiServer
from tests.integration.process import ROOT, wait_until

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/healthz*", "/readyz*", "/livez*"]}
- {level: None, users: ["system:apiserver"]}
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: Request
  verbs: [watch, list]
  omitStages: [RequestReceived]
- level: RequestResponse
  omitStages: [RequestReceived]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("audit")
    (directory / "policy.yaml").write_text(POLICY)
    flags = [f"--audit-policy-file={directory / 'policy.yaml'}", f"--audit-log-path={directory / 'audit.log'}"]
    server = ApiServer(directory / "data", "sqlite", *flags)
    server.start()
    yield server
    assert server.stop() == 0, server.log


def events(server: ApiServer, **wanted: Any) -> list[Any]:
    """The events that have these members."""
    lines = (server.directory.parent / "audit.log").read_bytes().splitlines()
    found = [orjson.loads(line) for line in lines]
    return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "application/yaml", "application/json"])
def test_what_was_answered_is_written_down_in_any_form(server: ApiServer, accept: str) -> None:
    """client-go's typed clients, which the components of a real cluster use, ask for protobuf."""
    name = f"form-{accept[-4:]}"

    def event(identity: str, method: str, path: str, body: Any = None, code: int = 200) -> Any:
        headers = {"Accept": accept, "Audit-Id": f"{name}-{identity}"}
        answer = server.request(method, path, body, headers=headers)
        assert (answer.code, answer.headers["content-type"].partition(";")[0]) == (code, accept)
        (found,) = events(server, auditID=f"{name}-{identity}", stage="ResponseComplete")
        return found

    made = event("create", "POST", MAPS, {**CONFIG, "metadata": {"name": name}}, 201)
    assert made["responseObject"]["kind"] == "ConfigMap" and made["responseObject"]["data"] == {"x": "1"}
    assert "managedFields" not in made["responseObject"]["metadata"]
    assert event("get", "GET", f"{MAPS}/{name}")["responseObject"] == made["responseObject"]
    refused = event("refused", "POST", MAPS, {**CONFIG, "metadata": {"name": name}}, 409)
    assert refused["responseStatus"]["reason"] == "AlreadyExists" == refused["responseObject"]["reason"]
    assert "responseObject" not in event("list", "GET", MAPS), "lists are of the level Request"
    gone = event("collection", "DELETE", f"{MAPS}?fieldSelector=metadata.name={name}")
    assert [item["metadata"]["name"] for item in gone["responseObject"]["items"]] == [name]


def test_an_ampersand_is_written_as_go_writes_it(server: ApiServer) -> None:
    """So does whoever looks for a query in the log."""
    server.request("GET", f"{MAPS}?limit=1&resourceVersion=0", headers={"Audit-Id": "and"})
    assert events(server, auditID="and")[-1]["requestURI"] == f"{MAPS}?limit=1&resourceVersion=0"
    assert rb"?limit=1\u0026resourceVersion=0" in (server.directory.parent / "audit.log").read_bytes()


def test_the_event_of_a_write(server: ApiServer) -> None:
    headers = {"Audit-Id": "one", "User-Agent": "tester"}
    answer = server.request("POST", f"{MAPS}?fieldManager=me", CONFIG, headers=headers)
    assert (answer.code, answer.headers["audit-id"]) == (201, "one")
    (event,) = events(server, auditID="one")
    assert list(event) == [
        "kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "sourceIPs", "userAgent",
        "objectRef", "responseStatus", "requestObject", "responseObject", "requestReceivedTimestamp", "stageTimestamp",
        "annotations",
    ]  # fmt: skip
    assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert (event["level"], event["stage"], event["verb"]) == ("RequestResponse", "ResponseComplete", "create")
    assert event["requestURI"] == f"{MAPS}?fieldManager=me" and event["sourceIPs"] == ["127.0.0.1"]
    assert event["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1",
    }  # fmt: skip
    assert event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["requestObject"] == CONFIG
    assert event["responseObject"]["metadata"]["uid"] and "managedFields" not in event["responseObject"]["metadata"]
    assert event["annotations"] == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": 'RBAC: allowed by ClusterRoleBinding "kubeadm:cluster-admins" of ClusterRole '
        '"cluster-admin" to Group "kubeadm:cluster-admins"',
    }
    assert event["stageTimestamp"] >= event["requestReceivedTimestamp"] and len(event["stageTimestamp"]) == 27


def test_a_refusal_and_somebody_else(server: ApiServer) -> None:
    sent = {"Audit-Id": "two", "Impersonate-User": "bob"}
    assert server.request("DELETE", f"{MAPS}/a", headers=sent).code == 403
    (event,) = events(server, auditID="two")
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["impersonatedUser"] == {"username": "bob", "groups": ["system:authenticated"]}
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    status = event["responseStatus"]
    assert (status["code"], status["status"], status["reason"]) == (403, "Failure", "Forbidden")
    assert status["message"].startswith('configmaps "a" is forbidden: User "bob" cannot delete resource')


def test_which_token_was_issued(server: ApiServer) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    server.request("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = server.request("POST", f"{accounts}/robot/token", asked, headers={"Audit-Id": "token"}).json
    claims = orjson.loads(decode(made["status"]["token"].split(".")[1]))
    annotations = events(server, auditID="token")[-1]["annotations"]
    assert annotations["authentication.kubernetes.io/issued-credential-id"] == f"JTI={claims['jti']}"


def test_secrets_stay_out_of_the_log(server: ApiServer) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "hidden-value"}}
    server.request("POST", "/api/v1/namespaces/default/secrets", secret, headers={"Audit-Id": "three"})
    received, complete = events(server, auditID="three")
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert complete["objectRef"]["name"] == "s" and "requestObject" not in complete
    assert "responseStatus" not in received and "annotations" not in received
    log = (server.directory.parent / "audit.log").read_text()
    assert "hidden-value" not in log and "aGlkZGVuLXZhbHVl" not in log


def test_a_watch_has_a_start_and_an_end(server: ApiServer) -> None:
    path = f"{MAPS}?watch=1&timeoutSeconds=1"
    assert server.request("GET", path, headers={"Audit-Id": "four"}).code == 200
    wait_until("the end", lambda: len(events(server, auditID="four")) > 1)
    stages = [event["stage"] for event in events(server, auditID="four")]
    assert stages == ["ResponseStarted", "ResponseComplete"]


def test_a_watch_that_its_client_leaves_was_answered(server: ApiServer) -> None:
    connection = server.connect()
    connection.request("GET", f"{MAPS}?watch=1", headers={"Audit-Id": "left", "User-Agent": "x" * 1025})
    assert connection.getresponse().status == 200
    connection.close()
    wait_until("the end", lambda: len(events(server, auditID="left")) > 1)
    started, complete = events(server, auditID="left")
    assert started["responseStatus"] == complete["responseStatus"] == {"metadata": {}, "code": 200}
    assert complete["userAgent"] == "x" * 1024 + "...TRUNCATED"


@pytest.mark.parametrize("path", ["pods/none/log", "pods/none/exec?command=id", "services/none/proxy/"])
def test_whatever_may_take_long_has_a_start_and_an_end(server: ApiServer, path: str) -> None:
    identity = path.replace("/", "-")
    answer = server.request("GET", f"/api/v1/namespaces/default/{path}", headers={"Audit-Id": identity})
    assert answer.code == 404
    found = [(event["stage"], event["responseStatus"]["code"]) for event in events(server, auditID=identity)]
    assert found == [("ResponseStarted", 404), ("ResponseComplete", 404)]


def test_who_is_not_identified_is_written_down(server: ApiServer) -> None:
    headers = {"Audit-Id": "five", "Authorization": "Bearer nothing"}
    assert server.request("GET", MAPS, headers=headers, anonymous=True).code == 401
    (event,) = events(server, auditID="five")
    assert (event["stage"], event["user"]) == ("ResponseStarted", {})
    assert event["responseStatus"]["code"] == 401
    assert event["responseStatus"]["message"] == "Authentication failed, attempted: bearer"
    assert server.request("GET", "/healthz", headers={"Audit-Id": "six"}).code == 200
    assert events(server, auditID="six") == []


def test_a_patch_is_written_as_it_was_sent(server: ApiServer) -> None:
    server.request("POST", MAPS, {**CONFIG, "metadata": {"name": "patched"}})
    headers = {"Audit-Id": "seven", "Content-Type": "application/merge-patch+json"}
    server.request("PATCH", f"{MAPS}/patched", {"data": {"y": "2"}}, headers=headers)
    (event,) = events(server, auditID="seven")
    assert event["requestObject"] == {"data": {"y": "2"}} and event["responseObject"]["data"] == {"x": "1", "y": "2"}


def test_a_wrong_policy_is_told_whole(server: ApiServer) -> None:
    wrong = server.directory.parent / "wrong.yaml"
    wrong.write_text(POLICY.replace("level: Request\n", "level: Much\n").replace("/livez*", "livez"))
    argv = [*server.argv(), f"--audit-policy-file={wrong}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "--audit-policy-file: loading audit policy file:" in done.stderr
    assert "rules[3].level" in done.stderr and "rules[0].nonResourceURLs[2]" in done.stderr
