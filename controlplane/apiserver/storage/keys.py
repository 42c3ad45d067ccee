"""Where an object lives in the store: the key layout of upstream's kube-apiserver, so that etcdctl shows familiar keys.

Source: upstream's `pkg/kubeapiserver/default_storage_factory_builder.go` (SpecialDefaultResourcePrefixes),
`staging/src/k8s.io/apiserver/pkg/server/storage` (ResourcePrefix) and apiextensions-apiserver's CRDRESTOptionsGetter.
"""

import posixpath
from functools import lru_cache
from typing import Protocol

ROOT = "/registry/"

# Resources whose key does not carry their plural; the names are older than the API's.
_SPECIAL = {
    ("", "replicationcontrollers"): "controllers",
    ("", "endpoints"): "services/endpoints",
    ("", "nodes"): "minions",
    ("", "services"): "services/specs",
    ("extensions", "ingresses"): "ingress",
    ("networking.k8s.io", "ingresses"): "ingress",
}

# Groups served by kube-apiserver itself: their keys carry only the plural. Everything else (custom resources, CRDs,
# APIServices) is kept under its group, so that equal plurals of different groups cannot meet.
_BUILT_IN = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)


def root(text: str) -> str:
    """What all keys begin with, as upstream reads --etcd-prefix: `registry` and `/registry/` are the same."""
    path = posixpath.normpath(f"/{text}").strip("/")
    return f"/{path}/" if path else "/"


class NamedResource(Protocol):
    """What the key layout needs to know of a resource (apimachinery.api.catalogue.Resource has it)."""

    @property
    def group(self) -> str: ...

    @property
    def plural(self) -> str: ...


def registry_prefix(resource: NamedResource) -> str:
    """The prefix of every object of `resource`, with a trailing slash: `/registry/pods/`, `/registry/minions/`,
    `/registry/example.com/widgets/`. It is independent of the version: all versions of a group share one object."""
    return _prefix(resource.group, resource.plural)


@lru_cache(maxsize=1024)
def _prefix(group: str, plural: str) -> str:
    special = _SPECIAL.get((group, plural))
    if special is not None:
        return f"{ROOT}{special}/"
    if group in _BUILT_IN:
        return f"{ROOT}{plural.lower()}/"
    return f"{ROOT}{group}/{plural}/"


def registry_key(resource: NamedResource, name: str, namespace: str | None = None) -> str:
    """The key of one object: `/registry/pods/default/web`, `/registry/minions/node-1` (no or empty namespace)."""
    prefix = registry_prefix(resource)
    return f"{prefix}{namespace}/{name}" if namespace else prefix + name


def namespace_prefix(resource: NamedResource, namespace: str | None = None) -> str:
    """The prefix to list or watch: of one namespace, or of all of them when `namespace` is None or empty."""
    prefix = registry_prefix(resource)
    return f"{prefix}{namespace}/" if namespace else prefix
