"""The resources a Kubernetes 1.32 API server serves by default, as its discovery documents list them.

Plain facts in a table (`catalogue_table`), so that clients need neither the extracted data nor a parser at start.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import quote

from apimachinery.api.catalogue_table import ROWS, Row


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object, `pods/exec`: `kind` of `group`/`version` is what its body holds."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]

    @property
    def api_version(self) -> str:
        """`v1`, or `autoscaling/v1` for a subresource of a foreign group."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource of one group and version. `group` is "" for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    subresources: tuple[Subresource, ...]
    storage_group: str
    storage_version: str

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """`PodList`."""
        return f"{self.kind}List"

    @property
    def gvk(self) -> tuple[str, str, str]:
        """(group, version, kind)."""
        return (self.group, self.version, self.kind)

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods`: as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage_version_hash(self) -> str:
        """Discovery's storageVersionHash: eight bytes of the SHA-256 of `group/version/kind` as stored, in base64."""
        text = f"{self.storage_group}/{self.storage_version}/{self.kind}"
        return b64encode(sha256(text.encode()).digest()[:8]).decode()

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name ("status", "exec"), or None."""
        return next((each for each in self.subresources if each.name == name), None)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource.

        Without `namespace` a namespaced collection is that of all namespaces.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe=":@")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":@"))
            if subresource:
                parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return self.group_resource


class Catalogue:
    """A set of resources, in discovery's order of groups. Immutable; make a new one to add resources."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = tuple(resources)
        self._by_plural = {(each.group, each.version, each.plural): each for each in self._resources}
        # Kinds of create-only reviews and of real collections share this table; no kind is served by two resources
        # of one group and version.
        self._by_kind = {(each.api_version, each.kind): each for each in self._resources}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at that path, or None."""
        return self._by_plural.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects say `apiVersion` and `kind`, or None."""
        return self._by_kind.get((api_version, kind))

    def versions(self) -> dict[str, tuple[str, ...]]:
        """The versions of each group, the preferred one first; groups in discovery's order."""
        found: dict[str, list[str]] = {}
        for each in self._resources:
            versions = found.setdefault(each.group, [])
            if each.version not in versions:
                versions.append(each.version)
        return {group: tuple(versions) for group, versions in found.items()}

    def in_version(self, group: str, version: str) -> tuple[Resource, ...]:
        """The resources of one group and version, by plural as discovery sorts them."""
        found = [each for each in self._resources if (each.group, each.version) == (group, version)]
        return tuple(sorted(found, key=lambda each: each.plural))

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def __contains__(self, resource: object) -> bool:
        return resource in self._resources


def _resource(row: Row) -> Resource:
    group, _, version = row.api_version.rpartition("/")
    stored_group, _, stored_version = (row.stored_as or row.api_version).rpartition("/")
    below = []
    for name, kind, verbs in row.subresources:
        api_version, _, word = kind.rpartition(" ")
        kind_group, _, kind_version = (api_version or row.api_version).rpartition("/")
        below.append(Subresource(name, word or row.kind, kind_group, kind_version, tuple(verbs.split())))
    return Resource(
        group=group,
        version=version,
        kind=row.kind,
        plural=row.plural,
        singular=row.singular or row.kind.lower(),
        short_names=tuple(row.short_names.split()),
        categories=tuple(row.categories.split()),
        namespaced=row.namespaced,
        verbs=tuple(row.verbs.split()),
        subresources=tuple(below),
        storage_group=stored_group,
        storage_version=stored_version,
    )


CATALOGUE = Catalogue(_resource(row) for row in ROWS)


def with_pod_resize() -> Catalogue:
    """The catalogue of a server whose gate InPlacePodVerticalScaling is open (KEP-1287): pods/resize is served too."""
    resize = Subresource("resize", "Pod", "", "v1", ("get", "patch", "update"))

    def grown(resource: Resource) -> Resource:
        if resource.gvk != ("", "v1", "Pod"):
            return resource
        below = sorted((*resource.subresources, resize), key=lambda each: each.name)
        return replace(resource, subresources=tuple(below))

    return Catalogue(grown(each) for each in CATALOGUE)


def _known(api_version: str, kind: str) -> Resource:
    found = CATALOGUE.by_kind(api_version, kind)
    assert found is not None, f"{api_version} {kind} is not in the table"
    return found


BINDINGS = _known("v1", "Binding")
CONFIGMAPS = _known("v1", "ConfigMap")
ENDPOINTS = _known("v1", "Endpoints")
EVENTS = _known("v1", "Event")
LIMITRANGES = _known("v1", "LimitRange")
NAMESPACES = _known("v1", "Namespace")
NODES = _known("v1", "Node")
PERSISTENTVOLUMECLAIMS = _known("v1", "PersistentVolumeClaim")
PERSISTENTVOLUMES = _known("v1", "PersistentVolume")
PODS = _known("v1", "Pod")
PODTEMPLATES = _known("v1", "PodTemplate")
REPLICATIONCONTROLLERS = _known("v1", "ReplicationController")
RESOURCEQUOTAS = _known("v1", "ResourceQuota")
SECRETS = _known("v1", "Secret")
SERVICEACCOUNTS = _known("v1", "ServiceAccount")
SERVICES = _known("v1", "Service")
APISERVICES = _known("apiregistration.k8s.io/v1", "APIService")
CONTROLLERREVISIONS = _known("apps/v1", "ControllerRevision")
DAEMONSETS = _known("apps/v1", "DaemonSet")
DEPLOYMENTS = _known("apps/v1", "Deployment")
REPLICASETS = _known("apps/v1", "ReplicaSet")
STATEFULSETS = _known("apps/v1", "StatefulSet")
SELFSUBJECTREVIEWS = _known("authentication.k8s.io/v1", "SelfSubjectReview")
TOKENREVIEWS = _known("authentication.k8s.io/v1", "TokenReview")
LOCALSUBJECTACCESSREVIEWS = _known("authorization.k8s.io/v1", "LocalSubjectAccessReview")
SELFSUBJECTACCESSREVIEWS = _known("authorization.k8s.io/v1", "SelfSubjectAccessReview")
SELFSUBJECTRULESREVIEWS = _known("authorization.k8s.io/v1", "SelfSubjectRulesReview")
SUBJECTACCESSREVIEWS = _known("authorization.k8s.io/v1", "SubjectAccessReview")
HORIZONTALPODAUTOSCALERS = _known("autoscaling/v2", "HorizontalPodAutoscaler")
CRONJOBS = _known("batch/v1", "CronJob")
JOBS = _known("batch/v1", "Job")
CERTIFICATESIGNINGREQUESTS = _known("certificates.k8s.io/v1", "CertificateSigningRequest")
CUSTOMRESOURCEDEFINITIONS = _known("apiextensions.k8s.io/v1", "CustomResourceDefinition")
LEASES = _known("coordination.k8s.io/v1", "Lease")
ENDPOINTSLICES = _known("discovery.k8s.io/v1", "EndpointSlice")
NEW_EVENTS = _known("events.k8s.io/v1", "Event")
INGRESSCLASSES = _known("networking.k8s.io/v1", "IngressClass")
INGRESSES = _known("networking.k8s.io/v1", "Ingress")
NETWORKPOLICIES = _known("networking.k8s.io/v1", "NetworkPolicy")
RUNTIMECLASSES = _known("node.k8s.io/v1", "RuntimeClass")
PODDISRUPTIONBUDGETS = _known("policy/v1", "PodDisruptionBudget")
CLUSTERROLEBINDINGS = _known("rbac.authorization.k8s.io/v1", "ClusterRoleBinding")
CLUSTERROLES = _known("rbac.authorization.k8s.io/v1", "ClusterRole")
ROLEBINDINGS = _known("rbac.authorization.k8s.io/v1", "RoleBinding")
ROLES = _known("rbac.authorization.k8s.io/v1", "Role")
PRIORITYCLASSES = _known("scheduling.k8s.io/v1", "PriorityClass")
CSIDRIVERS = _known("storage.k8s.io/v1", "CSIDriver")
CSINODES = _known("storage.k8s.io/v1", "CSINode")
CSISTORAGECAPACITIES = _known("storage.k8s.io/v1", "CSIStorageCapacity")
STORAGECLASSES = _known("storage.k8s.io/v1", "StorageClass")
VOLUMEATTACHMENTS = _known("storage.k8s.io/v1", "VolumeAttachment")
MUTATINGWEBHOOKCONFIGURATIONS = _known("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
VALIDATINGWEBHOOKCONFIGURATIONS = _known("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
VALIDATINGADMISSIONPOLICIES = _known("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
VALIDATINGADMISSIONPOLICYBINDINGS = _known("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
FLOWSCHEMAS = _known("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
PRIORITYLEVELCONFIGURATIONS = _known("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
