"""metrics-server's pure parts: points, the use between them, objects, the identity that the front proxy tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from apimachinery.client.config import render_kubeconfig
from apimachinery.client.trust import FrontProxy, User
from apimachinery.kit.config import ConfigError
from controlplane.metricsserver import config, objects
from controlplane.metricsserver.points import Batch, Point, parse_batch
from controlplane.metricsserver.scraper import NoAddress, kubelet_url
from controlplane.metricsserver.server import describe
from controlplane.metricsserver.storage import Storage

TEXT = b"""\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="n",pod="p"} 4.5 1700000000123
container_cpu_usage_seconds_total{container="side",namespace="n",pod="p"} 1e-03 1700000000123
container_cpu_usage_seconds_total{container="main",namespace="n",pod="half"} 4.5 1700000000123
container_memory_working_set_bytes{container="main",namespace="n",pod="p"} 1.048576e+06 1700000000123
container_memory_working_set_bytes{container="side",namespace="n",pod="p"} 4096 1700000000123
container_start_time_seconds{container="main",namespace="n",pod="p"} 1.6999999e+09
container_swap_usage_bytes{container="main",namespace="n",pod="p"} 0 1700000000123
node_cpu_usage_seconds_total 100.25 1700000000456
node_memory_working_set_bytes 1e+09 1700000000456
pod_cpu_usage_seconds_total{namespace="n",pod="p"} 9 1700000000123
resource_scrape_error 0
"""


def test_an_exposition_is_read() -> None:
    batch = parse_batch(TEXT, 5.0)
    assert batch.node == Point(1_700_000_000.456, 100.25, 10**9)
    assert batch.pods == {
        ("n", "p"): {
            "main": Point(1_700_000_000.123, 4.5, 1 << 20, 1_699_999_900.0),
            "side": Point(1_700_000_000.123, 0.001, 4096),
        }
    }, "a pod with a container whose memory is not told is left out"
    assert parse_batch(b"node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 2\n", 5.0).node == Point(
        5.0, 1, 2
    )
    assert parse_batch(b"resource_scrape_error 1\n", 5.0) == Batch(None, {})
    with pytest.raises(ValueError, match="could not convert"):
        parse_batch(b"node_cpu_usage_seconds_total x\n", 5.0)


POD = ("n", "p")


def pod_batch(**containers: Point) -> dict[str, Batch]:
    return {"node": Batch(None, {POD: containers})}


def test_use_is_what_lies_between_two_points() -> None:
    storage = Storage(15)
    storage.store({"one": Batch(Point(100.0, 10.0, 5))})
    assert storage.node("one") is None and not storage.ready
    storage.store({"one": Batch(Point(110.0, 12.5, 7))})
    found = storage.node("one")
    assert found is not None and storage.ready
    assert (found.cpu, found.memory, found.window) == (250_000_000, 7, 10.0)
    storage.store({"one": Batch(Point(110.0, 12.5, 7))})
    assert storage.node("one") == found, "a point told twice changes nothing"
    storage.store({})
    assert storage.node("one") is None, "nothing is known of a node that does not answer"


def test_a_counter_that_went_back_tells_nothing() -> None:
    storage = Storage(15)
    for cpu in (10.0, 1.0):
        storage.store({"one": Batch(Point(100.0 - cpu, cpu, 5))})
    assert storage.node("one") is None


def test_containers() -> None:
    storage = Storage(15)
    storage.store(pod_batch(a=Point(100.0, 1.0, 1, 50.0)))
    assert storage.pod(POD) is None
    storage.store(pod_batch(a=Point(115.0, 4.0, 1, 50.0), b=Point(115.0, 0.5, 1, 110.0)))
    assert storage.pod(POD) is None, "not before all of them have two points"
    storage.store(pod_batch(a=Point(130.0, 4.0, 1, 50.0), b=Point(130.0, 2.0, 1, 110.0)))
    found = storage.pod(POD)
    assert found is not None and {name: usage.cpu for name, usage in found.items()} == {"a": 0, "b": 100_000_000}
    storage.store(pod_batch(a=Point(145.0, 0.1, 1, 140.0), b=Point(145.0, 3.0, 1, 110.0)))
    assert storage.pod(POD) is None, "a container that was started again has one point only"


def test_a_young_container_began_with_nothing() -> None:
    storage = Storage(15)
    storage.store(pod_batch(a=Point(112.0, 6.0, 1, 100.0)))
    found = storage.pod(POD)
    assert found is not None and (found["a"].cpu, found["a"].window) == (500_000_000, 12.0)
    storage.store(pod_batch(b=Point(105.0, 6.0, 1, 100.0)))
    assert storage.pod(POD) is None, "too young"


def test_objects_and_tables() -> None:
    storage = Storage(15)
    storage.store({"one": Batch(Point(100.0, 1.0, 1), {POD: {"a": Point(100.0, 1.0, 1)}})})
    storage.store({"one": Batch(Point(115.25, 1.1, 1536), {POD: {"a": Point(115.25, 1.00001, 4096)}})})
    node, pod, now = storage.node("one"), storage.pod(POD), datetime(2024, 1, 1, tzinfo=UTC)
    assert node is not None and pod is not None
    shown = objects.node_metrics({"metadata": {"name": "one", "labels": {"a": "b"}, "uid": "u"}}, node, now)
    assert shown == {
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "one", "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": "b"}},
        "timestamp": "1970-01-01T00:01:55Z",
        "window": "15.25s",
        "usage": {"cpu": "6557377n", "memory": "1536"},
    }
    told = objects.pod_metrics({"metadata": {"name": "p", "namespace": "n"}}, pod, now)
    assert told["containers"] == [{"name": "a", "usage": {"cpu": "656n", "memory": "4Ki"}}]
    table = objects.table_of([told], "v1", "")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert table["rows"][0]["cells"] == ["p", "656n", "4Ki", "15.25s"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def node(*addresses: tuple[str, str], port: int = 0) -> dict[str, Any]:
    listed = [{"type": kind, "address": address} for kind, address in addresses]
    endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}} if port else {}
    return {"metadata": {"name": "x"}, "status": {"addresses": listed, **endpoint}}


def test_where_a_kubelet_is_asked() -> None:
    both = node(("Hostname", "x"), ("InternalIP", "10.0.0.1"), port=10350)
    types = ("InternalIP", "Hostname")
    assert kubelet_url(both, types, 10250, node_port=False) == "https://10.0.0.1:10250/metrics/resource"
    assert kubelet_url(both, types, 10250, node_port=True) == "https://10.0.0.1:10350/metrics/resource"
    assert kubelet_url(node(("InternalIP", "fd00::1")), types, 1, node_port=True).startswith("https://[fd00::1]:1/")
    with pytest.raises(NoAddress, match="had no addresses that matched types"):
        kubelet_url(node(("ExternalIP", "1.2.3.4")), types, 10250, node_port=False)


DATA = {
    "requestheader-client-ca-file": "PEM",
    "requestheader-allowed-names": '["front-proxy-client"]',
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
}


def test_the_front_proxy_names_the_user() -> None:
    front = FrontProxy.read(DATA)
    headers = CIMultiDict(
        [("X-Remote-User", "ann"), ("X-Remote-Group", "a"), ("x-remote-group", "b"), ("X-Remote-Extra-Scopes", "s")]
    )
    proxied = CIMultiDictProxy(headers)
    assert front.user("front-proxy-client", proxied) == User("ann", ("a", "b"), "", {"scopes": ("s",)})
    assert front.user("somebody", proxied) is None
    assert front.user("front-proxy-client", CIMultiDictProxy(CIMultiDict())) is None
    anyone = FrontProxy.read({**DATA, "requestheader-allowed-names": "[]"})
    assert anyone.user("somebody", proxied) is not None
    with pytest.raises(KeyError):
        FrontProxy.read({})


@pytest.mark.parametrize(
    ("path", "resource", "words"),
    [
        ("/apis", None, 'get path "/apis"'),
        ("/apis/metrics.k8s.io/v1beta1", None, 'get path "/apis/metrics.k8s.io/v1beta1"'),
        ("/apis/metrics.k8s.io/v1beta1/nodes", ("list", "nodes", "", ""), "at the cluster scope"),
        ("/apis/metrics.k8s.io/v1beta1/nodes/x", ("get", "nodes", "", "x"), "at the cluster scope"),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/n/pods", ("list", "pods", "n", ""), 'in the namespace "n"'),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/n/pods/p", ("get", "pods", "n", "p"), 'in the namespace "n"'),
    ],
)
def test_what_is_asked_for(path: str, resource: tuple[str, str, str, str] | None, words: str) -> None:
    attributes, said = describe("GET", path)
    assert said.endswith(words)
    if resource is None:
        assert attributes == {"nonResourceAttributes": {"path": path, "verb": "get"}}
    else:
        told = attributes["resourceAttributes"]
        assert tuple(told.get(key, "") for key in ("verb", "resource", "namespace", "name")) == resource


def test_flags(tmp_path: Any) -> None:
    kubeconfig = tmp_path / "conf"
    rendered = render_kubeconfig(server="https://127.0.0.1:1", ca_data=b"a", cert_data=b"c", key_data=b"k", user="u")
    kubeconfig.write_text(rendered)
    found = config.parse([f"--kubeconfig={kubeconfig}", "--secure-port=10250", "--kubelet-use-node-status-port",
                          "--metric-resolution=15s", "--kubelet-insecure-tls", "--cert-dir=/tmp"])  # fmt: skip
    assert (found.secure_port, found.resolution, found.node_port, found.insecure_tls) == (10250, 15.0, True, True)
    with pytest.raises(ConfigError) as refused:
        config.parse([f"--kubeconfig={kubeconfig}", "--metric-resolution=x",
                      "--kubelet-preferred-address-types=Street"])  # fmt: skip
    text = str(refused.value)
    assert "--metric-resolution" in text and "unknown address type 'Street'" in text
    with pytest.raises(ConfigError, match="unknown flag: --nonsense"):
        config.parse([f"--kubeconfig={kubeconfig}", "--nonsense"])
    with pytest.raises(ConfigError, match="at least 10s"):
        config.parse([f"--kubeconfig={kubeconfig}", "--metric-resolution=5s"])
