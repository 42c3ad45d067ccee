"""The CRI's messages (runtime.v1 as of Kubernetes 1.32): what crictl sends and shows of them.

One line a message: `field:number:type`. Types: s string, b bool, i int32, I int64, u uint32, U uint64, y bytes, an
enumeration or a message by name; `*` repeated, `{s` a map of strings. A generated module would cost more time at every
start than a listing takes. tests/unit compares these lines with the published definition.
"""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "AttachRequest": "container_id:1:s stdin:2:b tty:3:b stdout:4:b stderr:5:b",
    "AttachResponse": "url:1:s",
    "AuthConfig": "username:1:s password:2:s auth:3:s server_address:4:s identity_token:5:s registry_token:6:s",
    "CDIDevice": "name:1:s",
    "Capability": "add_capabilities:1:*s drop_capabilities:2:*s add_ambient_capabilities:3:*s",
    "Container": (
        "id:1:s pod_sandbox_id:2:s metadata:3:ContainerMetadata image:4:ImageSpec image_ref:5:s "
        "state:6:ContainerState created_at:7:I labels:8:{s annotations:9:{s image_id:10:s"
    ),
    "ContainerAttributes": "id:1:s metadata:2:ContainerMetadata labels:3:{s annotations:4:{s",
    "ContainerConfig": (
        "metadata:1:ContainerMetadata image:2:ImageSpec command:3:*s args:4:*s working_dir:5:s "
        "envs:6:*KeyValue mounts:7:*Mount devices:8:*Device labels:9:{s annotations:10:{s log_path:11:s "
        "stdin:12:b stdin_once:13:b tty:14:b linux:15:LinuxContainerConfig CDI_devices:17:*CDIDevice"
    ),
    "ContainerEventResponse": (
        "container_id:1:s container_event_type:2:ContainerEventType created_at:3:I "
        "pod_sandbox_status:4:PodSandboxStatus containers_statuses:5:*ContainerStatus"
    ),
    "ContainerFilter": "id:1:s state:2:ContainerStateValue pod_sandbox_id:3:s label_selector:4:{s",
    "ContainerMetadata": "name:1:s attempt:2:u",
    "ContainerResources": "linux:1:LinuxContainerResources",
    "ContainerStateValue": "state:1:ContainerState",
    "ContainerStats": (
        "attributes:1:ContainerAttributes cpu:2:CpuUsage memory:3:MemoryUsage "
        "writable_layer:4:FilesystemUsage swap:5:SwapUsage"
    ),
    "ContainerStatsFilter": "id:1:s pod_sandbox_id:2:s label_selector:3:{s",
    "ContainerStatus": (
        "id:1:s metadata:2:ContainerMetadata state:3:ContainerState created_at:4:I started_at:5:I "
        "finished_at:6:I exit_code:7:i image:8:ImageSpec image_ref:9:s reason:10:s message:11:s labels:12:{s "
        "annotations:13:{s mounts:14:*Mount log_path:15:s resources:16:ContainerResources image_id:17:s "
        "user:18:ContainerUser"
    ),
    "ContainerStatusRequest": "container_id:1:s verbose:2:b",
    "ContainerStatusResponse": "status:1:ContainerStatus info:2:{s",
    "ContainerUser": "linux:1:LinuxContainerUser",
    "CpuUsage": "timestamp:1:I usage_core_nano_seconds:2:UInt64Value usage_nano_cores:3:UInt64Value",
    "CreateContainerRequest": "pod_sandbox_id:1:s config:2:ContainerConfig sandbox_config:3:PodSandboxConfig",
    "CreateContainerResponse": "container_id:1:s",
    "DNSConfig": "servers:1:*s searches:2:*s options:3:*s",
    "Device": "container_path:1:s host_path:2:s permissions:3:s",
    "ExecRequest": "container_id:1:s cmd:2:*s tty:3:b stdin:4:b stdout:5:b stderr:6:b",
    "ExecResponse": "url:1:s",
    "ExecSyncRequest": "container_id:1:s cmd:2:*s timeout:3:I",
    "ExecSyncResponse": "stdout:1:y stderr:2:y exit_code:3:i",
    "FilesystemIdentifier": "mountpoint:1:s",
    "FilesystemUsage": "timestamp:1:I fs_id:2:FilesystemIdentifier used_bytes:3:UInt64Value inodes_used:4:UInt64Value",
    "GetEventsRequest": "",
    "HugepageLimit": "page_size:1:s limit:2:U",
    "IDMapping": "host_id:1:u container_id:2:u length:3:u",
    "Image": (
        "id:1:s repo_tags:2:*s repo_digests:3:*s size:4:U uid:5:Int64Value username:6:s spec:7:ImageSpec pinned:8:b"
    ),
    "ImageFilter": "image:1:ImageSpec",
    "ImageFsInfoRequest": "",
    "ImageFsInfoResponse": "image_filesystems:1:*FilesystemUsage container_filesystems:2:*FilesystemUsage",
    "ImageSpec": "image:1:s annotations:2:{s user_specified_image:18:s runtime_handler:19:s",
    "ImageStatusRequest": "image:1:ImageSpec verbose:2:b",
    "ImageStatusResponse": "image:1:Image info:2:{s",
    "Int64Value": "value:1:I",
    "KeyValue": "key:1:s value:2:s",
    "LinuxContainerConfig": "resources:1:LinuxContainerResources security_context:2:LinuxContainerSecurityContext",
    "LinuxContainerResources": (
        "cpu_period:1:I cpu_quota:2:I cpu_shares:3:I memory_limit_in_bytes:4:I oom_score_adj:5:I "
        "cpuset_cpus:6:s cpuset_mems:7:s hugepage_limits:8:*HugepageLimit unified:9:{s "
        "memory_swap_limit_in_bytes:10:I"
    ),
    "LinuxContainerSecurityContext": (
        "capabilities:1:Capability privileged:2:b namespace_options:3:NamespaceOption "
        "selinux_options:4:SELinuxOption run_as_user:5:Int64Value run_as_group:12:Int64Value "
        "run_as_username:6:s readonly_rootfs:7:b supplemental_groups:8:*I "
        "supplemental_groups_policy:17:SupplementalGroupsPolicy no_new_privs:11:b masked_paths:13:*s "
        "readonly_paths:14:*s seccomp:15:SecurityProfile apparmor:16:SecurityProfile apparmor_profile:9:s "
        "seccomp_profile_path:10:s"
    ),
    "LinuxContainerUser": "uid:1:I gid:2:I supplemental_groups:3:*I",
    "LinuxPodSandboxConfig": (
        "cgroup_parent:1:s security_context:2:LinuxSandboxSecurityContext sysctls:3:{s "
        "overhead:4:LinuxContainerResources resources:5:LinuxContainerResources"
    ),
    "LinuxPodSandboxStats": (
        "cpu:1:CpuUsage memory:2:MemoryUsage network:3:NetworkUsage process:4:ProcessUsage containers:5:*ContainerStats"
    ),
    "LinuxPodSandboxStatus": "namespaces:1:Namespace",
    "LinuxRuntimeConfiguration": "cgroup_driver:1:CgroupDriver",
    "LinuxSandboxSecurityContext": (
        "namespace_options:1:NamespaceOption selinux_options:2:SELinuxOption run_as_user:3:Int64Value "
        "run_as_group:8:Int64Value readonly_rootfs:4:b supplemental_groups:5:*I "
        "supplemental_groups_policy:11:SupplementalGroupsPolicy privileged:6:b seccomp:9:SecurityProfile "
        "apparmor:10:SecurityProfile seccomp_profile_path:7:s"
    ),
    "ListContainerStatsRequest": "filter:1:ContainerStatsFilter",
    "ListContainerStatsResponse": "stats:1:*ContainerStats",
    "ListContainersRequest": "filter:1:ContainerFilter",
    "ListContainersResponse": "containers:1:*Container",
    "ListImagesRequest": "filter:1:ImageFilter",
    "ListImagesResponse": "images:1:*Image",
    "ListPodSandboxRequest": "filter:1:PodSandboxFilter",
    "ListPodSandboxResponse": "items:1:*PodSandbox",
    "ListPodSandboxStatsRequest": "filter:1:PodSandboxStatsFilter",
    "ListPodSandboxStatsResponse": "stats:1:*PodSandboxStats",
    "MemoryUsage": (
        "timestamp:1:I working_set_bytes:2:UInt64Value available_bytes:3:UInt64Value "
        "usage_bytes:4:UInt64Value rss_bytes:5:UInt64Value page_faults:6:UInt64Value "
        "major_page_faults:7:UInt64Value"
    ),
    "Mount": (
        "container_path:1:s host_path:2:s readonly:3:b selinux_relabel:4:b propagation:5:MountPropagation "
        "uidMappings:6:*IDMapping gidMappings:7:*IDMapping recursive_read_only:8:b image:9:ImageSpec"
    ),
    "Namespace": "options:2:NamespaceOption",
    "NamespaceOption": (
        "network:1:NamespaceMode pid:2:NamespaceMode ipc:3:NamespaceMode target_id:4:s userns_options:5:UserNamespace"
    ),
    "NetworkConfig": "pod_cidr:1:s",
    "NetworkInterfaceUsage": (
        "name:1:s rx_bytes:2:UInt64Value rx_errors:3:UInt64Value tx_bytes:4:UInt64Value tx_errors:5:UInt64Value"
    ),
    "NetworkUsage": "timestamp:1:I default_interface:2:NetworkInterfaceUsage interfaces:3:*NetworkInterfaceUsage",
    "PodIP": "ip:1:s",
    "PodSandbox": (
        "id:1:s metadata:2:PodSandboxMetadata state:3:PodSandboxState created_at:4:I labels:5:{s "
        "annotations:6:{s runtime_handler:7:s"
    ),
    "PodSandboxAttributes": "id:1:s metadata:2:PodSandboxMetadata labels:3:{s annotations:4:{s",
    "PodSandboxConfig": (
        "metadata:1:PodSandboxMetadata hostname:2:s log_directory:3:s dns_config:4:DNSConfig "
        "port_mappings:5:*PortMapping labels:6:{s annotations:7:{s linux:8:LinuxPodSandboxConfig"
    ),
    "PodSandboxFilter": "id:1:s state:2:PodSandboxStateValue label_selector:3:{s",
    "PodSandboxMetadata": "name:1:s uid:2:s namespace:3:s attempt:4:u",
    "PodSandboxNetworkStatus": "ip:1:s additional_ips:2:*PodIP",
    "PodSandboxStateValue": "state:1:PodSandboxState",
    "PodSandboxStats": "attributes:1:PodSandboxAttributes linux:2:LinuxPodSandboxStats",
    "PodSandboxStatsFilter": "id:1:s label_selector:2:{s",
    "PodSandboxStatus": (
        "id:1:s metadata:2:PodSandboxMetadata state:3:PodSandboxState created_at:4:I "
        "network:5:PodSandboxNetworkStatus linux:6:LinuxPodSandboxStatus labels:7:{s annotations:8:{s "
        "runtime_handler:9:s"
    ),
    "PodSandboxStatusRequest": "pod_sandbox_id:1:s verbose:2:b",
    "PodSandboxStatusResponse": (
        "status:1:PodSandboxStatus info:2:{s containers_statuses:3:*ContainerStatus timestamp:4:I"
    ),
    "PortForwardRequest": "pod_sandbox_id:1:s port:2:*i",
    "PortForwardResponse": "url:1:s",
    "PortMapping": "protocol:1:Protocol container_port:2:i host_port:3:i host_ip:4:s",
    "ProcessUsage": "timestamp:1:I process_count:2:UInt64Value",
    "PullImageRequest": "image:1:ImageSpec auth:2:AuthConfig sandbox_config:3:PodSandboxConfig",
    "PullImageResponse": "image_ref:1:s",
    "RemoveContainerRequest": "container_id:1:s",
    "RemoveImageRequest": "image:1:ImageSpec",
    "RemovePodSandboxRequest": "pod_sandbox_id:1:s",
    "ReopenContainerLogRequest": "container_id:1:s",
    "RunPodSandboxRequest": "config:1:PodSandboxConfig runtime_handler:2:s",
    "RunPodSandboxResponse": "pod_sandbox_id:1:s",
    "RuntimeCondition": "type:1:s status:2:b reason:3:s message:4:s",
    "RuntimeConfig": "network_config:1:NetworkConfig",
    "RuntimeConfigRequest": "",
    "RuntimeConfigResponse": "linux:1:LinuxRuntimeConfiguration",
    "RuntimeFeatures": "supplemental_groups_policy:1:b",
    "RuntimeHandler": "name:1:s features:2:RuntimeHandlerFeatures",
    "RuntimeHandlerFeatures": "recursive_read_only_mounts:1:b user_namespaces:2:b",
    "RuntimeStatus": "conditions:1:*RuntimeCondition",
    "SELinuxOption": "user:1:s role:2:s type:3:s level:4:s",
    "SecurityProfile": "profile_type:1:ProfileType localhost_ref:2:s",
    "StartContainerRequest": "container_id:1:s",
    "StatusRequest": "verbose:1:b",
    "StatusResponse": "status:1:RuntimeStatus info:2:{s runtime_handlers:3:*RuntimeHandler features:4:RuntimeFeatures",
    "StopContainerRequest": "container_id:1:s timeout:2:I",
    "StopPodSandboxRequest": "pod_sandbox_id:1:s",
    "SwapUsage": "timestamp:1:I swap_available_bytes:2:UInt64Value swap_usage_bytes:3:UInt64Value",
    "UInt64Value": "value:1:U",
    "UpdateContainerResourcesRequest": "container_id:1:s linux:2:LinuxContainerResources annotations:4:{s",
    "UpdateRuntimeConfigRequest": "runtime_config:1:RuntimeConfig",
    "UserNamespace": "mode:1:NamespaceMode uids:2:*IDMapping gids:3:*IDMapping",
    "VersionRequest": "version:1:s",
    "VersionResponse": "version:1:s runtime_name:2:s runtime_version:3:s runtime_api_version:4:s",
}

# Enumeration → its names, from 0 on.
ENUMS: dict[str, tuple[str, ...]] = {
    "CgroupDriver": ("SYSTEMD", "CGROUPFS"),
    "ContainerEventType": (
        "CONTAINER_CREATED_EVENT",
        "CONTAINER_STARTED_EVENT",
        "CONTAINER_STOPPED_EVENT",
        "CONTAINER_DELETED_EVENT",
    ),
    "ContainerState": ("CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN"),
    "MountPropagation": ("PROPAGATION_PRIVATE", "PROPAGATION_HOST_TO_CONTAINER", "PROPAGATION_BIDIRECTIONAL"),
    "NamespaceMode": ("POD", "CONTAINER", "NODE", "TARGET"),
    "PodSandboxState": ("SANDBOX_READY", "SANDBOX_NOTREADY"),
    "ProfileType": ("RuntimeDefault", "Unconfined", "Localhost"),
    "Protocol": ("TCP", "UDP", "SCTP"),
    "SupplementalGroupsPolicy": ("Merge", "Strict"),
}
