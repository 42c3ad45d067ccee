"""The controllers: the only list of them. Names are those of `--controllers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apimachinery.controller.context import Runnable
from controlplane.controllers.attach_detach import AttachDetach
from controlplane.controllers.bootstrap_signer import BootstrapSigner
from controlplane.controllers.certificates.approver import CertificateApprover
from controlplane.controllers.certificates.cleaner import CertificateCleaner
from controlplane.controllers.certificates.signer import CertificateSigner
from controlplane.controllers.cluster_role_aggregation import ClusterRoleAggregation
from controlplane.controllers.config import ControllersConfig
from controlplane.controllers.context import Context
from controlplane.controllers.cronjob import CronJobController
from controlplane.controllers.daemonset import DaemonSetController
from controlplane.controllers.deployment import DeploymentController
from controlplane.controllers.disruption import DisruptionController
from controlplane.controllers.endpoints import EndpointsController
from controlplane.controllers.endpointslice import EndpointSliceController
from controlplane.controllers.endpointslice_mirroring import EndpointSliceMirroring
from controlplane.controllers.ephemeral_volume import EphemeralVolumes
from controlplane.controllers.garbage_collector import GarbageCollector
from controlplane.controllers.hpa import PodAutoscaler
from controlplane.controllers.job import JobController
from controlplane.controllers.legacy_token_cleaner import LegacyTokenCleaner
from controlplane.controllers.local_path import LocalPathProvisioner
from controlplane.controllers.namespace import NamespaceController
from controlplane.controllers.node_ipam import NodeIpamController
from controlplane.controllers.node_lifecycle import NodeLifecycleController
from controlplane.controllers.pod_gc import PodGarbageCollector
from controlplane.controllers.pv_protection import VolumeProtection
from controlplane.controllers.pvc_protection import ClaimProtection
from controlplane.controllers.replicaset import ReplicaSetController, ReplicationControllerController
from controlplane.controllers.resource_quota import ResourceQuotaController
from controlplane.controllers.root_ca import RootCAPublisher
from controlplane.controllers.serviceaccount import ServiceAccountController
from controlplane.controllers.serviceaccount_token import ServiceAccountTokens
from controlplane.controllers.statefulset import StatefulSetController
from controlplane.controllers.taint_eviction import TaintEvictionController
from controlplane.controllers.token_cleaner import TokenCleaner
from controlplane.controllers.ttl import TtlController
from controlplane.controllers.ttl_after_finished import TtlAfterFinished
from controlplane.controllers.volume_binder import VolumeBinder
from controlplane.controllers.volume_expand import VolumeExpander


def _always(config: ControllersConfig) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One controller: how it is called, in whose name it asks, how it is made, and what the configuration must hold for
    it to make sense.

    account: its service account in kube-system; "" for the manager itself, as where tokens are what it makes.
    """

    name: str
    account: str
    make: Callable[[Context], Runnable]
    possible: Callable[[ControllersConfig], bool] = _always
    by_default: bool = True


# The garbage collector is last: it shares the informers that others asked for in full.
DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("serviceaccount-controller", "service-account-controller", ServiceAccountController),
    Descriptor(
        "root-ca-certificate-publisher-controller",
        "root-ca-cert-publisher",
        RootCAPublisher,
        lambda c: c.root_ca is not None,
    ),
    Descriptor("namespace-controller", "namespace-controller", NamespaceController),
    Descriptor("resourcequota-controller", "resourcequota-controller", ResourceQuotaController),
    Descriptor("deployment-controller", "deployment-controller", DeploymentController),
    Descriptor("replicaset-controller", "replicaset-controller", ReplicaSetController),
    Descriptor("replicationcontroller-controller", "replication-controller", ReplicationControllerController),
    Descriptor("daemonset-controller", "daemon-set-controller", DaemonSetController),
    Descriptor("job-controller", "job-controller", JobController),
    Descriptor("ttl-after-finished-controller", "ttl-after-finished-controller", TtlAfterFinished),
    Descriptor("cronjob-controller", "cronjob-controller", CronJobController),
    Descriptor("statefulset-controller", "statefulset-controller", StatefulSetController),
    Descriptor("horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler", PodAutoscaler),
    Descriptor("disruption-controller", "disruption-controller", DisruptionController),
    Descriptor("endpointslice-controller", "endpointslice-controller", EndpointSliceController),
    Descriptor("endpoints-controller", "endpoint-controller", EndpointsController),
    Descriptor("endpointslicemirroring-controller", "endpointslicemirroring-controller", EndpointSliceMirroring),
    Descriptor("node-ipam-controller", "node-controller", NodeIpamController, lambda c: c.cluster_cidr is not None),
    Descriptor("node-lifecycle-controller", "node-controller", NodeLifecycleController),
    Descriptor("taint-eviction-controller", "node-controller", TaintEvictionController),
    Descriptor("ttl-controller", "ttl-controller", TtlController),
    Descriptor("clusterrole-aggregation-controller", "clusterrole-aggregation-controller", ClusterRoleAggregation),
    Descriptor("persistentvolume-binder-controller", "persistent-volume-binder", VolumeBinder),
    Descriptor("persistentvolume-attach-detach-controller", "attachdetach-controller", AttachDetach),
    Descriptor("persistentvolume-expander-controller", "expand-controller", VolumeExpander),
    Descriptor("ephemeral-volume-controller", "ephemeral-volume-controller", EphemeralVolumes),
    Descriptor("local-path-provisioner-controller", "local-path-provisioner", LocalPathProvisioner),
    Descriptor("persistentvolumeclaim-protection-controller", "pvc-protection-controller", ClaimProtection),
    Descriptor("persistentvolume-protection-controller", "pv-protection-controller", VolumeProtection),
    Descriptor("serviceaccount-token-controller", "", ServiceAccountTokens, lambda c: c.token_key is not None),
    Descriptor(
        "legacy-serviceaccount-token-cleaner-controller", "legacy-service-account-token-cleaner", LegacyTokenCleaner
    ),
    Descriptor("certificatesigningrequest-approving-controller", "certificate-controller", CertificateApprover),
    Descriptor(
        "certificatesigningrequest-signing-controller",
        "certificate-controller",
        CertificateSigner,
        lambda c: bool(c.signing),
    ),
    Descriptor("certificatesigningrequest-cleaner-controller", "certificate-controller", CertificateCleaner),
    Descriptor("bootstrap-signer-controller", "bootstrap-signer", BootstrapSigner, by_default=False),
    Descriptor("token-cleaner-controller", "token-cleaner", TokenCleaner, by_default=False),
    Descriptor("pod-garbage-collector-controller", "pod-garbage-collector", PodGarbageCollector),
    Descriptor("garbage-collector-controller", "generic-garbage-collector", GarbageCollector),
)


def enabled(config: ControllersConfig) -> list[Descriptor]:
    """Return the controllers that the configuration asks for and makes possible, in order."""
    return [d for d in DESCRIPTORS if d.possible(config) and config.enabled(d.name, by_default=d.by_default)]
