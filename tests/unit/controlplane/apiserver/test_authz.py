"""RBAC and Node authorization."""

import pytest

from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision, denial
from controlplane.apiserver.authz.node import NodeAuthorizer, PodGraph
from controlplane.apiserver.authz.policy import cluster_role_bindings, cluster_roles
from controlplane.apiserver.authz.rbac import PolicyIndex, RBACAuthorizer
from controlplane.apiserver.authz.rules import allows, uncovered

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


@pytest.mark.parametrize(
    ("user", "attributes", "allowed"),
    [
        (User("x", groups=("system:unauthenticated",)), {"path": "/healthz"}, True),
        (User("x", groups=("system:unauthenticated",)), {"path": "/api"}, False),
        (User("x", groups=("system:authenticated",)), {"path": "/api"}, True),
        (User("x", groups=("system:authenticated",)), {"path": "/metrics"}, False),
        (User("system:kube-scheduler"), {"verb": "create", "resource": "pods", "subresource": "binding"}, True),
        (User("system:kube-scheduler"), {"verb": "create", "resource": "pods"}, False),
        (User("system:kube-controller-manager"), {"verb": "create", "resource": "pods"}, True),
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
