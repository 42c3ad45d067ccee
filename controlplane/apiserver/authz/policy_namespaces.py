"""The default Roles and RoleBindings of kube-system and kube-public (namespace_policy.go), and the one that kubeadm
adds so that a machine without credentials can read cluster-info."""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.authz.policy import API_VERSION, GROUP, policy_metadata, rules, subject

_EVENTS = "create,patch,update core,events.k8s.io events"


def _lock(component: str) -> str:
    """What leading takes; the ConfigMap is how it was done once, and upstream still grants it."""
    return f"""
        watch core configmaps
        get,update core configmaps {component}
        create,read,update coordination.k8s.io leases
        create,read,update coordination.k8s.io leasecandidates
    """


ROLES: dict[tuple[str, str], str] = {
    ("kube-system", "extension-apiserver-authentication-reader"): (
        "read core configmaps extension-apiserver-authentication"
    ),
    ("kube-system", "system:controller:bootstrap-signer"): "read core secrets",
    ("kube-system", "system:controller:cloud-provider"): "create,read core configmaps",
    ("kube-system", "system:controller:token-cleaner"): f"delete,read core secrets\n{_EVENTS}",
    ("kube-system", "system::leader-locking-kube-controller-manager"): _lock("kube-controller-manager"),
    ("kube-system", "system::leader-locking-kube-scheduler"): _lock("kube-scheduler"),
    ("kube-public", "system:controller:bootstrap-signer"): (
        f"read core configmaps\nupdate core configmaps cluster-info\n{_EVENTS}"
    ),
    ("kube-public", "kubeadm:bootstrap-signer-clusterinfo"): "get core configmaps cluster-info",
}

_MANAGER, _SCHEDULER = "User:system:kube-controller-manager", "User:system:kube-scheduler"

# (namespace, binding) → (Role, subjects).
BINDINGS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        (_MANAGER, _SCHEDULER),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        (_MANAGER, "ServiceAccount:kube-system:kube-controller-manager"),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        (_SCHEDULER, "ServiceAccount:kube-system:kube-scheduler"),
    ),
    **{
        (namespace, f"system:controller:{name}"): (
            f"system:controller:{name}",
            (f"ServiceAccount:kube-system:{name}",),
        )
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
            ("kube-public", "bootstrap-signer"),
        )
    },
    ("kube-public", "kubeadm:bootstrap-signer-clusterinfo"): (
        "kubeadm:bootstrap-signer-clusterinfo",
        ("User:system:anonymous",),
    ),
}


def namespace_roles() -> list[dict[str, Any]]:
    """Every default Role, as it is created."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "Role",
            "metadata": policy_metadata(name, namespace),
            "rules": rules(text),
        }
        for (namespace, name), text in ROLES.items()
    ]


def namespace_role_bindings() -> list[dict[str, Any]]:
    """Every default RoleBinding."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "RoleBinding",
            "metadata": policy_metadata(name, namespace),
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": role},
            "subjects": [subject(each) for each in subjects],
        }
        for (namespace, name), (role, subjects) in BINDINGS.items()
    ]
