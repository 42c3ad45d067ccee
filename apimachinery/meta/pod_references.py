"""The objects that a pod names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]
Reference = tuple[str, str, str]
"""(plural, namespace, name) of what a pod or a volume needs."""

# The secret references of volumes that a pod spells out itself (VisitPodSecretNames).
_INLINE = (
    ("azureFile", "secretName"),
    ("csi", "nodePublishSecretRef"),
    *((source, "secretRef") for source in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")),
)


def named(pod: Object) -> Iterator[Reference]:
    """The secrets, config maps, claims and the account that a pod names."""
    namespace, spec = pod["metadata"].get("namespace") or "", pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name") or ""
    for container in (
        *(spec.get("initContainers") or ()),
        *(spec.get("containers") or ()),
        *(spec.get("ephemeralContainers") or ()),
    ):
        for source in container.get("envFrom") or ():
            yield from _sources(namespace, source, "configMapRef", "secretRef")
        for variable in container.get("env") or ():
            yield from _sources(namespace, variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")
    for volume in spec.get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            yield "persistentvolumeclaims", namespace, claim.get("claimName") or ""
        if "ephemeral" in volume:
            yield "persistentvolumeclaims", namespace, f"{pod['metadata']['name']}-{volume['name']}"
        if secret := volume.get("secret"):
            yield "secrets", namespace, secret.get("secretName") or ""
        if config := volume.get("configMap"):
            yield "configmaps", namespace, config.get("name") or ""
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _sources(namespace, source, "configMap", "secret")
        for source, field in _INLINE:
            held = volume.get(source) or {}
            if name := held.get(field) if source == "azureFile" else (held.get(field) or {}).get("name"):
                yield "secrets", namespace, name


def _sources(namespace: str, source: Object, config_map: str, secret: str) -> Iterator[Reference]:
    if found := source.get(config_map):
        yield "configmaps", namespace, found.get("name") or ""
    if found := source.get(secret):
        yield "secrets", namespace, found.get("name") or ""
