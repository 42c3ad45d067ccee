"""ServiceAccount: every pod has an account, and its token mounted as a projected volume (KEP-2799, KEP-1205)."""

from __future__ import annotations

import secrets
from typing import Any

from apimachinery.meta import status
from apimachinery.meta.pods import MIRROR
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccount(Plugin):
    """plugin/pkg/admission/serviceaccount."""

    name = "ServiceAccount"
    about = frozenset({("", "pods")})

    def __init__(self, accounts: Lookup) -> None:
        self._accounts = accounts

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "pods"):
            return
        pod = review.new
        assert pod is not None
        spec = pod.setdefault("spec", {})
        if (pod["metadata"].get("annotations") or {}).get(MIRROR) is not None:
            _check_mirror(review, spec)
            return
        name = spec.get("serviceAccountName") or DEFAULT
        if spec.get("serviceAccountName") != name or spec.get("serviceAccount") != name:
            review.tell(f"spec.serviceAccountName: {name}")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        namespace = review.call.namespace
        account = await self._accounts.find(namespace, name)
        if account is None:
            detail = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise status.forbidden(review.call.resource, pod["metadata"].get("name", ""), detail)
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        if automount:
            _mount(review, spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]
            review.tell(*(f"+spec.imagePullSecrets[{each.get('name', '')}]" for each in account["imagePullSecrets"]))


def _check_mirror(review: Review, spec: Object) -> None:
    name = (review.new or {})["metadata"].get("name", "")
    if spec.get("serviceAccountName"):
        raise status.forbidden(review.call.resource, name, "a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or []:
        if "secret" in volume:
            raise status.forbidden(review.call.resource, name, "a mirror pod may not reference secrets")
        for source in (volume.get("projected") or {}).get("sources") or []:
            if "serviceAccountToken" in source:
                detail = "a mirror pod may not use ServiceAccountToken volume projections"
                raise status.forbidden(review.call.resource, name, detail)


def _mount(review: Review, spec: Object) -> None:
    volume_name = ""
    for volume in spec.get("volumes") or []:
        if volume.get("name", "").startswith("kube-api-access-"):
            volume_name = volume["name"]
    needed = False
    name = volume_name or "kube-api-access-" + "".join(secrets.choice(_ALPHABET) for _ in range(5))
    for section in ("initContainers", "containers"):
        for container in spec.get(section) or ():
            mounts = container.get("volumeMounts") or []
            if not any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                container["volumeMounts"] = [*mounts, {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}]
                review.tell(f"+spec.{section}[{container.get('name', '')}].volumeMounts[{name}]")
                needed = True
    if needed and not volume_name:
        spec["volumes"] = [*(spec.get("volumes") or []), token_volume(name)]
        review.tell(f"+spec.volumes[{name}]")


def token_volume(name: str) -> Object:
    """The projected volume with token, authority and namespace."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o644,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
        },
    }
