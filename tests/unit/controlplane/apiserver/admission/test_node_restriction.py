"""NodeRestriction: a node agent and what is its own."""

import pytest

from apimachinery.api.catalogue import (
    CONFIGMAPS,
    CSINODES,
    LEASES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PODS,
    SERVICEACCOUNTS,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.node_restriction import NodeRestriction
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import VERBS, allow, pod, put

OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": True}
MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [OWNER]}


@pytest.fixture
async def plugin(storage):
    await put(storage, NODES, {"metadata": {"name": "n1", "uid": "u1"}})
    for name, node in (("mine", "n1"), ("other", "n2")):
        await put(storage, PODS, pod(name, metadata={"uid": f"uid-{name}"}, nodeName=node))
    return NodeRestriction(ObjectStore(PODS, storage), ObjectStore(NODES, storage))


def asked(resource, operation, new=None, old=None, *, subresource="", name="", namespace="a", kind=None, user="n1"):
    where = namespace if resource.namespaced else ""
    who = User(f"system:node:{user}" if user else "impostor", groups=("system:nodes",))
    name = name or ((old or {}).get("metadata") or {}).get("name", "")
    return Review(
        Call(who, resource, VERBS[operation], where, name, allow, subresource), operation, new, old, kind=kind
    )


def mirror(**fields):
    metadata = {**MIRROR, **fields.pop("metadata", {})}
    return pod("m", metadata=metadata, **{"nodeName": "n1", **fields})


def node(name="n1", labels=None, **spec):
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


def token(**reference):
    return asked(
        SERVICEACCOUNTS, "CREATE", {"spec": {"boundObjectRef": reference}}, subresource="token", name="default",
        kind=("authentication.k8s.io", "v1", "TokenRequest"),
    )  # fmt: skip


def eviction(name):
    return asked(PODS, "CREATE", {}, subresource="eviction", name=name, kind=("policy", "v1", "Eviction"))


def claim(**status):
    return {"metadata": {"name": "c"}, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("review", "sentence"),
    [
        (asked(PODS, "DELETE", None, pod(), user=""), 'could not determine node from user "impostor"'),
        (
            asked(PODS, "CREATE", pod()),
            'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only',
        ),
        (
            asked(PODS, "CREATE", mirror(nodeName="n2")),
            'node "n1" can only create pods with spec.nodeName set to itself',
        ),
        (
            asked(PODS, "CREATE", mirror(metadata={"ownerReferences": []})),
            "can only create pods with an owner reference set to itself",
        ),
        (
            asked(PODS, "CREATE", mirror(metadata={"ownerReferences": [OWNER, OWNER]})),
            "with a single owner reference set to itself",
        ),
        (
            asked(PODS, "CREATE", mirror(metadata={"ownerReferences": [{**OWNER, "controller": False}]})),
            "with a controller owner reference set to itself",
        ),
        (
            asked(PODS, "CREATE", mirror(metadata={"ownerReferences": [{**OWNER, "blockOwnerDeletion": True}]})),
            "must not set blockOwnerDeletion",
        ),
        (
            asked(PODS, "CREATE", mirror(metadata={"ownerReferences": [{**OWNER, "uid": "old"}]})),
            "node n1 UID mismatch: expected old got u1",
        ),
        (asked(PODS, "CREATE", mirror(serviceAccountName="x")), "can not create pods that reference a service account"),
        (asked(PODS, "CREATE", mirror(imagePullSecrets=[{"name": "s"}])), "can not create pods that reference secrets"),
        (
            asked(PODS, "CREATE", mirror(containers=[{"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}]}])),
            "can not create pods that reference configmaps",
        ),
        (
            asked(PODS, "CREATE", mirror(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}])),
            "can not create pods that reference persistentvolumeclaims",
        ),
        (asked(PODS, "UPDATE", pod(), pod()), 'unexpected operation "UPDATE", node "n1" can only create and delete'),
        (asked(PODS, "DELETE", None, pod(nodeName="n2")), "can only delete pods with spec.nodeName set to itself"),
        (
            asked(PODS, "UPDATE", pod(nodeName="n2"), pod(nodeName="n2"), subresource="status"),
            "can only update pod status for pods with spec.nodeName set to itself",
        ),
        (
            asked(
                PODS,
                "UPDATE",
                pod(metadata={"labels": {"a": "b"}}, nodeName="n1"),
                pod(nodeName="n1"),
                subresource="status",
            ),
            "cannot update labels through pod status",
        ),
        (asked(PODS, "CREATE", {}, subresource="binding", name="mine"), 'unexpected pod subresource "binding"'),
        (eviction("other"), "node n1 can only evict pods with spec.nodeName set to itself"),
        (asked(NODES, "UPDATE", node("n2"), node("n2")), 'node "n1" is not allowed to modify node "n2"'),
        (
            asked(
                NODES, "CREATE", node(labels={"node-restriction.kubernetes.io/x": "1", "x.k8s.io/y": "1", "mine": "1"})
            ),
            "is not allowed to set the following labels: node-restriction.kubernetes.io/x, x.k8s.io/y",
        ),
        (
            asked(NODES, "UPDATE", node(labels={"node-role.kubernetes.io/master": ""}), node()),
            "is not allowed to modify labels: node-role.kubernetes.io/master",
        ),
        (asked(NODES, "UPDATE", node(taints=[]), node(taints=[{"key": "x"}])), "is not allowed to modify taints"),
        (asked(LEASES, "UPDATE", node(), node()), 'can only access leases in the "kube-node-lease" system namespace'),
        (
            asked(LEASES, "CREATE", node("n2"), namespace="kube-node-lease"),
            "can only access node lease with the same name as the requesting node",
        ),
        (asked(CSINODES, "CREATE", node("n2")), "can only access CSINode with the same name as the requesting node"),
        (asked(PERSISTENTVOLUMECLAIMS, "UPDATE", claim(), claim()), "may only update PVC status"),
        (
            asked(PERSISTENTVOLUMECLAIMS, "UPDATE", claim(phase="Lost"), claim(phase="Bound"), subresource="status"),
            "not allowed to update fields other than status.capacity and status.conditions: status.phase",
        ),
        (token(), "node requested token not bound to a pod"),
        (token(apiVersion="v1", kind="Secret", name="s", uid="1"), "node requested token not bound to a pod"),
        (token(apiVersion="v1", kind="Pod", name="mine"), "node requested token with a pod binding without a uid"),
        (token(apiVersion="v1", kind="Pod", name="mine", uid="old"), "does not match the UID in record"),
        (
            token(apiVersion="v1", kind="Pod", name="other", uid="uid-other"),
            "bound to a pod scheduled on a different node",
        ),
    ],
)
async def test_what_is_not_a_nodes_own(plugin, review, sentence):
    with pytest.raises(ApiError) as refused:
        await plugin.validate(review)
    assert refused.value.code == 403 and sentence in refused.value.message


@pytest.mark.parametrize(
    "review",
    [
        asked(PODS, "CREATE", mirror(volumes=[{"name": "v", "hostPath": {"path": "/"}}])),
        asked(PODS, "DELETE", None, pod(nodeName="n1")),
        asked(PODS, "UPDATE", pod(nodeName="n1"), pod(nodeName="n1"), subresource="status"),
        eviction("mine"),
        asked(NODES, "CREATE", node(labels={"kubernetes.io/hostname": "n1", "x.node.kubernetes.io/y": "1", "a": "b"})),
        asked(NODES, "UPDATE", node(labels={"mine": "1"}), node()),
        asked(LEASES, "UPDATE", node(), node(), namespace="kube-node-lease"),
        asked(CSINODES, "CREATE", node()),
        asked(
            PERSISTENTVOLUMECLAIMS, "UPDATE", claim(capacity={"storage": "1"}), claim(), subresource="status"
        ),
        token(apiVersion="v1", kind="Pod", name="mine", uid="uid-mine"),
        asked(CONFIGMAPS, "DELETE", None, node()),
    ],
)  # fmt: skip
async def test_what_is(plugin, review):
    await plugin.validate(review)


async def test_nobody_else_is_restricted(plugin):
    review = asked(NODES, "UPDATE", node("n2"), node("n2"))
    review.call.user = User("bob", groups=("system:masters",))
    await plugin.validate(review)
