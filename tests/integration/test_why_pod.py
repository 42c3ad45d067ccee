"""`kubelab why pod`: what it says of a waiting pod comes true when it is done."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import PODS
from apimachinery.meta import pods
from controlplane.scheduler.config_file import API_VERSION, KIND
from tests.integration.process import ROOT
from tests.integration.simulation import Simulation, simulated_cluster

Object = dict[str, Any]
TAINT = {"key": "disk", "value": "ssd", "effect": "NoSchedule"}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path) as simulation:
        await simulation.fleet.add("worker-1", taints=[TAINT])
        await simulation.fleet.add("worker-2", cpu="2")
        yield simulation


async def why(cluster: Simulation, *words: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "provisioner", "why", "pod", *words]
    env = {**os.environ, "KUBECONFIG": str(cluster.directory / "admin.kubeconfig")}
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def pod(name: str, cpu: str) -> Object:
    container = {"name": "main", "image": "nginx", "resources": {"requests": {"cpu": cpu}}}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


async def place(cluster: Simulation, name: str) -> str:
    async def look() -> str | None:
        return pods.node_name(await cluster.client.get(PODS, name, "default")) or None

    found: str = await cluster.eventually(look, f"{name} bound")
    return found


async def test_a_waiting_pod_and_what_lets_it_in(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("big", "3"), "default")
    code, shown, _ = await why(cluster, "big")
    assert code == 0
    assert "TaintToleration    node(s) had untolerated taint {disk: ssd}" in shown
    assert "Insufficient cpu: 2 free of 2" in shown
    assert shown.endswith("It would fit worker-1 if it tolerated disk=ssd:NoSchedule.\n")

    toleration = {"key": "disk", "operator": "Equal", "value": "ssd", "effect": "NoSchedule"}
    await cluster.client.patch(PODS, "big", {"spec": {"tolerations": [toleration]}}, "default", kind="strategic")
    assert await place(cluster, "big") == "worker-1"


async def test_a_pod_that_has_a_node(cluster: Simulation) -> None:
    await cluster.client.create(PODS, pod("small", "1"), "default")
    assert await place(cluster, "small") == "worker-2"
    code, text, _ = await why(cluster, "small", "--json")
    answer = json.loads(text)
    assert code == 0
    assert answer["best"] == ["worker-2"]
    assert [each["fits"] for each in answer["nodes"]] == [False, True]
    assert answer["nodes"][1]["total"] == sum(answer["nodes"][1]["scores"].values()) > 0


async def test_a_pod_that_is_not_there_and_a_server_that_is_not(cluster: Simulation, tmp_path: Path) -> None:
    code, _, error = await why(cluster, "nobody")
    assert (code, error) == (1, 'kubelab why: the API server says: pods "nobody" not found\n')
    code, _, error = await why(cluster, "nobody", f"--kubeconfig={tmp_path / 'none'}")
    assert (code, error) == (2, f"kubelab why: stat {tmp_path / 'none'}: no such file or directory\n")


async def test_a_pod_of_another_profile(cluster: Simulation, tmp_path: Path) -> None:
    body = pod("tight", "1")
    body["spec"]["schedulerName"] = "packing"
    await cluster.client.create(PODS, body, "default")
    code, shown, error = await why(cluster, "tight")
    assert (code, error) == (0, "")
    assert "schedulerName packing: another scheduler may have other rules" in shown
    plugins = {"filter": {"disabled": [{"name": "TaintToleration"}]}, "score": {"disabled": [{"name": "*"}]}}
    document = {"apiVersion": API_VERSION, "kind": KIND, "profiles": [{"schedulerName": "packing", "plugins": plugins}]}
    file = tmp_path / "scheduler.yaml"
    file.write_text(json.dumps(document))
    code, shown, error = await why(cluster, "tight", f"--scheduler-config={file}")
    assert (code, error) == (0, "")
    assert "another scheduler" not in shown
    assert "TaintToleration" not in shown, "that profile does not ask it"
    assert "worker-1 and worker-2 have the highest score: one of them by lot." in shown
