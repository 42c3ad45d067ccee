"""How many objects a controller works on at the same time (--concurrent-…-syncs)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from msgspec import Struct

from apimachinery.client.component import given
from apimachinery.kit.config import Problems
from apimachinery.kit.flags import FlagParser

_MOST = 50  # of Services whose slices are made


class Workers(Struct, frozen=True):
    """flag: what says how many; usual: how many when it does not. section, field: where /configz shows them. bounded:
    whether there may be none, or any number."""

    flag: str
    usual: int
    section: str
    field: str
    bounded: bool = False


WORKERS = {
    "cronjob-controller": Workers("concurrent-cron-job", 5, "CronJobController", "ConcurrentCronJob"),
    "daemonset-controller": Workers("concurrent-daemonset", 2, "DaemonSetController", "ConcurrentDaemonSet"),
    "deployment-controller": Workers("concurrent-deployment", 5, "DeploymentController", "ConcurrentDeployment"),
    "endpoints-controller": Workers("concurrent-endpoint", 5, "EndpointController", "ConcurrentEndpoint"),
    "endpointslice-controller": Workers(
        "concurrent-service-endpoint", 5, "EndpointSliceController", "ConcurrentServiceEndpoint", bounded=True
    ),
    "endpointslicemirroring-controller": Workers(
        "mirroring-concurrent-service-endpoint", 5,
        "EndpointSliceMirroringController", "MirroringConcurrentServiceEndpoint", bounded=True,
    ),
    "ephemeral-volume-controller": Workers(
        "concurrent-ephemeralvolume", 5, "EphemeralVolumeController", "ConcurrentEphemeralVolume"
    ),
    "garbage-collector-controller": Workers("concurrent-gc", 20, "GarbageCollectorController", "ConcurrentGC"),
    "horizontal-pod-autoscaler-controller": Workers(
        "concurrent-horizontal-pod-autoscaler", 5, "HPAController", "ConcurrentHorizontalPodAutoscaler"
    ),
    "job-controller": Workers("concurrent-job", 5, "JobController", "ConcurrentJob"),
    "namespace-controller": Workers("concurrent-namespace", 10, "NamespaceController", "ConcurrentNamespace"),
    "replicaset-controller": Workers("concurrent-replicaset", 5, "ReplicaSetController", "ConcurrentRS"),
    "replicationcontroller-controller": Workers("concurrent-rc", 5, "ReplicationController", "ConcurrentRC"),
    "resourcequota-controller": Workers(
        "concurrent-resource-quota", 5, "ResourceQuotaController", "ConcurrentResourceQuota"
    ),
    "statefulset-controller": Workers("concurrent-statefulset", 5, "StatefulSetController", "ConcurrentStatefulSet"),
    "ttl-after-finished-controller": Workers(
        "concurrent-ttl-after-finished", 5, "TTLAfterFinishedController", "ConcurrentTTL"
    ),
}  # fmt: skip
"""By controller; without the ending -syncs and Syncs."""

USUAL_WORKERS: Mapping[str, int] = {name: each.usual for name, each in WORKERS.items()}


def add_flags(parser: FlagParser) -> None:
    """Those that `read_workers` reads."""
    for name, each in WORKERS.items():
        told = f"how many objects the {name} works on at once ({each.usual})"
        parser.add_argument(f"--{each.flag}-syncs", type=int, default=each.usual, help=told)


def read_workers(args: argparse.Namespace, problems: Problems) -> Mapping[str, int]:
    """By controller, how many. A controller of none does nothing, as upstream."""
    found = {}
    for name, each in WORKERS.items():
        flag = f"--{each.flag}-syncs"
        found[name] = asked = int(given(args, flag))
        if each.bounded and not 1 <= asked <= _MOST:
            bound = "less than 1" if asked < 1 else f"more than {_MOST}"
            problems.add(flag, f"must not be {bound}, but got {asked}")
    return found
