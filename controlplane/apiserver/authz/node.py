"""The Node authorizer: a node agent reads the secrets of the pods that run on its node, and no others
(plugin/pkg/auth/authorizer/node, with AuthorizeNodeWithSelectors)."""

from __future__ import annotations

from apimachinery.meta import fields
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.authz.node_graph import PodGraph
from controlplane.apiserver.authz.policy import ROLES, rules
from controlplane.apiserver.authz.rules import allows

_READ = ("get", "list", "watch")
_OWN = ("get", "create", "update", "patch", "delete")
_LEASES = "kube-node-lease"

Answer = tuple[Decision, str]


class NodeAuthorizer:
    """Allows node agents what they need; has no opinion on anyone else."""

    def __init__(self, graph: PodGraph) -> None:
        self._graph = graph
        self._rules = rules(ROLES["system:node"])

    async def authorize(self, attributes: Attributes) -> Answer:
        node = attributes.user.node_name
        if node is None:
            return Decision.NO_OPINION, ""
        if not node:
            return Decision.NO_OPINION, f'unknown node for user "{attributes.user.name}"'
        refusal = self._refusal(node, attributes) if attributes.is_resource else None
        if refusal is None and any(allows(rule, attributes) for rule in self._rules):
            return Decision.ALLOW, ""
        return Decision.NO_OPINION, refusal or ""

    def _refusal(self, node: str, asked: Attributes) -> str | None:
        """Why a request that the rules of `system:node` may allow is refused; None when nothing is against it."""
        match asked.group, asked.resource:
            case "", "secrets" | "configmaps":
                return self._read(node, asked)
            case "", "persistentvolumeclaims" if asked.subresource == "status":
                if asked.verb not in ("update", "patch"):
                    return "can only get/update/patch this type"
                return self._related(node, asked)
            case ("", "persistentvolumeclaims" | "persistentvolumes") | ("storage.k8s.io", "volumeattachments"):
                return self._get(node, asked)
            case "", "serviceaccounts":
                if asked.verb != "create" or not asked.name:
                    return "can only create tokens for individual service accounts"
                if asked.subresource != "token":
                    return "can only create token subresource of serviceaccount"
                return self._related(node, asked)
            case "coordination.k8s.io", "leases":
                return _lease(node, asked)
            case "storage.k8s.io", "csinodes":
                return _csi_node(node, asked)
            case "", "nodes":
                return _node(node, asked)
            case "", "pods":
                return self._pod(node, asked)
        return None

    def _related(self, node: str, asked: Attributes) -> str | None:
        if not asked.name:
            return "No Object name found"
        if self._graph.needs(node, (asked.resource, asked.namespace, asked.name)):
            return None
        return f"no relationship found between node '{node}' and this object"

    def _get(self, node: str, asked: Attributes) -> str | None:
        if asked.verb != "get":
            return "can only get individual resources of this type"
        return "cannot get subresource" if asked.subresource else self._related(node, asked)

    def _read(self, node: str, asked: Attributes) -> str | None:
        if asked.verb not in _READ:
            return "can only read resources of this type"
        if asked.subresource:
            return "cannot read subresource"
        if not asked.namespace:
            return "can only read namespaced object of this type"
        return self._related(node, asked)

    def _pod(self, node: str, asked: Attributes) -> str | None:
        if asked.subresource:
            return None
        if asked.verb == "get":
            return self._get(node, asked)
        if asked.verb in ("list", "watch") and _required(asked, "spec.nodeName") != node:
            if asked.name:
                return self._related(node, asked)
            return "can only list/watch pods with spec.nodeName field selector"
        return None


def _lease(node: str, asked: Attributes) -> str | None:
    if asked.verb not in _OWN:
        return "can only get, create, update, patch, or delete a node lease"
    if asked.namespace != _LEASES:
        return f'can only access leases in the "{_LEASES}" system namespace'
    # A lease that is created has no name here; the admission plug-in NodeRestriction looks at it.
    if asked.verb != "create" and asked.name != node:
        return "can only access node lease with the same name as the requesting node"
    return None


def _csi_node(node: str, asked: Attributes) -> str | None:
    if asked.verb not in _OWN:
        return "can only get, create, update, patch, or delete a CSINode"
    if asked.subresource:
        return "cannot authorize CSINode subresources"
    if asked.verb != "create" and asked.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return None


def _node(node: str, asked: Attributes) -> str | None:
    if asked.subresource or asked.verb not in _READ or asked.name == node:
        return None
    if not asked.name:
        return f"node '{node}' cannot read all nodes, only its own Node object"
    return f"node '{node}' cannot read '{asked.name}', only its own Node object"


def _required(asked: Attributes, field: str) -> str | None:
    try:
        return fields.parse_selector(asked.field_selector).requires(field)
    except ValueError:
        return None
