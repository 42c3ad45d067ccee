"""Which strategy each resource has: the only list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from apimachinery.api.catalogue import CUSTOMRESOURCEDEFINITIONS, Resource
from controlplane.apiserver.authz.rbac import PolicyIndex
from controlplane.apiserver.extensions.definition_strategy import DefinitionStrategy
from controlplane.apiserver.registry.allocator import AddressPool, PortPool
from controlplane.apiserver.registry.kinds import DefinedResource
from controlplane.apiserver.strategies import kinds, volumes, workloads
from controlplane.apiserver.strategies.admission_rules import AdmissionPolicyStrategy, WebhookConfigurationStrategy
from controlplane.apiserver.strategies.base import Now, Strategy
from controlplane.apiserver.strategies.namespace import NamespaceStrategy
from controlplane.apiserver.strategies.pod import PodStrategy
from controlplane.apiserver.strategies.rbac import RBACStrategy
from controlplane.apiserver.strategies.service import ServiceStrategy
from controlplane.apiserver.strategies.signing_request import SigningRequestStrategy

_PLAIN: dict[tuple[str, str], type[Strategy]] = {
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): WebhookConfigurationStrategy,
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): AdmissionPolicyStrategy,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): WebhookConfigurationStrategy,
    ("", "namespaces"): NamespaceStrategy,
    ("", "limitranges"): kinds.LimitRangeStrategy,
    ("", "nodes"): kinds.NodeStrategy,
    ("", "persistentvolumeclaims"): volumes.ClaimStrategy,
    ("", "pods"): PodStrategy,
    ("", "replicationcontrollers"): workloads.ReplicaSetStrategy,
    ("", "secrets"): kinds.SecretStrategy,
    ("", "serviceaccounts"): kinds.ServiceAccountStrategy,
    ("apps", "daemonsets"): workloads.DaemonSetStrategy,
    ("apps", "deployments"): workloads.DeploymentStrategy,
    ("apps", "replicasets"): workloads.ReplicaSetStrategy,
    ("batch", "jobs"): workloads.JobStrategy,
    ("coordination.k8s.io", "leases"): kinds.LeaseStrategy,
    ("discovery.k8s.io", "endpointslices"): kinds.EndpointSliceStrategy,
    ("scheduling.k8s.io", "priorityclasses"): kinds.PriorityClassStrategy,
    ("storage.k8s.io", "csidrivers"): kinds.DriverStrategy,
}


def strategies(
    policy: PolicyIndex,
    addresses: Sequence[AddressPool],
    ports: PortPool,
    *,
    event_ttl: float,
    rbac: bool,
    now: Now,
    gates: Mapping[str, bool] = MappingProxyType({}),
) -> Callable[[Resource], Strategy]:
    """The function from a resource to its strategy.

    rbac: whether escalation is refused; now: the time; gates: the feature gates that are set.
    """

    def choose(resource: Resource) -> Strategy:
        strategy = plain(resource)
        strategy.gates = gates
        return strategy

    def plain(resource: Resource) -> Strategy:
        if (resource.group, resource.plural) == ("", "services"):
            return ServiceStrategy(resource, addresses, ports)
        if (resource.group, resource.plural) == ("", "persistentvolumes"):
            return volumes.VolumeStrategy(resource, now=now)
        if (resource.group, resource.plural) == ("", "events"):
            return kinds.EventStrategy(resource, ttl=event_ttl)
        if (resource.group, resource.plural) == ("certificates.k8s.io", "certificatesigningrequests"):
            return SigningRequestStrategy(resource, now)
        if resource.group == "rbac.authorization.k8s.io":
            return RBACStrategy(resource, policy, enforced=rbac)
        if isinstance(resource, DefinedResource):
            # Loads CEL and RE2, which a server without defined kinds need not.
            from controlplane.apiserver.extensions.strategies import DefinedStrategy

            return DefinedStrategy(resource)
        if resource is CUSTOMRESOURCEDEFINITIONS:
            return DefinitionStrategy(resource)
        return _PLAIN.get((resource.group, resource.plural), Strategy)(resource)

    return choose
