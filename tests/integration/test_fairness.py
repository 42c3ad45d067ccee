"""Priority and fairness of a running server."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Iterator

import aiohttp
import pytest

from apimachinery.client.config import load_kubeconfig
from tests.integration.apiservers import ApiServer
from tests.integration.process import wait_until

LIST = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    directory = tmp_path_factory.mktemp("fairness")
    flags = ["--max-requests-inflight=20", "--max-mutating-requests-inflight=4"]
    server = ApiServer(directory / "data", "sqlite", *flags)
    server.start()
    yield server
    assert server.stop() == 0, server.log


def test_default_objects_and_headers(server: ApiServer) -> None:
    shown = server.kubectl("get", "flowschemas,prioritylevelconfigurations").stdout
    for word in ("system-leader-election", "global-default", "workload-low", "catch-all", "False"):
        assert word in shown
    answer = server.request("GET", LIST)
    level = server.get("prioritylevelconfiguration", "global-default")
    assert answer.headers["x-kubernetes-pf-prioritylevel-uid"] == level["metadata"]["uid"]
    assert answer.headers["x-kubernetes-pf-flowschema-uid"]
    dumped = server.request("GET", "/debug/api_priority_and_fairness/dump_priority_levels").body.decode()
    assert dumped.startswith("PriorityLevelName,") and "workload-low" in dumped
    assert b"apiserver_flowcontrol_dispatched_requests_total" in server.request("GET", "/metrics").body


def test_a_schema_without_a_level_says_so(server: ApiServer) -> None:
    schema = server.get("flowschema", "global-default")
    lost = {**schema["spec"], "priorityLevelConfiguration": {"name": "nothing"}, "matchingPrecedence": 9000}
    made = {**schema, "metadata": {"name": "lost"}, "spec": lost}
    del made["status"]
    assert server.request("POST", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", made).code == 201

    def row() -> list[str]:
        return server.kubectl("get", "flowschema", "lost", "--no-headers").stdout.split()

    wait_until("the schema says so", lambda: row()[-1] == "True")
    assert server.request("GET", LIST).code == 200  # it matches nothing
    server.kubectl("delete", "flowschema", "lost")


def test_a_flood_is_refused_and_others_are_served(server: ApiServer) -> None:
    """Six hundred writes at once of one user, on the level that it shares with a quiet one."""
    tokens = []
    for name in ("noisy", "quiet"):
        server.kubectl("create", "serviceaccount", name)
        server.kubectl("create", "rolebinding", name, "--clusterrole=edit", f"--serviceaccount=default:{name}")
        tokens.append(server.kubectl("create", "token", name).stdout.strip())

    async def flood() -> tuple[list[int], list[int], set[tuple[str | None, str]]]:
        config = load_kubeconfig(server.kubeconfig)
        context = ssl.create_default_context(cadata=(config.ca_data or b"").decode())
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        numbers, retries = itertools.count(), set()

        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as session:

            async def write(token: str) -> int:
                made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{next(numbers)}"}}
                sent = {"Authorization": f"Bearer {token}"}
                async with session.post(LIST, headers=sent, json=made) as answer:
                    told = await answer.text()
                    if answer.status == 429:
                        retries.add((answer.headers.get("Retry-After"), told))
                    return answer.status

            async def read(token: str) -> int:
                async with session.get(LIST, headers={"Authorization": f"Bearer {token}"}) as answer:
                    await answer.read()
                    return answer.status

            # Connections first: a handshake costs more than a request, and would spread the flood.
            assert set(await asyncio.gather(*(read(tokens[0]) for _ in range(600)))) == {200}
            assert await write(tokens[1]) == 201
            flooding = [asyncio.create_task(write(tokens[0])) for _ in range(600)]
            await asyncio.sleep(0)
            quiet = []
            while not all(task.done() for task in flooding):
                quiet.append(await write(tokens[1]))
            return [task.result() for task in flooding], quiet, retries

    noisy, quiet, retries = asyncio.run(flood())
    assert set(noisy) == {201, 429}
    assert {words for _, words in retries} == {"Too many requests, please try again later.\n"}
    # A second at first; more are told to those who are refused in the seconds after it (RetryAfter).
    assert "1" in {after for after, _ in retries} <= {"1", "2", "3", "4"}
    assert noisy.count(201) >= 50, "those who wait are served"
    # Each write of the quiet one passed the hundreds that waited before it.
    assert set(quiet) == {201} and len(quiet) > 1
