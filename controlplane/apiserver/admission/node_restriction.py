"""NodeRestriction: a node agent changes its own node and the pods bound to it, and nothing else of the kind."""

from __future__ import annotations

from typing import Any

from apimachinery.meta import status
from controlplane.apiserver.admission.chain import Plugin, Review

Object = dict[str, Any]

_MIRROR = "kubernetes.io/config.mirror"
_PROTECTED_LABEL = "node-restriction.kubernetes.io"


class NodeRestriction(Plugin):
    """plugin/pkg/admission/noderestriction."""

    name = "NodeRestriction"
    about = frozenset({("", "pods"), ("", "nodes"), ("coordination.k8s.io", "leases"), ("storage.k8s.io", "csinodes")})

    async def validate(self, review: Review) -> None:
        user = review.call.user
        if review.kind is not None:
            return  # an Eviction or a Binding: what they do to the pod is asked about by itself
        if "system:nodes" not in user.groups:
            return
        node = user.node_name
        if not node:
            raise self._forbidden(review, f'could not determine node from user "{user.name}"')
        if review.is_for("", "pods", "", "status", "eviction"):
            self._pod(review, node)
        elif review.is_for("", "nodes", "", "status"):
            self._node(review, node)
        elif review.is_for("coordination.k8s.io", "leases"):
            self._named(review, node, "kube-node-lease", "leases")
        elif review.is_for("storage.k8s.io", "csinodes"):
            self._named(review, node, "", "csinodes")

    def _pod(self, review: Review, node: str) -> None:
        obj = review.new if review.operation == "CREATE" else review.old
        assert obj is not None
        spec, meta = obj.get("spec") or {}, obj["metadata"]
        if review.operation == "CREATE":
            if _MIRROR not in (meta.get("annotations") or {}):
                raise self._forbidden(
                    review, f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods'
                )
            owners = meta.get("ownerReferences") or []
            if any(owner.get("kind") != "Node" or owner.get("name") != node for owner in owners):
                raise self._forbidden(
                    review, f'node "{node}" can only create pods with an owner reference set to itself'
                )
            if spec.get("serviceAccountName"):
                raise self._forbidden(review, f'node "{node}" can not create pods that reference a service account')
        if spec.get("nodeName") != node:
            word = {"CREATE": "create", "DELETE": "delete"}.get(review.operation, "update status for")
            raise self._forbidden(review, f'node "{node}" can only {word} pods with spec.nodeName set to itself')

    def _node(self, review: Review, node: str) -> None:
        obj = review.new or review.old
        assert obj is not None
        name = obj["metadata"]["name"]
        if name != node:
            raise self._forbidden(review, f'node "{node}" is not allowed to modify node "{name}"')
        if review.operation == "DELETE":
            raise self._forbidden(review, f'node "{node}" is not allowed to delete node "{name}"')
        new = (review.new or {})["metadata"].get("labels") or {}
        old = ((review.old or {}).get("metadata") or {}).get("labels") or {}
        changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
        guarded = sorted(key for key in changed if _is_protected(key))
        if guarded:
            word = "modify" if review.operation == "UPDATE" else "set"
            raise self._forbidden(review, f"is not allowed to {word} the following labels: {', '.join(guarded)}")
        if review.operation == "UPDATE":
            before, after = ((each or {}).get("spec") or {} for each in (review.old, review.new))
            if before.get("taints") != after.get("taints"):
                raise self._forbidden(review, f'node "{node}" is not allowed to modify taints')

    def _named(self, review: Review, node: str, namespace: str, plural: str) -> None:
        obj = review.new or review.old
        assert obj is not None
        if namespace and review.call.namespace != namespace:
            raise self._forbidden(review, f'can only access {plural} in the "{namespace}" system namespace')
        if obj["metadata"].get("name") != node:
            raise self._forbidden(review, f"can only access {plural} with the same name as the requesting node")

    def _forbidden(self, review: Review, detail: str) -> status.ApiError:
        obj = review.new or review.old or {}
        return status.forbidden(review.call.resource, (obj.get("metadata") or {}).get("name", ""), detail)


def _is_protected(label: str) -> bool:
    domain = label.partition("/")[0] if "/" in label else ""
    return domain == _PROTECTED_LABEL or domain.endswith("." + _PROTECTED_LABEL)
