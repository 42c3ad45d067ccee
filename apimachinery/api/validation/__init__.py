"""Upstream's semantic validation: what a well-formed, defaulted object is refused for, in the same words.

Every function returns all problems at once and changes nothing. Kinds without rules of their own are checked for
metadata and for the fields their schema requires. The objects must have been decoded and defaulted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.schema import SCHEMA
from apimachinery.api.validation import (
    config,
    discovery,
    events,
    jobs,
    leases,
    nodes,
    pod_updates,
    pods,
    rbac,
    services,
    workloads,
)
from apimachinery.api.validation.checks import NameCheck, sentences
from apimachinery.api.validation.metadata import object_meta, object_meta_update, path_segment
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem

Object = dict[str, Any]
Check = Callable[[Object], list[Problem]]
Change = Callable[[Object, Object], list[Problem]]


def _nothing(obj: Object) -> list[Problem]:
    return []


def _no_change(new: Object, old: Object) -> list[Problem]:
    return []


def _cron_name(obj: Object) -> list[Problem]:
    name = (obj.get("metadata") or {}).get("name") or ""
    return sentences(jobs.cron_job_name(name), name, Path("metadata", "name"))


@dataclass(frozen=True, slots=True)
class _Rules:
    check: Check = _nothing
    update: Change = _no_change
    status: Change = _no_change
    create: Check = _nothing
    name: NameCheck = names.dns1123_subdomain


_APPS = ("apps", "v1")
_BATCH = ("batch", "v1")
_RBAC = ("rbac.authorization.k8s.io", "v1")

_RULES: dict[tuple[str, str, str], _Rules] = {
    ("", "v1", "ConfigMap"): _Rules(config.config_map, config.config_map_update),
    ("", "v1", "Endpoints"): _Rules(services.endpoints),
    ("", "v1", "Event"): _Rules(events.event),
    ("", "v1", "Namespace"): _Rules(name=names.dns1123_label),
    ("", "v1", "Node"): _Rules(nodes.node, nodes.node_update, nodes.node_update),
    ("", "v1", "Pod"): _Rules(pods.pod, pod_updates.pod_update, pod_updates.pod_status_update, pods.pod_create),
    ("", "v1", "PodTemplate"): _Rules(lambda obj: pods.pod_template(obj.get("template"), Path("template"))),
    ("", "v1", "ReplicationController"): _Rules(workloads.replication_controller, status=workloads.replicas_status),
    ("", "v1", "Secret"): _Rules(config.secret, config.secret_update),
    ("", "v1", "Service"): _Rules(
        services.service, services.service_update, services.service_status_update, name=names.dns1035_label
    ),
    ("", "v1", "ServiceAccount"): _Rules(),
    (*_APPS, "DaemonSet"): _Rules(workloads.daemon_set, workloads.selector_update, workloads.daemon_set_status),
    (*_APPS, "Deployment"): _Rules(workloads.deployment, workloads.selector_update, workloads.replicas_status),
    (*_APPS, "ReplicaSet"): _Rules(workloads.replica_set, workloads.selector_update, workloads.replicas_status),
    (*_APPS, "StatefulSet"): _Rules(workloads.stateful_set, workloads.stateful_set_update, workloads.replicas_status),
    (*_BATCH, "CronJob"): _Rules(jobs.cron_job, create=_cron_name),
    (*_BATCH, "Job"): _Rules(jobs.job, jobs.job_update),
    ("coordination.k8s.io", "v1", "Lease"): _Rules(leases.lease),
    ("discovery.k8s.io", "v1", "EndpointSlice"): _Rules(discovery.endpoint_slice, discovery.endpoint_slice_update),
    ("events.k8s.io", "v1", "Event"): _Rules(events.event),
    (*_RBAC, "ClusterRole"): _Rules(rbac.cluster_role, name=path_segment),
    (*_RBAC, "ClusterRoleBinding"): _Rules(rbac.cluster_role_binding, rbac.binding_update, name=path_segment),
    (*_RBAC, "Role"): _Rules(rbac.role, name=path_segment),
    (*_RBAC, "RoleBinding"): _Rules(rbac.role_binding, rbac.binding_update, name=path_segment),
}


def _rules(resource: Resource) -> _Rules:
    return _RULES.get(resource.gvk) or _Rules(check=lambda obj: SCHEMA.missing_required(resource.gvk, obj))


def validate_create(resource: Resource, obj: Object) -> list[Problem]:
    """What a new object is refused for. Its name must already have been generated."""
    rules = _rules(resource)
    return object_meta(obj, resource.namespaced, rules.name) + rules.check(obj) + rules.create(obj)


def validate_update(resource: Resource, new: Object, old: Object) -> list[Problem]:
    """What a change of an object (not of its status) is refused for."""
    rules = _rules(resource)
    return object_meta_update(new, old) + rules.check(new) + rules.update(new, old)


def validate_status_update(resource: Resource, new: Object, old: Object) -> list[Problem]:
    """What a write to the status subresource is refused for."""
    return object_meta_update(new, old) + _rules(resource).status(new, old)


def validate_name(resource: Resource, name: str) -> list[str]:
    """The sentences against a name, an empty list when an object of this kind may bear it."""
    return _rules(resource).name(name)


def validate_binding(obj: Object) -> list[Problem]:
    """What a Binding is refused for (pods/binding)."""
    return pods.binding(obj)


def validate_ephemeral_containers_update(new: Object, old: Object) -> list[Problem]:
    """What a write to pods/ephemeralcontainers is refused for."""
    return object_meta_update(new, old) + pods.pod(new) + pod_updates.ephemeral_containers_update(new, old)
