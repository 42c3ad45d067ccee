"""RBAC and Node authorization."""

import pytest

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision, denial
from controlplane.apiserver.authz.node import NodeAuthorizer
from controlplane.apiserver.authz.node_graph import PodGraph, may_be_on_a_node
from controlplane.apiserver.authz.policy import cluster_role_bindings, cluster_roles
from controlplane.apiserver.authz.policy_namespaces import namespace_roles
from controlplane.apiserver.authz.rbac import PolicyIndex, RBACAuthorizer
from controlplane.apiserver.authz.rules import allows, compact, describe, uncovered
from controlplane.apiserver.authz.union import AlwaysAllow, AlwaysDeny, Named, Union
from controlplane.apiserver.bootstrap.roles import plan_update
from controlplane.apiserver.registry.store import encode

BOB = User("bob", groups=("devs", "system:authenticated"))


def ask(verb="get", resource="pods", group="", **more):
    return Attributes(more.pop("user", BOB), verb, group, "v1", resource, **more)


@pytest.mark.parametrize(
    ("rule", "attributes", "allowed"),
    [
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, ask(), True),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, ask("delete"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, ask("list"), False),
        ({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["pods"]}, ask(), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, ask(subresource="log"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]}, ask(subresource="log"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, ask(subresource="log"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}, ask(name="a"), True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}, ask(name="b"), False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}, ask(), False),
        ({"verbs": ["get"], "nonResourceURLs": ["/api/*"]}, Attributes(BOB, "get", path="/api/v1"), True),
        ({"verbs": ["get"], "nonResourceURLs": ["/api"]}, Attributes(BOB, "get", path="/api/v1"), False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, Attributes(BOB, "get", path="/api"), False),
    ],
)
def test_rules(rule, attributes, allowed):
    assert allows(rule, attributes) is allowed


def test_what_one_set_of_rules_lacks():
    owned = [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/status"]}]
    wanted = [{"verbs": ["get", "watch"], "apiGroups": [""], "resources": ["pods", "nodes/status"]}]
    missing = uncovered(owned, wanted)
    assert missing == [
        {"verbs": ["watch"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["watch"], "apiGroups": [""], "resources": ["nodes/status"]},
    ]
    named = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]
    assert uncovered(owned, named) == []
    assert uncovered(named, [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])


def role(name, *rules, namespace=None):
    kind = "Role" if namespace else "ClusterRole"
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": meta, "rules": list(rules)}


def binding(name, to, *subjects, namespace=None, kind="ClusterRole"):
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    reference = {"kind": kind, "name": to}
    own = "RoleBinding" if namespace else "ClusterRoleBinding"
    return {"kind": own, "metadata": meta, "roleRef": reference, "subjects": list(subjects)}


READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


async def decide(policy, attributes):
    return (await RBACAuthorizer(policy).authorize(attributes))[0]


async def test_bindings_hold_where_they_are():
    policy = PolicyIndex()
    policy.put(role("reader", READ))
    policy.put(binding("b", "reader", {"kind": "User", "name": "bob"}, namespace="a"))
    assert await decide(policy, ask(namespace="a")) is Decision.ALLOW
    assert await decide(policy, ask(namespace="b")) is Decision.NO_OPINION
    assert await decide(policy, ask()) is Decision.NO_OPINION
    everywhere = binding("c", "reader", {"kind": "Group", "name": "devs"})
    policy.put(everywhere)
    assert await decide(policy, ask(namespace="b")) is Decision.ALLOW
    policy.drop(everywhere)
    assert await decide(policy, ask(namespace="b")) is Decision.NO_OPINION


async def test_roles_that_are_not_there_are_told():
    policy = PolicyIndex()
    bob = {"kind": "User", "name": "bob"}
    policy.put(binding("a", "gone", bob, {"kind": "Group", "name": "devs"}))
    assert await RBACAuthorizer(policy).authorize(ask()) == (
        Decision.NO_OPINION,
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    )
    policy.put(binding("b", "away", bob, namespace="a", kind="Role"))
    assert (await RBACAuthorizer(policy).authorize(ask(namespace="a")))[1] == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "away" not found]'
    )
    assert (await RBACAuthorizer(policy).authorize(ask(user=User("eve"), namespace="a")))[1] == ""
    policy.put(role("away", READ, namespace="a"))
    assert await decide(policy, ask(namespace="a")) is Decision.ALLOW


async def test_why_nobody_had_an_opinion_is_told_a_line_each():
    policy = PolicyIndex()
    policy.put(binding("a", "gone", {"kind": "Group", "name": "system:nodes"}))
    both = [Named("Node", "node", NodeAuthorizer(PodGraph())), Named("RBAC", "rbac", RBACAuthorizer(policy))]
    asked = of_node("get", "secrets", "s", "a")
    assert await Union(both).evaluate(asked) == (
        Decision.NO_OPINION,
        "no relationship found between node 'n1' and this object\n"
        'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    )
    others = [Named("AlwaysDeny", "alwaysdeny", AlwaysDeny()), Named("RBAC", "rbac", AlwaysAllow())]
    assert await Union(others).evaluate(asked) == (Decision.ALLOW, "")


async def test_a_service_account_of_another_namespace():
    policy = PolicyIndex()
    policy.put(role("r", READ, namespace="a"))
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "b"}
    policy.put(binding("b", "r", subject, namespace="a", kind="Role"))
    robot = User("system:serviceaccount:b:robot")
    assert await decide(policy, ask(user=robot, namespace="a")) is Decision.ALLOW
    assert await decide(policy, ask(user=User("system:serviceaccount:a:robot"), namespace="a")) is Decision.NO_OPINION


def default_policy():
    policy = PolicyIndex()
    for obj in (*cluster_roles(), *cluster_role_bindings()):
        policy.put(obj)
    return policy


KUBE_SYSTEM = "system:serviceaccount:kube-system"


@pytest.mark.parametrize(
    ("user", "attributes", "allowed"),
    [
        (User("x", groups=("system:unauthenticated",)), {"path": "/healthz"}, True),
        (User("x", groups=("system:unauthenticated",)), {"path": "/api"}, False),
        (User("x", groups=("system:authenticated",)), {"path": "/api"}, True),
        (User("x", groups=("system:authenticated",)), {"path": "/metrics"}, False),
        (User("system:kube-scheduler"), {"verb": "create", "resource": "pods", "subresource": "binding"}, True),
        (User("system:kube-scheduler"), {"verb": "create", "resource": "pods"}, False),
        (User("system:kube-controller-manager"), {"verb": "create", "resource": "pods"}, False),
        (User(f"{KUBE_SYSTEM}:replicaset-controller"), {"verb": "create", "resource": "pods"}, True),
        (User(f"{KUBE_SYSTEM}:deployment-controller"), {"verb": "create", "resource": "pods"}, False),
        (User("system:kube-proxy"), {"verb": "watch", "resource": "services"}, True),
        (User("admin", groups=("kubeadm:cluster-admins",)), {"verb": "delete", "resource": "nodes"}, True),
        (User("system:node:n", groups=("system:nodes",)), {"verb": "get", "resource": "secrets"}, False),
    ],
)
async def test_the_default_policy(user, attributes, allowed):
    asked = Attributes(user, attributes.pop("verb", "get"), **attributes)
    assert (await decide(default_policy(), asked) is Decision.ALLOW) is allowed


def test_view_shows_no_secrets_and_edit_grants_no_roles():
    by_name = {obj["metadata"]["name"]: obj["rules"] for obj in cluster_roles()}
    secrets, roles = ask("get", "secrets"), ask("create", "roles", "rbac.authorization.k8s.io")
    assert not any(allows(rule, secrets) for rule in by_name["view"])
    assert any(allows(rule, secrets) for rule in by_name["edit"])
    assert not any(allows(rule, roles) for rule in by_name["edit"])
    assert any(allows(rule, roles) for rule in by_name["admin"])


def pod(name="p", node="n1", **spec):
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "a"}, "spec": {"nodeName": node, **spec}}


NODE = User("system:node:n1", groups=("system:nodes",))


def of_node(verb, resource, name="", namespace="", **more):
    return Attributes(NODE, verb, more.pop("group", ""), "v1", resource, namespace=namespace, name=name, **more)


VOLUME = {
    "kind": "PersistentVolume",
    "metadata": {"name": "pv"},
    "spec": {
        "claimRef": {"namespace": "a", "name": "data"},
        "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "csi"}},
    },
}


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (of_node("get", "persistentvolumeclaims", "data", "a"), None),
        (of_node("get", "persistentvolumes", "pv"), None),
        (of_node("get", "secrets", "stage", "csi"), None),
        (of_node("patch", "persistentvolumeclaims", "data", "a", subresource="status"), None),
        (of_node("list", "persistentvolumes"), "can only get individual resources of this type"),
        (of_node("delete", "secrets", "stage", "csi"), "can only read resources of this type"),
        (of_node("get", "volumeattachments", "mine", group="storage.k8s.io"), None),
        (of_node("get", "volumeattachments", "other", group="storage.k8s.io"), "no relationship found"),
        (of_node("get", "nodes", "n1"), None),
        (of_node("watch", "nodes", "n1"), None),
        (of_node("list", "nodes"), "node 'n1' cannot read all nodes, only its own Node object"),
        (of_node("get", "nodes", "n2"), "node 'n1' cannot read 'n2', only its own Node object"),
        (of_node("get", "pods", "p", "a"), None),
        (of_node("get", "pods", "elsewhere", "a"), "no relationship found between node 'n1' and this object"),
        (of_node("list", "pods"), "can only list/watch pods with spec.nodeName field selector"),
        (of_node("list", "pods", field_selector="spec.nodeName=n1"), None),
        (of_node("watch", "pods", field_selector="spec.nodeName=n2"), "can only list/watch pods with spec.nodeName"),
        (of_node("watch", "pods", field_selector="spec.nodeName!=n1"), "can only list/watch pods with spec.nodeName"),
        (of_node("create", "serviceaccounts", subresource="token", namespace="a"), "can only create tokens for"),
        (of_node("list", "leases", namespace="kube-node-lease", group="coordination.k8s.io"), "can only get, create"),
        (of_node("get", "csinodes", "n2", group="storage.k8s.io"), "can only access CSINode with the same name"),
    ],
)
async def test_what_a_node_may_read(asked, refusal):
    graph = PodGraph()
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    graph.put(pod(volumes=[claim]))
    graph.put(pod("elsewhere", "n2"))
    graph.put(VOLUME)
    for name, node in (("mine", "n1"), ("other", "n2")):
        graph.put({"kind": "VolumeAttachment", "metadata": {"name": name}, "spec": {"nodeName": node}})
    decision, reason = await NodeAuthorizer(graph).authorize(asked)
    if refusal is None:
        assert decision is Decision.ALLOW, reason
    else:
        assert decision is Decision.NO_OPINION and refusal in reason


def test_only_a_pod_that_was_given_a_node_is_read_for_the_graph():
    assert may_be_on_a_node(encode({"apiVersion": "v1", **pod()}))
    waiting = {"apiVersion": "v1", **pod()}
    del waiting["spec"]["nodeName"]
    waiting["metadata"]["managedFields"] = [{"fieldsV1": {"f:spec": {"f:nodeName": {}, "f:nodeSelector": {}}}}]
    assert not may_be_on_a_node(encode(waiting))


async def test_a_node_reads_the_secrets_of_volumes_that_a_pod_spells_out():
    graph = PodGraph()
    csi = {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "publish"}}}
    others = [
        {"name": "r", "rbd": {"secretRef": {"name": "ring"}}},
        {"name": "f", "azureFile": {"secretName": "share"}},
    ]
    graph.put(pod(volumes=[csi, *others, {"name": "i", "iscsi": {"secretRef": None}}]))
    for name in ("publish", "ring", "share"):
        assert (await NodeAuthorizer(graph).authorize(of_node("get", "secrets", name, "a")))[0] is Decision.ALLOW, name
        assert not graph.needs("n2", ("secrets", "a", name))


async def test_a_volume_that_is_gone_and_a_mirror_pod_give_nothing():
    graph = PodGraph()
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    graph.put(pod(volumes=[claim]))
    graph.put(VOLUME)
    graph.drop(VOLUME)
    assert not graph.needs("n1", ("secrets", "csi", "stage"))
    mirror = pod("mirror", volumes=[{"name": "s", "secret": {"secretName": "s"}}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    graph.put(mirror)
    assert graph.needs("n1", ("pods", "a", "mirror")) and not graph.needs("n1", ("secrets", "a", "s"))


async def test_a_node_reads_what_its_pods_need():
    graph = PodGraph()
    authorizer = NodeAuthorizer(graph)
    node = User("system:node:n1", groups=("system:nodes",))

    async def may(verb, resource, name="", namespace="a", group="", subresource="", user=node):
        asked = Attributes(user, verb, group, "v1", resource, subresource, namespace, name)
        return (await authorizer.authorize(asked))[0] is Decision.ALLOW

    secret = {"name": "v", "secret": {"secretName": "s"}}
    env = {"name": "c", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]}
    graph.put(pod(volumes=[secret], containers=[env], serviceAccountName="robot"))
    assert await may("get", "secrets", "s")
    assert await may("watch", "configmaps", "cm")
    assert await may("create", "serviceaccounts", "robot", subresource="token")
    assert not await may("get", "secrets", "other")
    assert not await may("list", "secrets")
    assert not await may("get", "secrets", "s", user=User("system:node:n2", groups=("system:nodes",)))
    assert not await may("update", "secrets", "s")
    assert await may("update", "leases", "n1", "kube-node-lease", "coordination.k8s.io")
    assert not await may("update", "leases", "n2", "kube-node-lease", "coordination.k8s.io")
    graph.drop(pod())
    assert not await may("get", "secrets", "s")


def test_a_refusal_reads_as_upstreams():
    sentence = denial(ask("create", "deployments", "apps", namespace="a", subresource="scale"), "because")
    assert sentence == (
        'User "bob" cannot create resource "deployments/scale" in API group "apps" in the namespace "a": because'
    )
    assert denial(ask("list", "nodes"), "").endswith('in API group "" at the cluster scope')


def test_missing_rules_are_told_compactly():
    rules = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"]},
    ]
    assert [describe(rule) for rule in compact(rules)] == [
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}',
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}',
    ]
    assert rules[0]["verbs"] == ["get"]


def test_reconciliation_adds_what_is_missing_and_leaves_alone_who_asks_for_it():
    want = next(obj for obj in cluster_roles() if obj["metadata"]["name"] == "system:kube-dns")
    have = {**want, "rules": [{**want["rules"][0], "resources": ["services"]}, READ]}
    rules = plan_update(want, have)["rules"]
    assert rules[:2] == have["rules"] and uncovered(rules, want["rules"]) == []
    meta = {**have["metadata"], "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}
    assert plan_update(want, {**have, "metadata": meta}) is None
    assert plan_update(want, want) is None
    assert plan_update(want, {**want, "aggregationRule": {"clusterRoleSelectors": [{}]}}) == want
    view = next(obj for obj in cluster_roles() if obj["metadata"]["name"] == "view")
    changed = plan_update(view, {**view, "rules": [], "aggregationRule": {"clusterRoleSelectors": [{}]}})
    assert changed["rules"] == []
    assert changed["aggregationRule"]["clusterRoleSelectors"] == [{}, *view["aggregationRule"]["clusterRoleSelectors"]]


def test_a_denial_is_no_html():
    asked = Attributes(User("a&b"), "get", path="/<script>")
    assert denial(asked, "<why>") == 'User "a&amp;b" cannot get path "/&lt;script&gt;": <why>'


def test_the_roles_of_who_leads():
    roles = {each["metadata"]["name"]: each["rules"] for each in namespace_roles()}
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    leading = {"apiGroups": ["coordination.k8s.io"], "verbs": ["create", "get", "list", "update", "watch"]}
    assert roles["system::leader-locking-kube-scheduler"] == [
        {"verbs": ["watch"], **maps},
        {"verbs": ["get", "update"], **maps, "resourceNames": ["kube-scheduler"]},
        {**leading, "resources": ["leases"]},
        {**leading, "resources": ["leasecandidates"]},
    ]
