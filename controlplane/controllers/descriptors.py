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
from controlplane.controllers.volume_binder import VolumeBinder
from controlplane.controllers.volume_expand import VolumeExpander


def _always(config: ControllersConfig) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One controller: how it is called, how it is made, and what the configuration must hold for it to make sense."""

    name: str
    make: Callable[[Context], Runnable]
    possible: Callable[[ControllersConfig], bool] = _always
    by_default: bool = True


# The garbage collector is last: it shares the informers that others asked for in full.
DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("serviceaccount-controller", ServiceAccountController),
    Descriptor("root-ca-certificate-publisher-controller", RootCAPublisher, lambda c: c.root_ca is not None),
    Descriptor("namespace-controller", NamespaceController),
    Descriptor("resourcequota-controller", ResourceQuotaController),
    Descriptor("deployment-controller", DeploymentController),
    Descriptor("replicaset-controller", ReplicaSetController),
    Descriptor("replicationcontroller-controller", ReplicationControllerController),
    Descriptor("daemonset-controller", DaemonSetController),
    Descriptor("job-controller", JobController),
    Descriptor("cronjob-controller", CronJobController),
    Descriptor("statefulset-controller", StatefulSetController),
    Descriptor("horizontal-pod-autoscaler-controller", PodAutoscaler),
    Descriptor("disruption-controller", DisruptionController),
    Descriptor("endpointslice-controller", EndpointSliceController),
    Descriptor("endpoints-controller", EndpointsController),
    Descriptor("endpointslicemirroring-controller", EndpointSliceMirroring),
    Descriptor("node-ipam-controller", NodeIpamController, lambda c: c.cluster_cidr is not None),
    Descriptor("node-lifecycle-controller", NodeLifecycleController),
    Descriptor("taint-eviction-controller", TaintEvictionController),
    Descriptor("ttl-controller", TtlController),
    Descriptor("clusterrole-aggregation-controller", ClusterRoleAggregation),
    Descriptor("persistentvolume-binder-controller", VolumeBinder),
    Descriptor("persistentvolume-attach-detach-controller", AttachDetach),
    Descriptor("persistentvolume-expander-controller", VolumeExpander),
    Descriptor("ephemeral-volume-controller", EphemeralVolumes),
    Descriptor("local-path-provisioner-controller", LocalPathProvisioner),
    Descriptor("persistentvolumeclaim-protection-controller", ClaimProtection),
    Descriptor("persistentvolume-protection-controller", VolumeProtection),
    Descriptor("serviceaccount-token-controller", ServiceAccountTokens, lambda c: c.token_key is not None),
    Descriptor("legacy-serviceaccount-token-cleaner-controller", LegacyTokenCleaner),
    Descriptor("certificatesigningrequest-approving-controller", CertificateApprover),
    Descriptor("certificatesigningrequest-signing-controller", CertificateSigner, lambda c: bool(c.signing)),
    Descriptor("certificatesigningrequest-cleaner-controller", CertificateCleaner),
    Descriptor("bootstrap-signer-controller", BootstrapSigner, by_default=False),
    Descriptor("token-cleaner-controller", TokenCleaner, by_default=False),
    Descriptor("pod-garbage-collector-controller", PodGarbageCollector),
    Descriptor("garbage-collector-controller", GarbageCollector),
)


def enabled(config: ControllersConfig) -> list[Descriptor]:
    """Return the controllers that the configuration asks for and makes possible, in order."""
    return [d for d in DESCRIPTORS if d.possible(config) and config.enabled(d.name, by_default=d.by_default)]
