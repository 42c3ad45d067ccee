"""The plug-ins by name: the only list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery.api.catalogue import (
    CATALOGUE,
    INGRESSCLASSES,
    LIMITRANGES,
    MUTATINGWEBHOOKCONFIGURATIONS,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITYCLASSES,
    RESOURCEQUOTAS,
    RUNTIMECLASSES,
    SERVICEACCOUNTS,
    SERVICES,
    STORAGECLASSES,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    Catalogue,
    Resource,
)
from apimachinery.kit.clock import Clock
from controlplane.apiserver.admission.always import AlwaysAdmit, AlwaysDeny
from controlplane.apiserver.admission.always_pull_images import AlwaysPullImages
from controlplane.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from controlplane.apiserver.admission.chain import Chain, Plugin
from controlplane.apiserver.admission.configuration import WEBHOOKS, AdmissionConfiguration
from controlplane.apiserver.admission.default_ingress_class import DefaultIngressClass
from controlplane.apiserver.admission.default_storage_class import DefaultStorageClass
from controlplane.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from controlplane.apiserver.admission.deny_service_external_ips import DenyServiceExternalIPs
from controlplane.apiserver.admission.event_rate_limit import EventRateLimit
from controlplane.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration
from controlplane.apiserver.admission.image_policy import ImagePolicyWebhook
from controlplane.apiserver.admission.limit_pod_hard_anti_affinity_topology import LimitPodHardAntiAffinityTopology
from controlplane.apiserver.admission.limit_ranger import LimitRanger
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.namespace_auto_provision import NamespaceAutoProvision
from controlplane.apiserver.admission.namespace_exists import NamespaceExists
from controlplane.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from controlplane.apiserver.admission.node_restriction import NodeRestriction
from controlplane.apiserver.admission.owner_references_permission_enforcement import (
    OwnerReferencesPermissionEnforcement,
)
from controlplane.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from controlplane.apiserver.admission.pod_node_selector import PodNodeSelector
from controlplane.apiserver.admission.pod_security.plugin import PodSecurity
from controlplane.apiserver.admission.pod_toleration_restriction import PodTolerationRestriction
from controlplane.apiserver.admission.policies.params import Params
from controlplane.apiserver.admission.policies.plugin import ValidatingAdmissionPolicy
from controlplane.apiserver.admission.policies.status import PolicyStatus
from controlplane.apiserver.admission.priority import Priority
from controlplane.apiserver.admission.resource_quota.plugin import ResourceQuota
from controlplane.apiserver.admission.runtime_class import RuntimeClass
from controlplane.apiserver.admission.service_account import ServiceAccount
from controlplane.apiserver.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from controlplane.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.admission.webhooks.mutating import MutatingAdmissionWebhook
from controlplane.apiserver.admission.webhooks.validating import ValidatingAdmissionWebhook
from controlplane.apiserver.authn.remote_reviews import RemoteReviews
from controlplane.apiserver.config import Config
from controlplane.apiserver.registry.collection import Collection
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.store import ObjectStore


class Admission:
    """The enabled plug-ins and the feeds that they look things up in, which the caller runs."""

    def __init__(self, config: Config, store: Callable[[Resource], ObjectStore], clock: Clock) -> None:
        self._config, self._store, self._clock = config, store, clock
        self._lookups: dict[Resource, Lookup] = {}
        self.served: Callable[[], Catalogue] = lambda: CATALOGUE
        """What kinds there are, custom ones too; set before the first request."""
        self.namespaces: Callable[[], Collection]
        """Where namespaces are made; set before the first request."""
        self._status: PolicyStatus | None = None
        if "ValidatingAdmissionPolicy" in config.admission_plugins:
            self._status = PolicyStatus(store(VALIDATINGADMISSIONPOLICIES), lambda: self.served())
        said = (config.admission or AdmissionConfiguration()).webhooks
        self._webhooks = {name: WebhookClient(store(SERVICES), said.get(name)) for name in WEBHOOKS}
        self._images: RemoteReviews | None = None
        self.chain = Chain(self._plugins(config.admission_plugins))

    @property
    def feeds(self) -> list[Feed]:
        """What has to run for the plug-ins to work."""
        feeds = [lookup.feed for lookup in self._lookups.values()]
        return feeds if self._status is None else [*feeds, self._status.feed]

    async def run(self) -> None:
        """Write the status of policies until cancelled."""
        if self._status is not None:
            await self._status.run()

    async def close(self) -> None:
        """End the connections to webhooks."""
        for webhooks in self._webhooks.values():
            await webhooks.close()
        if self._images is not None:
            await self._images.close()

    def _by_kind(self, api_version: str, kind: str) -> Resource | None:
        return self.served().by_kind(api_version, kind)

    def _lookup(self, resource: Resource) -> Lookup:
        if resource not in self._lookups:
            self._lookups[resource] = Lookup(self._store(resource))
        return self._lookups[resource]

    def _image_policy(self, said: AdmissionConfiguration) -> ImagePolicyWebhook:
        assert said.image_policy is not None  # which the configuration makes sure of
        self._images = said.image_policy.reviews(self._clock)
        return ImagePolicyWebhook(said.image_policy, self._images)

    def _plugins(self, names: Sequence[str]) -> list[Plugin]:
        config, lookup, store = self._config, self._lookup, self._store
        said = config.admission or AdmissionConfiguration()
        makers: dict[str, Callable[[], Plugin]] = {
            "AlwaysAdmit": AlwaysAdmit,
            "NamespaceAutoProvision": lambda: NamespaceAutoProvision(lookup(NAMESPACES), lambda: self.namespaces()),
            "NamespaceLifecycle": lambda: NamespaceLifecycle(
                lookup(NAMESPACES), store(NAMESPACES), self._clock.monotonic
            ),
            "NamespaceExists": lambda: NamespaceExists(lookup(NAMESPACES)),
            "LimitPodHardAntiAffinityTopology": LimitPodHardAntiAffinityTopology,
            "LimitRanger": lambda: LimitRanger(lookup(LIMITRANGES)),
            "ServiceAccount": lambda: ServiceAccount(lookup(SERVICEACCOUNTS), self._clock),
            "NodeRestriction": lambda: NodeRestriction(store(PODS), store(NODES)),
            "TaintNodesByCondition": TaintNodesByCondition,
            "AlwaysPullImages": AlwaysPullImages,
            "ImagePolicyWebhook": lambda: self._image_policy(said),
            "PodSecurity": lambda: PodSecurity(lookup(NAMESPACES), store(PODS), said.pod_security),
            "PodNodeSelector": lambda: PodNodeSelector(lookup(NAMESPACES), said.node_selectors),
            "Priority": lambda: Priority(lookup(PRIORITYCLASSES), store(PRIORITYCLASSES)),
            "DefaultTolerationSeconds": lambda: DefaultTolerationSeconds(
                config.default_not_ready_toleration_seconds, config.default_unreachable_toleration_seconds
            ),
            "PodTolerationRestriction": lambda: PodTolerationRestriction(
                lookup(NAMESPACES), said.default_tolerations, said.allowed_tolerations
            ),
            "EventRateLimit": lambda: EventRateLimit(said.event_limits, self._clock.monotonic),
            "ExtendedResourceToleration": ExtendedResourceToleration,
            "DefaultStorageClass": lambda: DefaultStorageClass(lookup(STORAGECLASSES)),
            "StorageObjectInUseProtection": StorageObjectInUseProtection,
            "OwnerReferencesPermissionEnforcement": lambda: OwnerReferencesPermissionEnforcement(self._by_kind),
            "PersistentVolumeClaimResize": lambda: PersistentVolumeClaimResize(lookup(STORAGECLASSES)),
            "RuntimeClass": lambda: RuntimeClass(lookup(RUNTIMECLASSES)),
            "CertificateApproval": CertificateApproval,
            "CertificateSigning": CertificateSigning,
            "CertificateSubjectRestriction": CertificateSubjectRestriction,
            "DefaultIngressClass": lambda: DefaultIngressClass(lookup(INGRESSCLASSES)),
            "DenyServiceExternalIPs": DenyServiceExternalIPs,
            "MutatingAdmissionWebhook": lambda: MutatingAdmissionWebhook(
                lookup(MUTATINGWEBHOOKCONFIGURATIONS), lookup(NAMESPACES), self._webhooks["MutatingAdmissionWebhook"]
            ),
            "ValidatingAdmissionPolicy": lambda: ValidatingAdmissionPolicy(
                lookup(VALIDATINGADMISSIONPOLICIES),
                lookup(VALIDATINGADMISSIONPOLICYBINDINGS),
                lookup(NAMESPACES),
                Params(self._by_kind, store),
            ),
            "ValidatingAdmissionWebhook": lambda: ValidatingAdmissionWebhook(
                lookup(VALIDATINGWEBHOOKCONFIGURATIONS),
                lookup(NAMESPACES),
                self._webhooks["ValidatingAdmissionWebhook"],
            ),
            "ResourceQuota": lambda: ResourceQuota(
                lookup(RESOURCEQUOTAS), store(RESOURCEQUOTAS), said.limited, self._clock
            ),
            "AlwaysDeny": AlwaysDeny,
        }
        return [makers[name]() for name in names]
