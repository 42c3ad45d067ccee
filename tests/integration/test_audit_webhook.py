"""Audit events that are sent to a webhook: a real HTTPS server beside the API server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import wait_until
from tests.integration.reviewer import Reviewer

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- {level: None, nonResourceURLs: ["/*"]}
- {level: None, users: ["system:apiserver"]}
- {level: Request, omitManagedFields: true}
"""
MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}}

Start = Callable[..., ApiServer]


class Receiver(Reviewer):
    """Keeps every EventList. `held`: it answers when that is set."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.held = threading.Event()
        self.held.set()

    def respond(self, review: Any) -> Any:
        self.asked.append(review)
        self.held.wait(120)
        return {}

    def events(self, identity: str) -> list[Any]:
        found = (event for each in self.asked for event in each["items"])
        return [event for event in found if event["auditID"] == identity]

    def stages(self, identity: str) -> list[str]:
        return [event["stage"] for event in self.events(identity)]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path).serving() as made:
        yield made
        made.held.set()


@pytest.fixture
def start(receiver: Receiver, tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    file = receiver.kubeconfig(tmp_path / "webhook.kubeconfig")
    running: list[ApiServer] = []

    def started(*flags: str) -> ApiServer:
        usual = [f"--audit-policy-file={tmp_path}/policy.yaml", f"--audit-webhook-config-file={file}"]
        server = ApiServer(tmp_path / "data", "sqlite", *usual, "--audit-webhook-initial-backoff=1ms", *flags)
        running.append(server)
        server.start()
        return server

    yield started
    receiver.held.set()
    for server in running:
        if server.alive:
            assert server.stop() == 0, server.log


def counted(server: ApiServer, metric: str) -> float:
    rows = server.request("GET", "/metrics").body.decode().splitlines()
    return sum(float(row.rpartition(" ")[2]) for row in rows if row.startswith(f"apiserver_audit_{metric}"))


def test_batches_the_log_too_and_what_waits_is_sent_at_the_end(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    server = start(
        "--audit-webhook-batch-max-wait=1h", "--audit-webhook-batch-max-size=1000", f"--audit-log-path={tmp_path}/log"
    )
    for name in "abc":
        body = {**CONFIG, "metadata": {"name": name}}
        assert server.request("POST", MAPS, body, headers={"Audit-Id": name}).code == 201
    assert not receiver.asked
    assert server.stop() == 0, server.log
    (sent,) = receiver.asked
    assert (sent["kind"], sent["apiVersion"], sent["metadata"]) == ("EventList", "audit.k8s.io/v1", {})
    logged = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert [{"kind": "Event", "apiVersion": "audit.k8s.io/v1", **each} for each in sent["items"]] == logged
    assert receiver.stages("b") == ["RequestReceived", "ResponseComplete"]
    assert receiver.events("c")[1]["requestObject"]["data"] == {"x": "1"}


def test_a_blocking_webhook_is_waited_for(start: Start, receiver: Receiver) -> None:
    server = start(
        "--audit-webhook-mode=blocking",
        "--audit-webhook-truncate-enabled",
        "--audit-webhook-truncate-max-event-size=2000",
    )
    assert server.request("POST", MAPS, CONFIG, headers={"Audit-Id": "one"}).code == 201
    assert receiver.stages("one") == ["RequestReceived", "ResponseComplete"]
    assert all(len(each["items"]) == 1 for each in receiver.asked)

    receiver.held.clear()
    codes: list[int] = []

    def ask() -> None:
        codes.append(server.request("GET", f"{MAPS}/a", headers={"Audit-Id": "two"}).code)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until("the beginning is sent", lambda: receiver.stages("two"))
    assert receiver.stages("two") == ["RequestReceived"] and not codes
    receiver.held.set()
    asking.join(120)
    assert codes == [200] and receiver.stages("two") == ["RequestReceived", "ResponseComplete"]

    watch = f"{MAPS}?watch=1&timeoutSeconds=1"
    assert server.request("GET", watch, headers={"Audit-Id": "three"}).code == 200
    wait_until("the watch has ended", lambda: len(receiver.stages("three")) == 3)
    assert receiver.stages("three") == ["RequestReceived", "ResponseStarted", "ResponseComplete"]

    large = {**CONFIG, "metadata": {"name": "large"}, "data": {"x": "1" * 5000}}
    assert server.request("POST", MAPS, large, headers={"Audit-Id": "four"}).code == 201
    cut = receiver.events("four")[1]
    assert cut["annotations"]["audit.k8s.io/truncated"] == "true" and "requestObject" not in cut

    receiver.code = 500
    assert server.request("GET", MAPS, headers={"Audit-Id": "five"}).code == 200, "the request goes on"
    assert counted(server, 'error_total{plugin="webhook"}') == 2
    assert len(receiver.events("five")) == 10, "five attempts for each of its events"


def test_a_strict_webhook_must_have_the_beginning(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = start("--audit-webhook-mode=blocking-strict", f"--audit-log-path={log}", "--audit-log-format=legacy")
    receiver.code = 500
    answer = server.request("POST", MAPS, CONFIG, headers={"Audit-Id": "one"})
    assert answer.code == 500 and "failed to store audit event" in answer.json["message"]
    assert set(receiver.stages("one")) == {"RequestReceived"}
    assert counted(server, "requests_rejected_total") == 1
    (line,) = (each for each in log.read_text().splitlines() if 'AUDIT: id="one"' in each)
    assert 'user="kubernetes-admin" groups="\\"kubeadm:cluster-admins\\"' in line and f'uri="{MAPS}"' in line
    receiver.code = 200
    assert server.request("GET", f"{MAPS}/a").code == 404, "it was not made"
    assert server.request("POST", MAPS, CONFIG).code == 201
