"""Security contexts as the CRI wants them (pkg/kubelet/kuberuntime/security_context.go, pkg/securitycontext)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from nodeagent.cri import messages as cri
from nodeagent.kubelet import pods
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.pods import Container, Pod

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_MERGED = (
    "runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile",
)  # fmt: skip


def effective(pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """The container's security context with what it inherits from the pod."""
    of_pod = pod["spec"].get("securityContext") or {}
    inherited = {key: of_pod[key] for key in _MERGED if of_pod.get(key) is not None}
    own = {key: setting for key, setting in (container.get("securityContext") or {}).items() if setting is not None}
    return {**inherited, **own}


def namespace_options(pod: Mapping[str, Any], target_id: str = "") -> cri.NamespaceOption:
    """Which namespaces are the node's, the pod's or the container's own. target_id: of an ephemeral container."""
    spec = pod["spec"]
    if spec.get("hostPID"):
        pid = cri.NODE
    elif target_id:
        pid = cri.TARGET
    else:
        pid = cri.POD if spec.get("shareProcessNamespace") else cri.CONTAINER
    return cri.NamespaceOption(
        network=cri.NODE if spec.get("hostNetwork") else cri.POD,
        pid=pid,
        ipc=cri.NODE if spec.get("hostIPC") else cri.POD,
        target_id=target_id if pid == cri.TARGET else "",
    )


def seccomp(context: Mapping[str, Any], profile_root: str, *, by_default: bool = False) -> cri.SecurityProfile:
    """The seccomp profile. by_default: RuntimeDefault for who asks for none (seccompDefault); otherwise Unconfined.

    Raises ConfigProblem for a Localhost profile without a name, or one that leads out of `profile_root`.
    """
    asked = context.get("seccompProfile") or {}
    kind = asked.get("type") or ("RuntimeDefault" if by_default else "Unconfined")
    if context.get("privileged") or kind == "Unconfined":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)
    if kind == "RuntimeDefault":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
    name = asked.get("localhostProfile") or ""
    if not name:
        raise ConfigProblem("localhostProfile must be set if seccompProfile type is Localhost.")
    if name.startswith("/") or ".." in name.split("/"):
        raise ConfigProblem(f'localhostProfile "{name}" must be a path below the seccomp profile root')
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=f"{profile_root}/{name}")


_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_TYPES = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}


def apparmor(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """The AppArmor profile as the annotation spells it: the container's field, the pod's, else the annotation; "" for
    none. `localhost/NAME`, `runtime/default` or `unconfined`."""
    profile = effective(pod, container).get("appArmorProfile") or {}
    if profile.get("type") == "Localhost":
        return f"localhost/{profile.get('localhostProfile', '')}"
    if profile.get("type"):
        return _APPARMOR_TYPES[profile["type"]]
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(_APPARMOR_ANNOTATION + str(container.get("name", "")), ""))


def _apparmor_profile(text: str) -> cri.SecurityProfile:
    if text == "runtime/default":
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
    if text.startswith("localhost/"):
        name = text.removeprefix("localhost/")
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=name)
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)


def selinux(context: Mapping[str, Any]) -> cri.SELinuxOption | None:
    """The SELinux label asked for; the runtime makes one up for who asks for none."""
    options = context.get("seLinuxOptions")
    if not options:
        return None
    return cri.SELinuxOption(**{key: options.get(key) or "" for key in ("user", "role", "type", "level")})


def groups_policy(context: Mapping[str, Any]) -> Any:
    """Whether the image's own groups count as well (supplementalGroupsPolicy, KEP-3619)."""
    return cri.Strict if context.get("supplementalGroupsPolicy") == "Strict" else cri.Merge


def sandbox_context(pod: Mapping[str, Any], profile_root: str) -> cri.LinuxSandboxSecurityContext:
    """The sandbox's own security context: privileged when any container is."""
    context = pod["spec"].get("securityContext") or {}
    privileged = any((c.get("securityContext") or {}).get("privileged") for _, c in pods.all_containers(pod))
    result = cri.LinuxSandboxSecurityContext(
        namespace_options=namespace_options(pod),
        privileged=privileged,
        selinux_options=selinux(context),
        supplemental_groups=supplemental_groups(context),
        supplemental_groups_policy=groups_policy(context),
        # The pause process needs nothing: the default profile always, as upstream.
        seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
    )
    if privileged:
        result.seccomp.CopyFrom(cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined))
    if context.get("runAsUser") is not None:
        result.run_as_user.value = int(context["runAsUser"])
    if context.get("runAsGroup") is not None and context.get("runAsUser") is not None:
        result.run_as_group.value = int(context["runAsGroup"])
    return result


def supplemental_groups(context: Mapping[str, Any]) -> list[int]:
    groups = [int(group) for group in context.get("supplementalGroups") or ()]
    if context.get("fsGroup") is not None:
        groups.append(int(context["fsGroup"]))
    return groups


def container_context(
    pod: Pod,
    container: Container,
    image: cri.Image | None,
    profile_root: str,
    target_id: str = "",
    *,
    seccomp_default: bool = False,
    volume_groups: Collection[int] = (),
) -> cri.LinuxContainerSecurityContext:
    """A container's security context. image: what it runs, for its user. volume_groups: those that the pod's volumes
    are for. Raises ConfigProblem (runAsNonRoot)."""
    context = effective(pod, container)
    verify_non_root(context, pod, container, image)
    capabilities = context.get("capabilities") or {}
    privileged = bool(context.get("privileged"))
    of_pod = pod["spec"].get("securityContext") or {}
    groups, asked = supplemental_groups(of_pod), of_pod.get("supplementalGroups") or ()
    result = cri.LinuxContainerSecurityContext(
        capabilities=cri.Capability(
            add_capabilities=capabilities.get("add") or [], drop_capabilities=capabilities.get("drop") or []
        ),
        privileged=privileged,
        namespace_options=namespace_options(pod, target_id),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        supplemental_groups=[*groups, *sorted({*volume_groups} - {*asked})],
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        seccomp=seccomp(context, profile_root, by_default=seccomp_default),
        selinux_options=selinux(context),
        supplemental_groups_policy=groups_policy(of_pod),
    )
    confined = apparmor(pod, container)
    if confined:
        result.apparmor.CopyFrom(_apparmor_profile(confined))
        # Runtimes older than the message have the annotation's word.
        result.apparmor_profile = confined
    if not privileged and context.get("procMount") != "Unmasked":
        result.masked_paths.extend(MASKED_PATHS)
        result.readonly_paths.extend(READONLY_PATHS)
    if context.get("runAsUser") is not None:
        result.run_as_user.value = int(context["runAsUser"])
    elif image is not None and image.HasField("uid"):
        result.run_as_user.value = image.uid.value
    elif image is not None and image.username:
        result.run_as_username = image.username
    if context.get("runAsGroup") is not None:
        result.run_as_group.value = int(context["runAsGroup"])
        if not result.HasField("run_as_user") and not result.run_as_username:
            result.run_as_user.value = 0
    return result


def verify_non_root(
    context: Mapping[str, Any], pod: Mapping[str, Any], container: Mapping[str, Any], image: cri.Image | None
) -> None:
    """Refuse what would run as root although it must not. Raises ConfigProblem with upstream's message."""
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{pods.describe(pod)}", container: {container["name"]})'
    user = context.get("runAsUser")
    if user is not None:
        if int(user) == 0:
            raise ConfigProblem(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is not None and image.username:
        raise ConfigProblem(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if image is None or not image.HasField("uid") or image.uid.value == 0:
        raise ConfigProblem(f"container has runAsNonRoot and image will run as root {where}")
