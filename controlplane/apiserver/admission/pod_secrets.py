"""Secrets that a pod's specification names, and those that its account lets it name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.kit.config import boolean

Object = Mapping[str, Any]

ENFORCED = "kubernetes.io/enforce-mountable-secrets"
"""The annotation of an account whose pods name no other Secrets than it lists."""

_KINDS = {"initContainers": "init container", "containers": "container", "ephemeralContainers": "ephemeral container"}
_VOLUMES_WITH_REFERENCES = ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")


def names_any(spec: Object) -> bool:
    """Whether a pod names a Secret anywhere (podutil.VisitPodSecretNames)."""
    if spec.get("imagePullSecrets") or any(_volume_names_any(each) for each in spec.get("volumes") or ()):
        return True
    return any(True for section in _KINDS for each in spec.get(section) or () for _ in _of_container(each))


def is_enforced(account: Object) -> bool:
    """Whether the account limits what Secrets its pods name."""
    try:
        return boolean(((account.get("metadata") or {}).get("annotations") or {}).get(ENFORCED) or "")
    except ValueError:
        return False


def problem_of_pod(account: Object, spec: Object) -> str | None:
    """The first Secret that a new pod may not name, in upstream's sentence."""
    listed = _names(account.get("secrets"))
    for volume in spec.get("volumes") or ():
        source = volume.get("secret")
        if source is not None and (secret := source.get("secretName") or "") not in listed:
            return f'volume with secret.secretName="{secret}" {_not_allowed(account)}'
    if problem := _problem_of_containers(account, spec, ("initContainers", "containers")):
        return problem
    pulling = _names(account.get("imagePullSecrets"))
    for position, each in enumerate(spec.get("imagePullSecrets") or ()):
        if (name := each.get("name") or "") not in pulling:
            called = account["metadata"]["name"]
            return (
                f'imagePullSecrets[{position}].name="{name}" is not allowed because service account {called} does not '
                "reference that imagePullSecret"
            )
    return None


def problem_of_ephemeral(account: Object, spec: Object) -> str | None:
    """The same of the ephemeral containers that a pod is given."""
    return _problem_of_containers(account, spec, ("ephemeralContainers",))


def _problem_of_containers(account: Object, spec: Object, sections: tuple[str, ...]) -> str | None:
    listed = _names(account.get("secrets"))
    for section in sections:
        for container in spec.get(section) or ():
            for where, secret in _of_container(container):
                if secret not in listed:
                    called = f"{_KINDS[section]} {container.get('name', '')} with {where}"
                    return f'{called} referencing secret.secretName="{secret}" {_not_allowed(account)}'
    return None


def _of_container(container: Object) -> Iterator[tuple[str, str]]:
    """Where in its environment a container names a Secret, and which."""
    for each in container.get("env") or ():
        reference = (each.get("valueFrom") or {}).get("secretKeyRef")
        if reference is not None:
            yield f"envVar {each.get('name', '')}", reference.get("name") or ""
    for each in container.get("envFrom") or ():
        if each.get("secretRef") is not None:
            yield "envFrom", each["secretRef"].get("name") or ""


def _volume_names_any(volume: Object) -> bool:
    if volume.get("secret") is not None or volume.get("azureFile") is not None:
        return True
    if any((volume.get(kind) or {}).get("secretRef") is not None for kind in _VOLUMES_WITH_REFERENCES):
        return True
    if (volume.get("csi") or {}).get("nodePublishSecretRef") is not None:
        return True
    return any("secret" in each for each in (volume.get("projected") or {}).get("sources") or ())


def _names(references: Any) -> set[str]:
    return {each.get("name") or "" for each in references or ()}


def _not_allowed(account: Object) -> str:
    return f"is not allowed because service account {account['metadata']['name']} does not reference that secret"
