"""Upstream's numbers where it is not obvious how they come about."""

from __future__ import annotations

from typing import Any

from apimachinery.meta.labels import NOTHING
from controlplane.scheduler.plugins import make_framework
from controlplane.scheduler.plugins.balanced_allocation import BalancedAllocation
from controlplane.scheduler.plugins.inter_pod_affinity import InterPodAffinity
from controlplane.scheduler.plugins.pod_topology_spread import PodTopologySpread
from controlplane.scheduler.pod_info import PodInfo, SpreadConstraint
from controlplane.scheduler.profiles import Fit, Profile
from controlplane.scheduler.snapshot import Snapshot, snapshot_of
from tests.unit.controlplane.scheduler.objects_for_scheduling import OneService, node, pod

Object = dict[str, Any]
WEB = {"app": "web"}


def with_service(nodes: list[Object], running: list[Object]) -> Snapshot:
    return Snapshot(snapshot_of(nodes, running).nodes, OneService())


def test_affinity_is_stretched_in_floating_point() -> None:
    """100 * 0.29 falls just short of 29."""
    assert InterPodAffinity().normalize([0, 29, 100]) == [0, 28, 100]
    assert InterPodAffinity().normalize([-100, 0, 100]) == [0, 50, 100]


def test_devices_count_only_for_pods_that_ask_for_them() -> None:
    weights = (("cpu", 1), ("example.com/gpu", 5))
    profile = Profile(fit=Fit(weights=weights), balanced=("cpu", "memory", "example.com/gpu"))
    snapshot = snapshot_of([node("a", **{"example.com/gpu": "4"})], [])

    def scores(**requests: str) -> dict[str, int]:
        candidate = pod("p")
        candidate["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "2", "memory": "4Gi", **requests}
        return make_framework(profile).score(PodInfo(candidate), snapshot, snapshot.nodes).of("a")

    without, asking = scores(), scores(**{"example.com/gpu": "1"})
    assert (without["NodeResourcesFit"], without["NodeResourcesBalancedAllocation"]) == (50, 100)
    assert (asking["NodeResourcesFit"], asking["NodeResourcesBalancedAllocation"]) == (70, 88)


def test_shares_are_balanced_only_for_pods_that_change_them() -> None:
    """A pod that asks for a device and neither cpu nor memory would always go to the node that is balanced already."""
    snapshot = snapshot_of([node("a", **{"example.com/gpu": "4"})], [pod("q", cpu="4", on="a")])
    candidate = pod("p")
    candidate["spec"]["containers"][0]["resources"]["requests"] = {"example.com/gpu": "1"}
    info = PodInfo(candidate)
    assert BalancedAllocation().score_for(info, snapshot, snapshot.nodes) is None
    score = BalancedAllocation(("cpu", "example.com/gpu")).score_for(info, snapshot, snapshot.nodes)
    assert score is not None
    assert score(snapshot.nodes[0]) == 62


def test_nodes_without_a_zone_are_one_more_zone_to_the_systems_spreading() -> None:
    """Three zones and three hosts weigh log 5 each: 4 log 5 + 4, and 4 log 5 + 2."""
    running = [pod(f"q{number}", labels=WEB, on="a") for number in range(4)]
    nodes = [node("a", labels={"topology.kubernetes.io/zone": "1"}), node("c")]
    nodes.append(node("b", labels={"topology.kubernetes.io/zone": "2"}))
    snapshot = with_service(nodes, running)
    score = PodTopologySpread().score_for(PodInfo(pod("p", labels=WEB)), snapshot, snapshot.nodes)
    assert score is not None
    assert [score(each) for each in snapshot.nodes] == [19, 2, 6]


def test_nodes_without_a_label_of_a_profiles_constraints_score_nothing() -> None:
    plugin = PodTopologySpread([SpreadConstraint(max_skew=1, topology_key="zone", hard=False, selector=NOTHING)])
    snapshot = with_service([node("a", labels={"zone": "1"}), node("c")], [pod("q", labels=WEB, on="a")])
    score = plugin.score_for(PodInfo(pod("p", labels=WEB)), snapshot, snapshot.nodes)
    assert score is not None
    assert plugin.normalize([score(each) for each in snapshot.nodes]) == [100, 0]


def test_pods_on_nodes_that_lack_a_label_are_not_counted() -> None:
    soft = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": WEB}}
    wanted = [{**soft, "topologyKey": key} for key in ("zone", "rack")]
    nodes = [node(name, labels={"zone": name, "rack": name}) for name in "ab"]
    aside = node("aside", labels={"zone": "a"})
    snapshot = snapshot_of([*nodes, aside], [pod("q", labels=WEB, on="aside")])
    candidate = PodInfo(pod("p", labels=WEB, topologySpreadConstraints=wanted))
    score = PodTopologySpread().score_for(candidate, snapshot, snapshot.nodes[:2])
    assert score is not None
    assert [score(each) for each in snapshot.nodes[:2]] == [0, 0]
