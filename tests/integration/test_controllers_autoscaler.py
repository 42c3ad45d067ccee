"""Autoscalers by custom and external metrics, which an aggregated API server (a process of its own) serves."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from apimachinery.api.catalogue import (
    APISERVICES,
    DEPLOYMENTS,
    ENDPOINTSLICES,
    EVENTS,
    HORIZONTALPODAUTOSCALERS,
    PODS,
    SERVICES,
)
from apimachinery.kit.certs import Authority
from apimachinery.meta import objects, pods
from tests.integration.custom_metrics_server import CUSTOM, EXTERNAL
from tests.integration.ports import free_port, own_number
from tests.integration.process import ROOT
from tests.integration.simulation import Simulation, simulated_cluster
from tests.integration.workloads import template

Object = dict[str, Any]

# Of TEST-NET-3, on this machine while a test runs: endpoints may not be loopback addresses.
ADDRESS = f"203.0.113.{101 + own_number()}"


@pytest.fixture(autouse=True)
def address() -> Iterator[None]:
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", "dev", "lo"], check=True)
    yield
    subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


class Metrics:
    """The values that the metrics server's process gives out."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set()

    def set(self, **values: Any) -> None:
        """pods, objects, external: as custom_metrics_server.py says."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(self.file)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Simulation]:
    async with simulated_cluster(tmp_path / "data") as simulation:
        await simulation.fleet.add("worker-1", cpu="64")
        yield simulation


@pytest.fixture
async def metrics(address: None, cluster: Simulation, tmp_path: Path) -> AsyncIterator[Metrics]:
    values, port, authority = Metrics(tmp_path / "values.json"), free_port(), Authority.create("metrics-ca")
    pair = authority.issue("metrics", dns=["metrics.default.svc"], server=True)
    (tmp_path / "crt").write_bytes(pair.cert_pem)
    (tmp_path / "key").write_bytes(pair.key_pem)
    argv = [f"--address={ADDRESS}", f"--port={port}", f"--values={values.file}", f"--cert={tmp_path}/crt"]
    argv += [f"--key={tmp_path}/key", f"--requestheader-ca={cluster.directory}/pki/front-proxy-ca.crt"]
    module = "tests.integration.custom_metrics_server"
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *argv, cwd=ROOT)
    try:
        await _register(cluster, port, base64.b64encode(authority.pair.cert_pem).decode())
        yield values
    finally:
        process.terminate()
        await process.wait()


async def _register(cluster: Simulation, port: int, bundle: str) -> None:
    where = {"name": "metrics", "namespace": "default"}
    await cluster.client.create(
        SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": {"ports": [{"port": 443}]}}
    )
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**where, "labels": {"kubernetes.io/service-name": "metrics"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": port, "protocol": "TCP"}],
    }
    await cluster.client.create(ENDPOINTSLICES, endpoints)
    for served in (CUSTOM, EXTERNAL):
        group, _, version = served.partition("/")
        spec = {"group": group, "version": version, "service": where, "caBundle": bundle}
        name = f"{version}.{group}"
        priorities = {"groupPriorityMinimum": 100, "versionPriority": 100}
        api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}}
        await cluster.client.create(APISERVICES, {**api, "spec": {**spec, **priorities}})

        async def available(name: str = name) -> bool:
            found = await cluster.client.get(APISERVICES, name)
            return (pods.condition(found, "Available") or {}).get("status") == "True"

        await cluster.eventually(available, f"{name} available")


async def deploy(cluster: Simulation, replicas: int, name: str = "web") -> list[str]:
    """A Deployment of ready pods; their names."""
    labels = {"app": name}
    body = {**template(), "metadata": {"labels": labels}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": body}
    metadata = {"name": name, "namespace": "default"}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    await cluster.client.create(DEPLOYMENTS, deployment)

    async def ready() -> list[str] | None:
        listed = (await cluster.client.list(PODS, "default", label_selector=f"app={name}"))["items"]
        found = await cluster.client.get(DEPLOYMENTS, name, "default")
        counted = (found.get("status") or {}).get("readyReplicas") == replicas == len(listed)
        return [objects.name(pod) for pod in listed] if counted else None

    found: list[str] = await cluster.eventually(ready, f"{replicas} ready pods")
    return found


async def autoscale(cluster: Simulation, name: str, *metrics: Object, target: str = "web", **spec: Any) -> None:
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    wanted = {"scaleTargetRef": scaled, "maxReplicas": 20, "metrics": list(metrics), **spec}
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": wanted}
    await cluster.client.create(HORIZONTALPODAUTOSCALERS, body)


async def said(cluster: Simulation, name: str, kind: str, reason: str) -> tuple[Object, Object]:
    """The condition of that reason, and the status."""

    async def look() -> tuple[Object, Object] | None:
        status = (await cluster.client.get(HORIZONTALPODAUTOSCALERS, name, "default")).get("status") or {}
        found = pods.condition({"status": status}, kind) or {}
        return (found, status) if found.get("reason") == reason else None

    found: tuple[Object, Object] = await cluster.eventually(look, f"{name}: {kind} {reason}")
    return found


def per_pod(value: str) -> Object:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": "rate"}, "target": {"type": "AverageValue", "averageValue": value}},
    }


def of_service(**target: str) -> Object:
    described = {"apiVersion": "v1", "kind": "Service", "name": "metrics"}
    return {"type": "Object", "object": {"metric": {"name": "hits"}, "describedObject": described, "target": target}}


def external(**target: str) -> Object:
    selector = {"matchLabels": {"queue": "orders"}}
    return {"type": "External", "external": {"metric": {"name": "depth", "selector": selector}, "target": target}}


async def test_each_kind_of_source(cluster: Simulation, metrics: Metrics) -> None:
    names = await deploy(cluster, 2)
    both = ["20", "40"]
    metrics.set(
        pods={"rate": dict.fromkeys(names, "30")}, objects={"services/metrics/hits": "150"}, external={"depth": both}
    )
    await autoscale(cluster, "web", per_pod("10"))
    _, status = await said(cluster, "web", "AbleToScale", "SucceededRescale")
    assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 4), "upstream's limit: 4, or twice as many"
    shown = {"metric": {"name": "rate"}, "current": {"averageValue": "30"}}
    assert status["currentMetrics"] == [{"type": "Pods", "pods": shown}]
    valid = pods.condition({"status": status}, "ScalingActive") or {}
    expected = "the HPA was able to successfully calculate a replica count from pods metric rate"
    assert (valid["reason"], valid["message"]) == ("ValidMetricFound", expected)

    cases = {
        # Half as many again as the two ready pods; 150 for 50 each; the sum of both series, and that for 15 each.
        "object": (of_service(type="Value", value="100"), 3, {"value": "150"}),
        "object-each": (of_service(type="AverageValue", averageValue="50"), 3, {"averageValue": "75"}),
        "external": (external(type="Value", value="40"), 3, {"value": "60"}),
        "external-each": (external(type="AverageValue", averageValue="15"), 4, {"averageValue": "30"}),
    }
    for name, (metric, desired, current) in cases.items():
        await deploy(cluster, 2, name)
        await autoscale(cluster, name, metric, target=name)
        _, status = await said(cluster, name, "AbleToScale", "SucceededRescale")
        assert (name, status["currentReplicas"], status["desiredReplicas"]) == (name, 2, desired)
        assert status["currentMetrics"][0][metric["type"].lower()]["current"] == current


async def test_what_cannot_be_measured_or_is_ambiguous_is_said_and_scales_nothing(
    cluster: Simulation, metrics: Metrics
) -> None:
    await deploy(cluster, 1)
    await autoscale(cluster, "web", per_pod("10"))
    found, _ = await said(cluster, "web", "ScalingActive", "FailedGetPodsMetric")
    begun = "the HPA was unable to compute the replica count: "
    assert found["message"] == f"{begun}unable to get metric rate: no metrics returned from custom metrics API"
    await autoscale(cluster, "queue", external(type="Value", value="1"), target="other")
    found, _ = await said(cluster, "queue", "AbleToScale", "FailedGetScale")
    await deploy(cluster, 1, "other")
    await cluster.client.patch(HORIZONTALPODAUTOSCALERS, "queue", {"spec": {"maxReplicas": 19}}, "default")
    found, _ = await said(cluster, "queue", "ScalingActive", "FailedGetExternalMetric")
    selector = (
        "&LabelSelector{MatchLabels:map[string]string{queue: orders,},MatchExpressions:[]LabelSelectorRequirement{},}"
    )
    assert found["message"] == (
        f"{begun}failed to get external metric depth: unable to get external metric default/depth/{selector}: "
        "no metrics returned from external metrics API"
    )

    async def told() -> bool:
        events = (await cluster.client.list(EVENTS, "default"))["items"]
        messages = {each["message"] for each in events if each["reason"] == "FailedComputeMetricsReplicas"}
        return (
            "invalid metrics (1 invalid out of 1), first error is: failed to get pods metric value: "
            "unable to get metric rate: no metrics returned from custom metrics API"
        ) in messages

    await cluster.eventually(told, "the event with the first error")

    # Two do not pull at the same pods.
    await autoscale(cluster, "another", per_pod("10"))
    found, _ = await said(cluster, "another", "ScalingActive", "AmbiguousSelector")
    expected = "pods by selector app=web are controlled by multiple HPAs: [{another default} {web default}]"
    assert found["message"] == expected


async def test_what_is_shown_stands_where_its_target_does(cluster: Simulation, metrics: Metrics) -> None:
    names = await deploy(cluster, 4)
    metrics.set(pods={"rate": dict.fromkeys(names, "10")})
    await autoscale(cluster, "web", external(type="Value", value="1"), per_pod("10"))
    _, status = await said(cluster, "web", "ScalingActive", "ValidMetricFound")
    shown = {"metric": {"name": "rate"}, "current": {"averageValue": "10"}}
    assert status["currentMetrics"] == [{"type": ""}, {"type": "Pods", "pods": shown}]
    await cluster.client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, "default")
    await cluster.client.patch(HORIZONTALPODAUTOSCALERS, "web", {"spec": {"maxReplicas": 19}}, "default")
    _, status = await said(cluster, "web", "ScalingActive", "ScalingDisabled")
    assert (status.get("currentReplicas"), status.get("currentMetrics")) == (None, None), "none, as Go writes it"
