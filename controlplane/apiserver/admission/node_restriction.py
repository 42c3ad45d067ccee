"""NodeRestriction: a node agent changes its own node and the pods bound to it, and nothing else of the kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta.pods import MIRROR
from controlplane.apiserver.admission import pod_secrets
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

_NODES = "system:nodes"
_LEASES = "kube-node-lease"
_RESTRICTED = "node-restriction.kubernetes.io"
_OF_KUBELETS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    }
)
_KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_CLAIM_STATUS = frozenset({"capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"})


class NodeRestriction(Plugin):
    """plugin/pkg/admission/noderestriction. Pods and nodes are read from the store: a token is not given by memory."""

    name = "NodeRestriction"
    about = frozenset(
        {("", "pods"), ("", "nodes"), ("", "persistentvolumeclaims"), ("", "serviceaccounts")}
        | {("coordination.k8s.io", "leases"), ("storage.k8s.io", "csinodes")}
    )

    def __init__(self, pods: ObjectStore, nodes: ObjectStore) -> None:
        self._pods, self._nodes = pods, nodes

    async def validate(self, review: Review) -> None:
        user = review.call.user
        if _NODES not in user.groups or review.operation == "CONNECT":
            return
        node = user.node_name
        if not node:
            raise review.forbidden(f'could not determine node from user "{user.name}"')
        match review.resource.plural, review.call.subresource:
            case "pods", "":
                await self._pod(review, node)
            case "pods", "status":
                _pod_status(review, node)
            case "pods", "eviction":
                await self._eviction(review, node)
            case "pods", subresource:
                raise review.forbidden(
                    f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed"
                )
            case "nodes", _:
                _node(review, node)
            case "persistentvolumeclaims", "status":
                _claim_status(review, node)
            case "persistentvolumeclaims", _:
                raise review.forbidden("may only update PVC status")
            case "serviceaccounts", "token":
                await self._token(review, node)
            case "leases", _:
                if review.call.namespace != _LEASES:
                    raise review.forbidden(f'can only access leases in the "{_LEASES}" system namespace')
                if review.name != node:
                    raise review.forbidden("can only access node lease with the same name as the requesting node")
            case "csinodes", _:
                if review.name != node:
                    raise review.forbidden("can only access CSINode with the same name as the requesting node")

    async def _pod(self, review: Review, node: str) -> None:
        if review.operation == "DELETE":
            assert review.old is not None
            if _node_of(review.old) != node:
                raise review.forbidden(f'node "{node}" can only delete pods with spec.nodeName set to itself')
            return
        if review.operation != "CREATE":
            raise review.forbidden(
                f'unexpected operation "{review.operation}", node "{node}" can only create and delete mirror pods'
            )
        pod = review.new
        assert pod is not None
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise review.forbidden(
                f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
            )
        if _node_of(pod) != node:
            raise review.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
        await self._owner(review, node, pod["metadata"].get("ownerReferences") or [])
        for what in _references(pod["spec"]):
            raise review.forbidden(f'node "{node}" can not create pods that reference {what}')

    async def _owner(self, review: Review, node: str, owners: list[Object]) -> None:
        """A mirror pod belongs to its node, so that it goes with it."""
        can = f'node "{node}" can only create pods with'
        if len(owners) > 1:
            raise review.forbidden(f"{can} a single owner reference set to itself")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise review.forbidden(f"{can} an owner reference set to itself")
        if not owner.get("controller"):
            raise review.forbidden(f"{can} a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise review.forbidden(f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        found = await self._nodes.get("", node)
        if owner.get("uid") != found["metadata"]["uid"]:
            raise review.forbidden(
                f"node {node} UID mismatch: expected {owner.get('uid')} got {found['metadata']['uid']}"
            )

    async def _eviction(self, review: Review, node: str) -> None:
        # Asked twice: about the Eviction, and about the deletion that it leads to.
        pod = review.old if review.old is not None else await self._pods.get(review.call.namespace, review.call.name)
        if _node_of(pod) != node:
            raise review.forbidden(f"node {node} can only evict pods with spec.nodeName set to itself")

    async def _token(self, review: Review, node: str) -> None:
        """Tokens are for pods of the node."""
        reference = ((review.new or {}).get("spec") or {}).get("boundObjectRef") or {}
        if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
            raise review.forbidden("node requested token not bound to a pod")
        if not reference.get("uid"):
            raise review.forbidden("node requested token with a pod binding without a uid")
        pod = await self._pods.get(review.call.namespace, reference["name"])
        if reference["uid"] != pod["metadata"]["uid"]:
            raise review.forbidden(
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. The "
                "object might have been deleted and then recreated"
            )
        if _node_of(pod) != node:
            raise review.forbidden("node requested token bound to a pod scheduled on a different node")


def _pod_status(review: Review, node: str) -> None:
    if review.operation != "UPDATE":
        raise review.forbidden(f'unexpected operation "{review.operation}"')
    assert review.old is not None and review.new is not None
    if _node_of(review.old) != node:
        raise review.forbidden(f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
    if _labels(review.old) != _labels(review.new):
        raise review.forbidden(f'node "{node}" cannot update labels through pod status')


def _node(review: Review, node: str) -> None:
    if review.name != node:
        raise review.forbidden(f'node "{node}" is not allowed to modify node "{review.name}"')
    if review.operation == "DELETE":
        return
    new, old = _labels(review.new), _labels(review.old)
    changed = sorted(key for key in {*new, *old} if new.get(key) != old.get(key) and _is_guarded(key))
    if review.operation == "CREATE" and changed:
        raise review.forbidden(f'node "{node}" is not allowed to set the following labels: {", ".join(changed)}')
    if review.operation == "UPDATE":
        before, after = (((each or {}).get("spec") or {}).get("taints") or [] for each in (review.old, review.new))
        if before != after:
            raise review.forbidden(f'node "{node}" is not allowed to modify taints')
        if changed:
            raise review.forbidden(f"is not allowed to modify labels: {', '.join(changed)}")


def _claim_status(review: Review, node: str) -> None:
    if review.operation != "UPDATE":
        raise review.forbidden(f'unexpected operation "{review.operation}"')
    changed = [f"{part}" for part in _changes(review.old or {}, review.new or {})]
    if changed:
        raise review.forbidden(
            f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions: '
            f"{', '.join(changed)}"
        )


def _changes(old: Object, new: Object) -> list[str]:
    """What differs beside what a node may change of a claim."""
    found = []
    for section, ignored in (
        ("metadata", {"resourceVersion", "managedFields"}),
        ("spec", set()),
        ("status", _CLAIM_STATUS),
    ):
        before, after = (
            {key: value for key, value in (each.get(section) or {}).items() if key not in ignored}
            for each in (old, new)
        )
        found += [f"{section}.{key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return found


def _references(spec: Mapping[str, Any]) -> list[str]:
    """What other objects a pod depends on; a mirror pod must not depend on any."""
    found = []
    if spec.get("serviceAccountName"):
        found.append("a service account")
    volumes = spec.get("volumes") or ()
    sources = [source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or ()]
    containers = [
        each for section in ("initContainers", "containers", "ephemeralContainers") for each in spec.get(section) or ()
    ]
    taken = [each for container in containers for each in container.get("envFrom") or ()]
    taken += [env.get("valueFrom") or {} for container in containers for env in container.get("env") or ()]
    if pod_secrets.names_any(spec):
        found.append("secrets")
    if any("configMap" in each for each in (*volumes, *sources)) or any(
        "configMapRef" in each or "configMapKeyRef" in each for each in taken
    ):
        found.append("configmaps")
    if any("clusterTrustBundle" in each for each in sources):
        found.append("clustertrustbundles")
    if any("persistentVolumeClaim" in each for each in volumes):
        found.append("persistentvolumeclaims")
    return found


def _is_guarded(label: str) -> bool:
    """Whether a node may not give itself the label: by such labels work is steered away from nodes."""
    domain = label.partition("/")[0] if "/" in label else ""
    if _within(domain, _RESTRICTED):
        return True
    if not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io")):
        return False
    return label not in _OF_KUBELETS and not any(_within(domain, each) for each in _KUBELET_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _node_of(pod: Mapping[str, Any]) -> str:
    return (pod.get("spec") or {}).get("nodeName") or ""


def _labels(obj: Mapping[str, Any] | None) -> Mapping[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}
