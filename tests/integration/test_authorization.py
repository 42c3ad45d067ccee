"""Who may do what: RBAC escalation, default policy, aggregation, and `kubectl auth`."""

from __future__ import annotations

import pytest

from tests.integration.process import ControlPlane, wait_until

BOB = ("--as=bob", "--as-group=devs")

GRANT = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: maker}
rules:
- {apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings], verbs: ["*"]}
- {apiGroups: [""], resources: [pods], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: maker}
roleRef: {name: maker, apiGroup: rbac.authorization.k8s.io, kind: Role}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
"""


@pytest.fixture
def maker(control_plane: ControlPlane, namespace: str) -> str:
    """A namespace in which bob makes roles but holds little."""
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=GRANT)
    argv = ("auth", "can-i", "create", "roles", "-n", namespace, *BOB)
    wait_until("bob may", lambda: control_plane.kubectl(*argv, check=False).stdout == "yes\n")
    return namespace


@pytest.mark.parametrize("user", [BOB, ("--as=system:anonymous",)], ids=["bob", "anonymous"])
def test_glass_boxes_are_for_those_who_may(control_plane: ControlPlane, user: tuple[str, ...]) -> None:
    """What a component rehearses and remembers shows every namespace, and a pause stops the cluster."""
    box = "/debug/components/kube-controller-manager/loops"
    for verb, path in (("get", "/debug/components"), ("get", box), ("create", f"{box}/deployment/pause")):
        argv = (verb, "--raw", path, *(("-f", "/dev/null") if verb == "create" else ()), *user)
        word = {"get": "get", "create": "post"}[verb]
        assert f'cannot {word} path "{path}"' in control_plane.kubectl(*argv, check=False).stderr


def test_nobody_grants_more_than_they_hold(control_plane: ControlPlane, maker: str) -> None:
    def create(name: str, *rule: str) -> str:
        argv = ("create", "role", name, "-n", maker, *rule, "--resource=pods", *BOB)
        done = control_plane.kubectl(*argv, check=False)
        return done.stdout + done.stderr

    assert create("small", "--verb=get") == "role.rbac.authorization.k8s.io/small created\n"
    # The verbs of "roles" that bob holds are all (*), `escalate` among them: take that away first.
    exact = GRANT.replace('verbs: ["*"]', "verbs: [create, get, patch, update]")
    control_plane.kubectl("apply", "-n", maker, "-f", "-", stdin=exact)
    wait_until("bob holds less", lambda: "is forbidden" in create("big", "--verb=delete,list"))
    assert create("big", "--verb=delete,list") == (
        'Error from server (Forbidden): roles.rbac.authorization.k8s.io "big" is forbidden: user "bob" '
        '(groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}\n'
    )
    binding = ("create", "rolebinding", "up", "-n", maker, "--clusterrole=system:kube-dns", "--user=bob", *BOB)
    refused = control_plane.kubectl(*binding, check=False).stderr
    assert 'rolebindings.rbac.authorization.k8s.io "up" is forbidden: user "bob"' in refused
    assert '{APIGroups:[""], Resources:["endpoints"], Verbs:["list" "watch"]}\n' in refused
    missing = ("create", "rolebinding", "up", "-n", maker, "--role=nothing", "--user=bob", *BOB)
    assert 'roles.rbac.authorization.k8s.io "nothing" not found' in control_plane.kubectl(*missing, check=False).stderr

    bind = "{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}"
    allowed = exact.replace('- {apiGroups: [""]', f'- {bind}\n- {{apiGroups: [""]')
    control_plane.kubectl("apply", "-n", maker, "-f", "-", stdin=allowed)
    wait_until("bob may bind", lambda: control_plane.kubectl(*binding, check=False).returncode == 0)


def test_a_bound_role_that_is_not_there_is_told(control_plane: ControlPlane, maker: str) -> None:
    def said(*argv: str) -> str:
        done = control_plane.kubectl(*argv, *BOB, check=False)
        return done.stdout + done.stderr

    control_plane.kubectl("create", "rolebinding", "gone", "--role=gone", "--user=bob", "-n", maker)
    refused = (
        'Error from server (Forbidden): secrets is forbidden: User "bob" cannot list resource "secrets" in API group '
        f'"" in the namespace "{maker}": RBAC: role.rbac.authorization.k8s.io "gone" not found\n'
    )
    wait_until("the reason", lambda: said("get", "secrets", "-n", maker) == refused)
    exact = GRANT.replace('verbs: ["*"]', "verbs: [create, get, patch, update]")
    control_plane.kubectl("apply", "-n", maker, "-f", "-", stdin=exact)
    more = ("create", "role", "more", "--verb=delete", "--resource=pods", "-n", maker)
    wait_until("bob holds less", lambda: "is forbidden" in said(*more, "--dry-run=server"))
    assert said(*more).endswith('; resolution errors: [roles.rbac.authorization.k8s.io "gone" not found]\n')
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": maker}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = control_plane.request("POST", path, review, headers={"Impersonate-User": "bob"}).json["status"]
    assert answer["evaluationError"] == 'role.rbac.authorization.k8s.io "gone" not found'
    assert answer["incomplete"] is False and answer["resourceRules"]


def test_aggregating_takes_a_cluster_administrator(control_plane: ControlPlane, namespace: str) -> None:
    argv = ("create", "clusterrole", f"maker-{namespace}", "--verb=create,escalate")
    control_plane.kubectl(*argv, "--resource=clusterroles.rbac.authorization.k8s.io")
    named = (f"maker-{namespace}", f"--clusterrole=maker-{namespace}", "--user=agg")
    control_plane.kubectl("create", "clusterrolebinding", *named)
    wait_until(
        "agg may",
        lambda: (
            control_plane.kubectl("auth", "can-i", "escalate", "clusterroles", "--as=agg", check=False).returncode == 0
        ),
    )
    rule = ("create", "clusterrole", f"agg-{namespace}", "--aggregation-rule=to=me")
    control_plane.kubectl(*rule, "--as=agg")  # `escalate` is enough for anything
    control_plane.kubectl("delete", "clusterrole,clusterrolebinding", f"maker-{namespace}")
    control_plane.kubectl("delete", "clusterrole", f"agg-{namespace}")


def test_labels_add_to_the_aggregated_roles(control_plane: ControlPlane, namespace: str) -> None:
    name = f"extra-{namespace}"
    extra = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [f"{namespace}.example.com"], "resources": ["things"], "verbs": ["get"]}],
    }
    assert control_plane.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", extra).code == 201
    label = "rbac.authorization.k8s.io/aggregate-to-view=true"

    def held_by(role: str) -> bool:
        rules = control_plane.get("clusterrole", role)["rules"]
        return any(rule.get("apiGroups") == [f"{namespace}.example.com"] for rule in rules)

    control_plane.kubectl("label", "clusterrole", name, label)
    for role in ("view", "edit", "admin"):
        wait_until(f"{role} has the rule", lambda role=role: held_by(role))
    control_plane.kubectl("delete", "clusterrole", name)
    for role in ("view", "edit", "admin"):
        wait_until(f"{role} lost the rule", lambda role=role: not held_by(role))


def test_the_default_roles_of_namespaces(control_plane: ControlPlane) -> None:
    roles = control_plane.kubectl("get", "roles,rolebindings", "-A", "-o", "name").stdout
    for line in (
        "role.rbac.authorization.k8s.io/extension-apiserver-authentication-reader",
        "role.rbac.authorization.k8s.io/system::leader-locking-kube-scheduler",
        "rolebinding.rbac.authorization.k8s.io/system:controller:token-cleaner",
    ):
        assert line in roles.splitlines()


def test_kubectl_auth(control_plane: ControlPlane, maker: str) -> None:
    listed = control_plane.kubectl("auth", "can-i", "--list", "-n", maker, *BOB).stdout
    assert "roles.rbac.authorization.k8s.io" in listed and "selfsubjectreviews.authentication.k8s.io" in listed
    assert "/healthz" in listed
    shown = control_plane.kubectl("auth", "whoami", "--as=bob", "--as-uid=7").stdout
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines()[1:])
    assert rows == {"Username": "bob", "UID": "7", "Groups": "[system:authenticated]"}
    # Unlike other commands, this one takes the namespace from the file alone.
    more = GRANT.replace("verbs: [get]", "verbs: [get, list]").replace(
        "name: maker}\n", f"name: maker, namespace: {maker}}}\n"
    )
    told = control_plane.kubectl("auth", "reconcile", "-f", "-", stdin=more).stdout
    assert told.splitlines()[0] == "role.rbac.authorization.k8s.io/maker reconciled"
    rules = control_plane.get("role", "maker", "-n", maker)["rules"]
    assert {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]} in rules
    denied = control_plane.kubectl("auth", "can-i", "delete", "nodes", *BOB, check=False)
    assert (denied.returncode, denied.stdout) == (1, "no\n")


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]}, True),
        ({"rawSelector": "spec.nodeName=n1"}, True),
        ({"rawSelector": "spec.nodeName=n2"}, False),
        ({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n1"]}]}, False),
        ({}, False),
    ],
)
def test_a_review_may_name_a_selector(control_plane: ControlPlane, selector: dict[str, object], allowed: bool) -> None:
    asked = {"verb": "list", "resource": "pods", **({"fieldSelector": selector} if selector else {})}
    spec = {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = control_plane.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer.json["status"]["allowed"] is allowed
