"""`python -m controlplane.scheduler.explain --kubeconfig FILE [-n NAMESPACE] POD`: asks the API, and our own rules.

Nothing is asked of the running scheduler, which so need not run, nor be ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.cache.informer import InformerFactory
from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.config import Problems, or_exit
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import ApiError
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.config_file import FileConfig, read_file
from controlplane.scheduler.explain import show
from controlplane.scheduler.explain.report import Report, explain
from controlplane.scheduler.framework import Framework
from controlplane.scheduler.plugins import VolumeParts, make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import DEFAULT, Profile
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.storage import Storage
from controlplane.scheduler.surroundings import ClusterSurroundings
from controlplane.scheduler.watching import LIVE_PODS, node_facts, scheduling_facts

_NAME = "kubelab why"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report. Exit codes: 0 done, 1 the API says no or nothing, 2 bad input."""
    parser = argparse.ArgumentParser(prog=_NAME)
    parser.add_argument("pod")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--context")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--scheduler-config", type=Path, help="the KubeSchedulerConfiguration that holds")
    args = parser.parse_args(argv)
    with or_exit(_NAME, code=2):
        config = load_kubeconfig(args.kubeconfig, args.context)
        file = _read(args.scheduler_config)
    try:
        answer = asyncio.run(ask(config, args.namespace or config.namespace, args.pod, file.profiles))
    except ApiError as error:
        print(f"{_NAME}: the API server says: {error.message}", file=sys.stderr)
        return 1
    except ApiUnreachable as error:
        print(f"{_NAME}: the API server does not answer: {error}", file=sys.stderr)
        return 1
    pod, report, snapshot, framework = answer
    if args.json:
        print(json.dumps(show.document(pod, report), indent=2, ensure_ascii=False))
    else:
        doubts = list(_doubts(pod, file))
        print("\n".join(show.lines(pod, report, snapshot, framework, doubts)))
    return 0


def _read(path: Path | None) -> FileConfig:
    if path is None:
        return FileConfig()
    problems = Problems()
    found = read_file(path, problems)
    problems.raise_if_any()
    return found


def _doubts(pod: PodInfo, file: FileConfig) -> Iterator[str]:
    """What the answer does not know of."""
    if all(profile.scheduler_name != pod.scheduler_name for profile in file.profiles):
        yield f"schedulerName {pod.scheduler_name}: another scheduler may have other rules"
    if file.extenders:
        yield "extenders are not asked"


async def ask(
    config: ClientConfig, namespace: str, name: str, profiles: Sequence[Profile] = (DEFAULT,)
) -> tuple[PodInfo, Report, Snapshot, Framework]:
    """The pod as it is, what our rules say of it now, and what they were asked about. Raises ApiError, ApiUnreachable.

    A pod that has a node is judged as if it were not there yet."""
    async with Client(config, _NAME) as client:
        pod = PodInfo(await client.get(PODS, name, namespace))
        informers = InformerFactory(client)
        pods = informers.get(PODS, field_selector=LIVE_PODS, transform=scheduling_facts)
        nodes = informers.get(NODES, transform=node_facts)
        named = {profile.scheduler_name: profile for profile in profiles}
        profile = named.get(pod.scheduler_name, Profile(pod.scheduler_name))
        framework = make_framework(profile, VolumeParts(Storage(informers), client, SystemClock()))
        cache = SchedulerCache(ClusterSurroundings(informers))
        watching = asyncio.create_task(informers.run())
        try:
            await informers.wait_synced()
        finally:
            await cancel_and_wait(watching)
        for node in nodes.lister.list():
            cache.set_node(node)
        for other in map(PodInfo, pods.lister.list()):
            if other.node_name and other.uid != pod.uid:
                cache.set_pod(other, other.node_name)
        snapshot = cache.snapshot()
        return pod, explain(framework, _unbound(pod), snapshot), snapshot, framework


def _unbound(pod: PodInfo) -> PodInfo:
    spec = {key: value for key, value in pod.spec.items() if key != "nodeName"}
    return PodInfo({**pod.pod, "spec": spec})
