"""ServiceAccount: every pod has an account, and its token mounted as a projected volume (KEP-2799, KEP-1205)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from apimachinery.kit import rand
from apimachinery.kit.clock import Clock
from apimachinery.meta.pods import MIRROR
from controlplane.apiserver.admission import pod_secrets
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
ATTEMPTS, PAUSE_SECONDS = 10, (0.1, 0.2)
"""How often the default account is looked for, and the seconds in between."""


class ServiceAccount(Plugin):
    """plugin/pkg/admission/serviceaccount."""

    name = "ServiceAccount"
    about = frozenset({("", "pods")})

    def __init__(self, accounts: Lookup, clock: Clock) -> None:
        self._accounts, self._clock = accounts, clock

    async def mutate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for("", "pods"):
            return
        pod = review.new
        assert pod is not None
        spec = pod.setdefault("spec", {})
        if _is_mirror(pod):
            _check_mirror(review, spec)
            return
        name = spec.get("serviceAccountName") or DEFAULT
        if spec.get("serviceAccountName") != name or spec.get("serviceAccount") != name:
            review.tell(f"spec.serviceAccountName: {name}")
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(review, name)
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        if automount:
            _mount(review, spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(each) for each in account["imagePullSecrets"]]
            review.tell(*(f"+spec.imagePullSecrets[{each.get('name', '')}]" for each in account["imagePullSecrets"]))
        _check_secrets(review, account, pod_secrets.problem_of_pod)

    async def validate(self, review: Review) -> None:
        """Webhooks may have made another pod of it."""
        if not review.is_for("", "pods", "", "ephemeralcontainers"):
            return
        subresource, pod = review.call.subresource, review.new
        if review.operation != ("UPDATE" if subresource else "CREATE"):
            return
        assert pod is not None
        spec = pod["spec"]
        if not subresource and _is_mirror(pod):
            _check_mirror(review, spec)
            return
        name = spec.get("serviceAccountName") or ""
        if subresource and not name:
            raise review.forbidden(f"no service account specified for pod {review.call.namespace}/{review.name}")
        account = await self._account(review, name)
        check = pod_secrets.problem_of_ephemeral if subresource else pod_secrets.problem_of_pod
        _check_secrets(review, account, check)

    async def _account(self, review: Review, name: str) -> Object:
        """The account. The default one is waited for a moment: a controller makes it in every new namespace.

        Raises ApiError 403."""
        namespace = review.call.namespace
        pause = random.uniform(*PAUSE_SECONDS)
        for attempt in range(ATTEMPTS if name == DEFAULT else 1):
            if attempt:
                await self._clock.sleep(pause)
            if (account := await self._accounts.find(namespace, name)) is not None:
                return account
        raise review.forbidden(
            f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        )


def _is_mirror(pod: Object) -> bool:
    return (pod["metadata"].get("annotations") or {}).get(MIRROR) is not None


def _check_mirror(review: Review, spec: Object) -> None:
    if spec.get("serviceAccountName"):
        raise review.forbidden("a mirror pod may not reference service accounts")
    if pod_secrets.names_any(spec):
        raise review.forbidden("a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or []:
        if any("serviceAccountToken" in each for each in (volume.get("projected") or {}).get("sources") or []):
            raise review.forbidden("a mirror pod may not use ServiceAccountToken volume projections")


def _check_secrets(review: Review, account: Object, check: Callable[[Object, Object], str | None]) -> None:
    assert review.new is not None
    if pod_secrets.is_enforced(account) and (problem := check(account, review.new["spec"])) is not None:
        raise review.forbidden(problem)


def _mount(review: Review, spec: Object) -> None:
    volume_name = ""
    for volume in spec.get("volumes") or []:
        if volume.get("name", "").startswith("kube-api-access-"):
            volume_name = volume["name"]
    needed = False
    name = volume_name or "kube-api-access-" + rand.letters(5)
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
