"""The roles and bindings that every cluster has: upstream's bootstrap policy (plugin/pkg/auth/.../bootstrappolicy).

A line of a role reads `verbs groups resources [names]`, each a comma-separated list; "core" is the group without a
name, "read" and "write" stand for the usual verbs. A line with a slash after its verbs names non-resource URLs.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.authz.policy_controllers import CONTROLLER_ROLES

Rule = dict[str, list[str]]

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"

_WORDS = {
    "read": ["get", "list", "watch"],
    "write": ["create", "delete", "deletecollection", "patch", "update"],
    "core": [""],
}
_EVENTS = "create,patch,update core,events.k8s.io events\n"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"

ROLES: dict[str, str] = {
    "cluster-admin": "* * *\n* /*",
    "system:discovery": "get /api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/",
    "system:public-info-viewer": "get /healthz,/livez,/readyz,/version,/version/",
    "system:monitoring": ("get /healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*"),
    "system:service-account-issuer-discovery": "get /.well-known/openid-configuration,/openid/v1/jwks",
    "system:basic-user": """
        create authorization.k8s.io selfsubjectaccessreviews,selfsubjectrulesreviews
        create authentication.k8s.io selfsubjectreviews
    """,
    "system:aggregate-to-admin": """
        create authorization.k8s.io localsubjectaccessreviews
        read,write rbac.authorization.k8s.io rolebindings,roles
    """,
    "system:aggregate-to-edit": """
        read core pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy
        impersonate core serviceaccounts
        write core pods,pods/attach,pods/exec,pods/portforward,pods/proxy
        create core pods/eviction
        write core configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale
        write core secrets,serviceaccounts,services,services/proxy
        create core serviceaccounts/token
        write apps daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale
        write apps statefulsets,statefulsets/scale
        write autoscaling horizontalpodautoscalers
        write batch cronjobs,jobs
        write extensions daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies
        write extensions replicasets,replicasets/scale,replicationcontrollers/scale
        write policy poddisruptionbudgets
        write networking.k8s.io ingresses,networkpolicies
        read,write coordination.k8s.io leases
    """,
    "system:aggregate-to-view": """
        read core configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods
        read core replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status
        read core bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status
        read core resourcequotas,resourcequotas/status
        read core namespaces
        read discovery.k8s.io endpointslices
        read apps controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status
        read apps replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status
        read autoscaling horizontalpodautoscalers,horizontalpodautoscalers/status
        read batch cronjobs,cronjobs/status,jobs,jobs/status
        read extensions daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses
        read extensions ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status
        read extensions replicationcontrollers/scale
        read policy poddisruptionbudgets,poddisruptionbudgets/status
        read networking.k8s.io ingresses,ingresses/status,networkpolicies
    """,
    "system:auth-delegator": """
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
    """,
    "system:kubelet-api-admin": """
        read core nodes
        proxy core nodes
        * core nodes/log,nodes/metrics,nodes/proxy,nodes/stats
    """,
    "system:node": """
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io localsubjectaccessreviews,subjectaccessreviews
        read core services
        create,read core nodes
        patch,update core nodes/status
        patch,update core nodes
        create,patch,update core events
        read core pods
        create,delete core pods
        patch,update core pods/status
        create core pods/eviction
        read core configmaps,secrets
        get core persistentvolumeclaims,persistentvolumes
        get core endpoints
        create,read certificates.k8s.io certificatesigningrequests
        create,delete,get,patch,update coordination.k8s.io leases
        get storage.k8s.io volumeattachments
        create core serviceaccounts/token
        get,patch,update core persistentvolumeclaims/status
        read storage.k8s.io csidrivers
        create,delete,get,patch,update storage.k8s.io csinodes
        read node.k8s.io runtimeclasses
    """,
    "system:node-problem-detector": "get core nodes\npatch core nodes/status\n" + _EVENTS,
    "kubeadm:get-nodes": "get core nodes",
    "system:node-bootstrapper": "create,read certificates.k8s.io certificatesigningrequests",
    "system:node-proxier": """
        list,watch core endpoints,services
        read core nodes
        create,patch,update core,events.k8s.io events
        list,watch discovery.k8s.io endpointslices
    """,
    "system:heapster": "read core events,namespaces,nodes,pods\nread extensions deployments",
    "system:kube-aggregator": "read core endpoints,services",
    "system:kube-dns": "list,watch core endpoints,services",
    "system:kube-controller-manager": """
        create,patch,update core,events.k8s.io events
        create coordination.k8s.io leases
        get,update coordination.k8s.io leases kube-controller-manager
        create core secrets,serviceaccounts
        delete core secrets
        get core configmaps,namespaces,secrets,serviceaccounts
        update core secrets,serviceaccounts
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        list,watch * *
        create core serviceaccounts/token
    """,
    "system:kube-scheduler": """
        create,patch,update core,events.k8s.io events
        create coordination.k8s.io leases
        get,update coordination.k8s.io leases kube-scheduler
        read core nodes
        delete,read core pods
        create core bindings,pods/binding
        patch,update core pods/status
        read core replicationcontrollers,services
        read apps,extensions replicasets
        read apps statefulsets
        read policy poddisruptionbudgets
        read core persistentvolumeclaims,persistentvolumes
        create authentication.k8s.io tokenreviews
        create authorization.k8s.io subjectaccessreviews
        read storage.k8s.io csinodes
        read core namespaces
        read storage.k8s.io csidrivers
        read storage.k8s.io csistoragecapacities
    """,
    # Ours; elsewhere such a provisioner is a pod, and brings its own.
    "kubelab:local-path-provisioner": f"""
        create,delete,read,update core persistentvolumes
        read,update core persistentvolumeclaims
        create,delete,read core pods
        read core nodes
        read storage.k8s.io storageclasses
        {_EVENTS}
    """,
    "system:persistent-volume-provisioner": """
        create,delete,read core persistentvolumes
        read,update core persistentvolumeclaims
        read storage.k8s.io storageclasses
        watch core events
        create,patch,update core,events.k8s.io events
    """,
    "system:volume-scheduler": """
        read,patch,update core persistentvolumes
        read storage.k8s.io storageclasses
        read,patch,update core persistentvolumeclaims
    """,
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create certificates.k8s.io certificatesigningrequests/nodeclient"
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create certificates.k8s.io certificatesigningrequests/selfnodeclient"
    ),
    **{
        f"system:certificates.k8s.io:{signer}-approver": f"approve certificates.k8s.io signers kubernetes.io/{signer}"
        for signer in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
    },
}

AGGREGATED = {"admin": ("admin", ""), "edit": ("edit", "admin"), "view": ("view", "edit")}
"""Role → the aggregation it collects, and the one it belongs to itself."""

_CONTROLLER_MANAGER = "User:system:kube-controller-manager"
_JOINING = "Group:system:bootstrappers:kubeadm:default-node-token"
_REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"

BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cluster-admin": ("cluster-admin", ("Group:system:masters",)),
    "system:monitoring": ("system:monitoring", ("Group:system:monitoring",)),
    "system:discovery": ("system:discovery", ("Group:system:authenticated",)),
    "system:basic-user": ("system:basic-user", ("Group:system:authenticated",)),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        ("Group:system:authenticated", "Group:system:unauthenticated"),
    ),
    "system:node-proxier": ("system:node-proxier", ("User:system:kube-proxy",)),
    "system:kube-controller-manager": ("system:kube-controller-manager", (_CONTROLLER_MANAGER,)),
    "system:kube-scheduler": ("system:kube-scheduler", ("User:system:kube-scheduler",)),
    "system:volume-scheduler": ("system:volume-scheduler", ("User:system:kube-scheduler",)),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        ("Group:system:serviceaccounts",),
    ),
    "system:node": ("system:node", ()),
    "system:kube-dns": ("system:kube-dns", ("ServiceAccount:kube-system:kube-dns",)),
    "kubelab:local-path-provisioner": (
        "kubelab:local-path-provisioner",
        ("ServiceAccount:kube-system:local-path-provisioner",),
    ),
    # kubeadm makes these at init, with its super-admin.conf: admin.conf would be powerless without the first, and
    # machines could not join by a bootstrap token without the others.
    "kubeadm:cluster-admins": ("cluster-admin", ("Group:kubeadm:cluster-admins",)),
    "kubeadm:get-nodes": ("kubeadm:get-nodes", (_JOINING,)),
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", (_JOINING,)),
    "kubeadm:node-autoapprove-bootstrap": (f"{_REQUESTS}:nodeclient", (_JOINING,)),
    "kubeadm:node-autoapprove-certificate-rotation": (f"{_REQUESTS}:selfnodeclient", ("Group:system:nodes",)),
}


def rules(text: str) -> list[Rule]:
    """The PolicyRules of a role's lines."""
    found = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        verbs, where, *rest = line.split()
        if where.startswith("/"):
            urls = ["*"] if where == "/*" else where.split(",")
            found.append({"nonResourceURLs": urls, "verbs": _expand(verbs)})
            continue
        rule = {"apiGroups": _expand(where), "resources": rest[0].split(","), "verbs": sorted(_expand(verbs))}
        if len(rest) > 1:
            rule["resourceNames"] = rest[1].split(",")
        found.append(rule)
    return found


def cluster_roles() -> list[dict[str, Any]]:
    """Every default ClusterRole, as it is created. Aggregated ones carry the rules that the defaults give them."""
    made = [_role(name, rules(text)) for name, text in ROLES.items()]
    made += [_role(f"system:controller:{name}", rules(text)) for name, text in CONTROLLER_ROLES.items()]
    for role in made:
        short = role["metadata"]["name"].removeprefix("system:aggregate-to-")
        if short != role["metadata"]["name"]:
            role["metadata"]["labels"][_AGGREGATE + short] = "true"
    collected: list[Rule] = []
    for name in ("view", "edit", "admin"):
        collects, belongs = AGGREGATED[name]
        collected = rules(ROLES[f"system:aggregate-to-{name}"]) + collected
        role = _role(name, list(collected))
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + collects: "true"}}]}
        if belongs:
            role["metadata"]["labels"][_AGGREGATE + belongs] = "true"
        made.append(role)
    return made


def cluster_role_bindings() -> list[dict[str, Any]]:
    """Every default ClusterRoleBinding. The controllers' roles are bound to their service accounts."""
    wanted = dict(BINDINGS)
    for name in CONTROLLER_ROLES:
        role = f"system:controller:{name}"
        wanted[role] = role, (f"ServiceAccount:kube-system:{name}",)
    return [_binding(name, role, subjects) for name, (role, subjects) in wanted.items()]


def _expand(text: str) -> list[str]:
    return [expanded for word in text.split(",") for expanded in _WORDS.get(word, [word])]


def policy_metadata(name: str, namespace: str = "") -> dict[str, Any]:
    """The metadata of a default object."""
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }


def _role(name: str, rules: list[Rule]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "ClusterRole", "metadata": policy_metadata(name), "rules": rules}


def _binding(name: str, role: str, subjects: tuple[str, ...]) -> dict[str, Any]:
    binding: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": policy_metadata(name),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
    }
    if subjects:
        binding["subjects"] = [subject(each) for each in subjects]
    return binding


def subject(text: str) -> dict[str, str]:
    """`User:NAME`, `Group:NAME` or `ServiceAccount:NAMESPACE:NAME` as a binding's subject."""
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}
