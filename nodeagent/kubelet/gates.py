"""The feature gates that a 1.32 component knows: which can be set, which no more, and which change something here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Those that change something here, with their default in 1.32. All others are taken, change nothing, and are logged.
GATES: Mapping[str, bool] = {
    "CustomCPUCFSQuotaPeriod": False,
    "GracefulNodeShutdown": True,
    "GracefulNodeShutdownBasedOnPodPriority": True,
    "ImageMaximumGCAge": True,
    "KubeletCrashLoopBackOffMax": False,
    "KubeletFineGrainedAuthz": False,
    "MemoryQoS": False,
    "NodeLogQuery": False,
    "NodeSwap": True,
    "ProcMountType": False,
    "RotateKubeletServerCertificate": True,
    "UserNamespacesSupport": False,
}

# Generally available in 1.32, and locked to true.
_LOCKED = frozenset((
    "AdmissionWebhookMatchConditions", "AggregatedDiscoveryEndpoint", "APIListChunking", "AppArmor", "AppArmorFields",
    "ComponentSLIs", "CPUManager", "CronJobsScheduledAnnotation", "CustomResourceFieldSelectors",
    "DevicePluginCDIDevices", "DisableCloudProviders", "DisableKubeletCloudCredentialProviders",
    "EfficientWatchResumption", "ElasticIndexedJob", "HPAContainerMetrics", "JobPodFailurePolicy",
    "KubeProxyDrainingTerminatingNodes", "LoadBalancerIPMode", "LogarithmicScaleDown", "MemoryManager",
    "PDBUnhealthyPodEvictionPolicy", "PersistentVolumeLastPhaseTransitionTime", "PodDisruptionConditions",
    "PodHostIPs", "PodIndexLabel", "PodSchedulingReadiness", "RemainingItemCount", "RetryGenerateName",
    "ServiceAccountTokenJTI", "ServiceAccountTokenNodeBindingValidation", "ServiceAccountTokenPodNodeInfo",
    "SizeMemoryBackedVolumes", "StatefulSetAutoDeletePVC", "StatefulSetStartOrdinal", "StrictCostEnforcementForVAP",
    "StrictCostEnforcementForWebhooks", "StructuredAuthorizationConfiguration", "WatchBookmark",
    "ZeroLimitedNominalConcurrencyShares",
))  # fmt: skip
_LOCKED_OFF = frozenset(("AllowServiceLBStatusOnNonLB",))

# Every component has one set of gates for all of them: a kubelet takes those of schedulers too.
_OTHERS = frozenset((
    "AllAlpha", "AllBeta", "AllowDNSOnlyNodeCSR", "AllowInsecureKubeletCertificateSigningRequests",
    "AllowOverwriteTerminationGracePeriodSeconds", "AllowUnsafeMalformedObjectDeletion",
    "AnonymousAuthConfigurableEndpoints", "AnyVolumeDataSource", "APIResponseCompression", "APIServerIdentity",
    "APIServerTracing", "APIServingWithRoutine", "AuthorizeNodeWithSelectors", "AuthorizeWithSelectors",
    "BtreeWatchCache", "CBORServingAndStorage", "ClientsAllowCBOR", "ClientsPreferCBOR",
    "CloudControllerManagerWebhook", "ClusterTrustBundle", "ClusterTrustBundleProjection", "ComponentFlagz",
    "ComponentStatusz", "ConcurrentWatchObjectDecode", "ConsistentListFromCache", "ContainerCheckpoint",
    "ContextualLogging", "CoordinatedLeaderElection", "CPUManagerPolicyAlphaOptions", "CPUManagerPolicyBetaOptions",
    "CPUManagerPolicyOptions", "CRDValidationRatcheting", "CrossNamespaceVolumeDataSource", "CSIMigrationPortworx",
    "CSIVolumeHealth", "DisableAllocatorDualWrite", "DisableNodeKubeProxyVersion", "DRAAdminAccess",
    "DRAResourceClaimDeviceStatus", "DynamicResourceAllocation", "EventedPLEG", "ExecProbeTimeout",
    "ExternalServiceAccountTokenSigner", "HonorPVReclaimPolicy", "HPAScaleToZero", "ImageVolume",
    "InformerResourceVersion", "InPlacePodVerticalScaling", "InPlacePodVerticalScalingAllocatedStatus",
    "InPlacePodVerticalScalingExclusiveCPUs", "InTreePluginPortworxUnregister", "JobBackoffLimitPerIndex",
    "JobManagedBy", "JobPodReplacementPolicy", "JobSuccessPolicy", "KMSv1", "KubeletCgroupDriverFromCRI",
    "KubeletInUserNamespace", "KubeletPodResourcesDynamicResources", "KubeletPodResourcesGet",
    "KubeletRegistrationGetOnExistsOnly", "KubeletSeparateDiskGC", "KubeletTracing",
    "LocalStorageCapacityIsolationFSQuotaMonitoring", "LoggingAlphaOptions", "LoggingBetaOptions",
    "MatchLabelKeysInPodAffinity", "MatchLabelKeysInPodTopologySpread", "MaxUnavailableStatefulSet",
    "MultiCIDRServiceAllocator", "MutatingAdmissionPolicy", "NFTablesProxyMode",
    "NodeInclusionPolicyInPodTopologySpread", "OpenAPIEnums", "OrderedNamespaceDeletion",
    "PodAndContainerStatsFromCRI", "PodDeletionCost", "PodLevelResources", "PodLifecycleSleepAction",
    "PodLifecycleSleepActionAllowZero", "PodLogsQuerySplitStreams", "PodReadyToStartContainersCondition",
    "PortForwardWebsockets", "QOSReserved", "RecoverVolumeExpansionFailure", "RecursiveReadOnlyMounts",
    "RelaxedDNSSearchValidation", "RelaxedEnvironmentVariableValidation", "ReloadKubeletServerCertificateFile",
    "RemoteRequestHeaderUID", "ResilientWatchCacheInitialization", "ResourceHealthStatus",
    "RuntimeClassInImageCriAPI", "SchedulerAsyncPreemption", "SchedulerQueueingHints", "SELinuxChangePolicy",
    "SELinuxMount", "SELinuxMountReadWriteOncePod", "SeparateCacheWatchRPC", "SeparateTaintEvictionController",
    "ServiceAccountNodeAudienceRestriction", "ServiceAccountTokenNodeBinding", "ServiceTrafficDistribution",
    "SidecarContainers", "StorageNamespaceIndex", "StorageVersionAPI", "StorageVersionHash", "StorageVersionMigrator",
    "StructuredAuthenticationConfiguration", "SupplementalGroupsPolicy", "SystemdWatchdog", "TopologyAwareHints",
    "TopologyManagerPolicyAlphaOptions", "TopologyManagerPolicyBetaOptions", "TopologyManagerPolicyOptions",
    "TranslateStreamCloseWebsocketRequests", "UnauthenticatedHTTP2DOSMitigation",
    "UnknownVersionInteroperabilityProxy", "UserNamespacesPodSecurityStandards", "VolumeAttributesClass",
    "VolumeCapacityPriority", "WatchCacheInitializationPostStartHook", "WatchFromStorageWithoutResourceVersion",
    "WatchList", "WatchListClient", "WindowsCPUAndMemoryAffinity", "WindowsGracefulNodeShutdown",
    "WindowsHostNetwork", "WinDSR", "WinOverlay",
))  # fmt: skip

_KNOWN = _OTHERS | _LOCKED | _LOCKED_OFF | GATES.keys()


def resolve(asked: Mapping[str, bool]) -> dict[str, bool]:
    """The gates as they are with these set."""
    return {**GATES, **asked}


def refusals(asked: Mapping[str, bool]) -> Iterator[str]:
    """Upstream's sentence (component-base's featuregate) for every gate that cannot be set so."""
    for gate, on in asked.items():
        if gate not in _KNOWN:
            yield f"unrecognized feature gate: {gate}"
        elif gate in _LOCKED and not on:
            yield f"cannot set feature gate {gate} to false, feature is locked to true"
        elif gate in _LOCKED_OFF and on:
            yield f"cannot set feature gate {gate} to true, feature is locked to false"


def without_effect(asked: Mapping[str, bool]) -> list[str]:
    """Those that are set, and of which nothing here depends."""
    return sorted(asked.keys() & _OTHERS)
