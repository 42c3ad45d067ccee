"""Turns what the informers tell into changes of the cache and the queue, and wakes the pods that a change may help."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    STORAGECLASSES,
)
from apimachinery.cache.informer import InformerFactory, without_managed_fields
from apimachinery.meta import objects
from apimachinery.meta.pods import is_terminal
from controlplane.scheduler.cache import SchedulerCache
from controlplane.scheduler.framework import Change, Framework, What
from controlplane.scheduler.nominator import Nominator
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import SchedulingQueue

Object = dict[str, Any]

# Ended pods hold nothing; the server leaves them out.
LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"

_STORAGE = {
    PERSISTENTVOLUMECLAIMS: What.CLAIM,
    PERSISTENTVOLUMES: What.VOLUME,
    STORAGECLASSES: What.STORAGE_CLASS,
    CSINODES: What.CSI,
    CSIDRIVERS: What.CSI,
    CSISTORAGECAPACITIES: What.CSI,
}

_CONTAINER = ("name", "image", "resources", "ports", "restartPolicy")
# The volumes that tie a pod to nodes.
_VOLUMES = ("persistentVolumeClaim", "ephemeral", "gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi")
_CONDITIONS = ("PodScheduled", "DisruptionTarget")
_METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)


def scheduling_facts(pod: Object) -> Object:
    """An informer transform: keep of a pod what scheduling reads, about a fifth of its memory."""
    metadata, spec, status = pod["metadata"], dict(pod.get("spec") or {}), pod.get("status") or {}
    held = [volume for volume in spec.pop("volumes", None) or () if any(volume.get(kind) for kind in _VOLUMES)]
    if held:
        spec["volumes"] = [_claim_only(volume) for volume in held]
    for dropped in ("ephemeralContainers", "securityContext", "dnsConfig", "hostAliases"):
        spec.pop(dropped, None)
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            spec[kind] = [{key: c[key] for key in _CONTAINER if key in c} for c in spec[kind]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": spec,
        "status": {
            "phase": status.get("phase"),
            "nominatedNodeName": status.get("nominatedNodeName"),
            "conditions": [c for c in status.get("conditions") or () if c.get("type") in _CONDITIONS],
        },
    }


def _claim_only(volume: Object) -> Object:
    return {"name": volume["name"], "ephemeral": {}} if volume.get("ephemeral") else volume


def node_facts(node: Object) -> Object:
    """An informer transform: keep of a node what scheduling reads."""
    node["metadata"].pop("managedFields", None)
    for dropped in ("conditions", "addresses", "nodeInfo", "volumesInUse", "volumesAttached"):
        (node.get("status") or {}).pop(dropped, None)
    return node


class Watching:
    """Handlers for Pods, Nodes and Namespaces."""

    def __init__(
        self,
        cache: SchedulerCache,
        queue: SchedulingQueue,
        nominator: Nominator,
        frameworks: Mapping[str, Framework],
    ) -> None:
        self._cache, self._queue, self._nominator, self._frameworks = cache, queue, nominator, frameworks

    def attach(self, informers: InformerFactory, *, whole: bool = False) -> None:
        """Listen to the informers of `informers`. whole: keep pods and nodes as they are."""
        of_pods, of_nodes = (without_managed_fields,) * 2 if whole else (scheduling_facts, node_facts)
        informers.get(PODS, field_selector=LIVE_PODS, transform=of_pods).add_handler(
            self.pod_changed, self.pod_updated, self.pod_gone
        )
        informers.get(NODES, transform=of_nodes).add_handler(
            self.node_changed, lambda _, new: self.node_changed(new), self.node_gone
        )
        informers.get(NAMESPACES).add_handler(self.namespace_changed)
        for resource, what in _STORAGE.items():
            informers.get(resource).add_handler(partial(self.storage_changed, what))

    def pod_updated(self, old: Object, new: Object) -> None:
        """Skip what only the status tells: the kubelet reports often, and scheduling does not care."""
        bound = (new.get("spec") or {}).get("nodeName")
        if bound and not is_terminal(new) and _scheduling_facts(old) == _scheduling_facts(new):
            return
        self.pod_changed(new, old)

    def pod_changed(self, new: Object, old: Object | None = None) -> None:
        """A pod was seen first, or changed."""
        pod = PodInfo(new)
        if pod.terminal:
            self.pod_gone(new)
        elif pod.node_name:
            known = self._cache.place_of(pod.uid) is not None and not self._cache.is_assumed(pod.uid)
            self._cache.set_pod(pod, pod.node_name)
            self._queue.delete(pod.uid)
            self._nominator.remove(pod.uid)
            before = PodInfo(old) if old is not None and known else None
            self._queue.move(Change(What.POD_UPDATE if known else What.POD_ADD, before, pod))
        elif pod.scheduler_name in self._frameworks:
            if not self._cache.is_assumed(pod.uid):
                self._nominator.follow(pod, PodInfo(old) if old is not None else None)
            self._queue.add(pod)

    def pod_gone(self, last: Object) -> None:
        """A pod was deleted or has ended: what it held is free."""
        pod = PodInfo(last)
        self._queue.delete(pod.uid)
        awaited = self._nominator.remove(pod.uid)
        # Room that was kept for a pod is as free as what it held.
        if self._cache.remove_pod(pod.uid) or awaited:
            self._queue.move(Change(What.POD_DELETE, old=pod))

    def node_changed(self, node: Object) -> None:
        """A node is new, or what it offers changed."""
        before, after = self._cache.set_node(node)
        self._queue.move(Change(What.NODE_ADD if before is None else What.NODE_UPDATE, before, after))

    def node_gone(self, node: Object) -> None:
        """A node was deleted; its pods follow by themselves."""
        if before := self._cache.remove_node(objects.name(node)):
            self._queue.move(Change(What.NODE_DELETE, old=before))

    def storage_changed(self, what: What, obj: Object) -> None:
        """A claim, a volume, or what is known of drivers changed."""
        self._queue.move(Change(what, key=objects.key(obj)))

    def namespace_changed(self, namespace: Object) -> None:
        """Namespace selectors of affinity terms may match otherwise now."""
        self._queue.move(Change(What.NAMESPACE))


def _scheduling_facts(pod: Object) -> tuple[Any, ...]:
    metadata = pod["metadata"]
    return metadata.get("labels"), metadata.get("deletionTimestamp"), pod.get("spec")
