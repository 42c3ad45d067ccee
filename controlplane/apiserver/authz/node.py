"""The Node authorizer: a node agent reads the secrets of the pods that run on its node, and no others
(plugin/pkg/auth/authorizer/node, without AuthorizeNodeWithSelectors)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.authz.policy import ROLES, rules
from controlplane.apiserver.authz.rules import allows

Object = Mapping[str, Any]
Reference = tuple[str, str, str]
"""(plural, namespace, name) of what a pod needs."""

_READ = ("get", "list", "watch")


class PodGraph:
    """What the pods of each node refer to. Fed by `put` and `drop` with pods and persistent volumes."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[tuple[str, str], frozenset[Reference]]] = {}
        self._node_of: dict[tuple[str, str], str] = {}
        self._claims: dict[str, Reference] = {}

    def put(self, obj: Object) -> None:
        """The pod or volume as it is now."""
        meta = obj["metadata"]
        if obj["kind"] == "PersistentVolume":
            claim = (obj.get("spec") or {}).get("claimRef") or {}
            self._claims[meta["name"]] = "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", "")
            return
        self.drop(obj)
        node = (obj.get("spec") or {}).get("nodeName")
        if node:
            key = meta.get("namespace") or "", meta["name"]
            self._by_node.setdefault(node, {})[key] = frozenset(references(obj))
            self._node_of[key] = node

    def drop(self, obj: Object) -> None:
        """It is gone."""
        meta = obj["metadata"]
        if obj["kind"] == "PersistentVolume":
            self._claims.pop(meta["name"], None)
            return
        key = meta.get("namespace") or "", meta["name"]
        node = self._node_of.pop(key, None)
        if node is not None:
            held = self._by_node[node]
            held.pop(key, None)
            if not held:
                del self._by_node[node]

    def needs(self, node: str, reference: Reference) -> bool:
        """Whether some pod on the node refers to that object."""
        pods = self._by_node.get(node, {})
        if reference[0] == "persistentvolumes":
            claim = self._claims.get(reference[2])
            return claim is not None and any(claim in held for held in pods.values())
        return any(reference in held for held in pods.values())


def references(pod: Object) -> Iterator[Reference]:
    """The secrets, config maps, claims and the account that a pod names."""
    namespace, spec = pod["metadata"].get("namespace") or "", pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name") or ""
    for container in (
        *(spec.get("initContainers") or ()),
        *(spec.get("containers") or ()),
        *(spec.get("ephemeralContainers") or ()),
    ):
        for source in container.get("envFrom") or ():
            yield from _sources(namespace, source, "configMapRef", "secretRef")
        for variable in container.get("env") or ():
            yield from _sources(namespace, variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield "persistentvolumeclaims", namespace, claim.get("claimName") or ""
        if "ephemeral" in volume:
            yield "persistentvolumeclaims", namespace, f"{pod['metadata']['name']}-{volume['name']}"
        if secret := volume.get("secret"):
            yield "secrets", namespace, secret.get("secretName") or ""
        if config := volume.get("configMap"):
            yield "configmaps", namespace, config.get("name") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _sources(namespace, source, "configMap", "secret")


def _sources(namespace: str, source: Object, config_map: str, secret: str) -> Iterator[Reference]:
    if found := source.get(config_map):
        yield "configmaps", namespace, found.get("name") or ""
    if found := source.get(secret):
        yield "secrets", namespace, found.get("name") or ""


class NodeAuthorizer:
    """Allows node agents what they need; has no opinion on anyone else."""

    def __init__(self, graph: PodGraph) -> None:
        self._graph = graph
        self._rules = rules(ROLES["system:node"])

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        node = attributes.user.node_name
        if node is None:
            return Decision.NO_OPINION, ""
        refusal = self._refusal(node, attributes) if attributes.is_resource else None
        if refusal is not None:
            return Decision.NO_OPINION, refusal
        if any(allows(rule, attributes) for rule in self._rules):
            return Decision.ALLOW, ""
        return Decision.NO_OPINION, ""

    def _refusal(self, node: str, asked: Attributes) -> str | None:
        """Why a request that the rules allow is refused; None when nothing is to be said against it."""
        match asked.group, asked.resource:
            case "", "secrets" | "configmaps":
                if asked.verb not in _READ or asked.subresource or not asked.name:
                    return f"no relationship found between node '{node}' and this object"
                return self._unless_needed(node, asked.resource, asked)
            case "", "persistentvolumeclaims" | "persistentvolumes":
                return self._unless_needed(node, asked.resource, asked)
            case "", "serviceaccounts":
                if asked.verb != "create" or asked.subresource != "token":
                    return "can only create tokens for individual service accounts"
                return self._unless_needed(node, "serviceaccounts", asked)
            case "coordination.k8s.io", "leases":
                if asked.namespace != "kube-node-lease":
                    return 'can only access leases in the "kube-node-lease" system namespace'
                if asked.verb != "create" and asked.name != node:
                    return "can only access node lease with the same name as the requesting node"
            case "storage.k8s.io", "csinodes":
                if asked.verb != "create" and asked.name != node:
                    return "can only access CSINode with the same name as the requesting node"
        return None

    def _unless_needed(self, node: str, plural: str, asked: Attributes) -> str | None:
        if self._graph.needs(node, (plural, asked.namespace, asked.name)):
            return None
        return f"no relationship found between node '{node}' and this object"
