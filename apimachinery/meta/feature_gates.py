"""The names of the feature gates that a 1.32 component knows, and which of them cannot be set any more.

Every component has one set of gates for all of them: a kubelet takes those of schedulers too. What a gate does, and
whether it is open when nothing is said, is the component's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from apimachinery.kit.config import boolean

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
    "CSIVolumeHealth", "CustomCPUCFSQuotaPeriod", "DisableAllocatorDualWrite", "DisableNodeKubeProxyVersion",
    "DRAAdminAccess", "DRAResourceClaimDeviceStatus", "DynamicResourceAllocation", "EventedPLEG", "ExecProbeTimeout",
    "ExternalServiceAccountTokenSigner", "GracefulNodeShutdown", "GracefulNodeShutdownBasedOnPodPriority",
    "HonorPVReclaimPolicy", "HPAScaleToZero", "ImageMaximumGCAge", "ImageVolume", "InformerResourceVersion",
    "InPlacePodVerticalScaling", "InPlacePodVerticalScalingAllocatedStatus", "InPlacePodVerticalScalingExclusiveCPUs",
    "InTreePluginPortworxUnregister", "JobBackoffLimitPerIndex", "JobManagedBy", "JobPodReplacementPolicy",
    "JobSuccessPolicy", "KMSv1", "KubeletCgroupDriverFromCRI", "KubeletCrashLoopBackOffMax", "KubeletFineGrainedAuthz",
    "KubeletInUserNamespace", "KubeletPodResourcesDynamicResources", "KubeletPodResourcesGet",
    "KubeletRegistrationGetOnExistsOnly", "KubeletSeparateDiskGC", "KubeletTracing",
    "LocalStorageCapacityIsolationFSQuotaMonitoring", "LoggingAlphaOptions", "LoggingBetaOptions",
    "MatchLabelKeysInPodAffinity", "MatchLabelKeysInPodTopologySpread", "MaxUnavailableStatefulSet", "MemoryQoS",
    "MultiCIDRServiceAllocator", "MutatingAdmissionPolicy", "NFTablesProxyMode",
    "NodeInclusionPolicyInPodTopologySpread", "NodeLogQuery", "NodeSwap", "OpenAPIEnums", "OrderedNamespaceDeletion",
    "PodAndContainerStatsFromCRI", "PodDeletionCost", "PodLevelResources", "PodLifecycleSleepAction",
    "PodLifecycleSleepActionAllowZero", "PodLogsQuerySplitStreams", "PodReadyToStartContainersCondition",
    "PortForwardWebsockets", "ProcMountType", "QOSReserved", "RecoverVolumeExpansionFailure", "RecursiveReadOnlyMounts",
    "RelaxedDNSSearchValidation", "RelaxedEnvironmentVariableValidation", "ReloadKubeletServerCertificateFile",
    "RemoteRequestHeaderUID", "ResilientWatchCacheInitialization", "ResourceHealthStatus",
    "RotateKubeletServerCertificate", "RuntimeClassInImageCriAPI", "SchedulerAsyncPreemption", "SchedulerQueueingHints",
    "SELinuxChangePolicy", "SELinuxMount", "SELinuxMountReadWriteOncePod", "SeparateCacheWatchRPC",
    "SeparateTaintEvictionController", "ServiceAccountNodeAudienceRestriction", "ServiceAccountTokenNodeBinding",
    "ServiceTrafficDistribution", "SidecarContainers", "StorageNamespaceIndex", "StorageVersionAPI",
    "StorageVersionHash", "StorageVersionMigrator", "StructuredAuthenticationConfiguration", "SupplementalGroupsPolicy",
    "SystemdWatchdog", "TopologyAwareHints", "TopologyManagerPolicyAlphaOptions", "TopologyManagerPolicyBetaOptions",
    "TopologyManagerPolicyOptions", "TranslateStreamCloseWebsocketRequests", "UnauthenticatedHTTP2DOSMitigation",
    "UnknownVersionInteroperabilityProxy", "UserNamespacesPodSecurityStandards", "UserNamespacesSupport",
    "VolumeAttributesClass", "VolumeCapacityPriority", "WatchCacheInitializationPostStartHook",
    "WatchFromStorageWithoutResourceVersion", "WatchList", "WatchListClient", "WindowsCPUAndMemoryAffinity",
    "WindowsGracefulNodeShutdown", "WindowsHostNetwork", "WinDSR", "WinOverlay",
))  # fmt: skip

_KNOWN = _OTHERS | _LOCKED | _LOCKED_OFF


def parse(text: str) -> dict[str, bool]:
    """`Gate=true,…`, as flags spell it. Raises ValueError with upstream's words (component-base's featuregate)."""
    result = {}
    for part in filter(None, text.split(",")):
        key, sign, setting = part.partition("=")
        if not sign:
            raise ValueError(f"missing bool value for {key}")
        try:
            result[key.strip()] = boolean(setting.strip())
        except ValueError as error:
            raise ValueError(f"invalid value of {key.strip()}={setting.strip()}, err: {error}") from None
    return result


def refusals(asked: Mapping[str, bool]) -> Iterator[str]:
    """Upstream's sentence (component-base's featuregate) for every gate that cannot be set so."""
    for gate, on in asked.items():
        if gate not in _KNOWN:
            yield f"unrecognized feature gate: {gate}"
        elif gate in _LOCKED and not on:
            yield f"cannot set feature gate {gate} to false, feature is locked to true"
        elif gate in _LOCKED_OFF and on:
            yield f"cannot set feature gate {gate} to true, feature is locked to false"


def open_to_choice(gate: str) -> bool:
    """Whether it can be set both ways."""
    return gate in _KNOWN and gate not in _LOCKED and gate not in _LOCKED_OFF
