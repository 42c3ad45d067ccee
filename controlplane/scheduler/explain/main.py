"""`python -m controlplane.scheduler.explain --kubeconfig FILE [-n NAMESPACE] POD`: asks the API, and our own rules.

Nothing is asked of the running scheduler, which so need not run, nor be ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from apimachinery.api.catalogue import NODES, PODS
from apimachinery.cache.informer import InformerFactory
from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.clock import SystemClock
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import cancel_and_wait
from apimachinery.meta.status import ApiError
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.explain import show
from controlplane.scheduler.explain.report import Report, explain
from controlplane.scheduler.framework import Framework
from controlplane.scheduler.plugins import VolumeParts, make_framework
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profiles import Profile
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
    args = parser.parse_args(argv)
    with or_exit(_NAME):
        config = load_kubeconfig(args.kubeconfig, args.context)
    try:
        pod, report, snapshot, framework = asyncio.run(ask(config, args.namespace or config.namespace, args.pod))
    except ApiError as error:
        print(f"{_NAME}: the API server says: {error.message}", file=sys.stderr)
        return 1
    except ApiUnreachable as error:
        print(f"{_NAME}: the API server does not answer: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(show.document(pod, report), indent=2, ensure_ascii=False))
    else:
        print("\n".join(show.lines(pod, report, snapshot, framework)))
    return 0


async def ask(config: ClientConfig, namespace: str, name: str) -> tuple[PodInfo, Report, Snapshot, Framework]:
    """The pod as it is, what our rules say of it now, and what they were asked about. Raises ApiError, ApiUnreachable.

    A pod that has a node is judged as if it were not there yet."""
    async with Client(config, _NAME) as client:
        pod = PodInfo(await client.get(PODS, name, namespace))
        informers = InformerFactory(client)
        pods = informers.get(PODS, field_selector=LIVE_PODS, transform=scheduling_facts)
        nodes = informers.get(NODES, transform=node_facts)
        framework = make_framework(Profile(pod.scheduler_name), VolumeParts(Storage(informers), client, SystemClock()))
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
