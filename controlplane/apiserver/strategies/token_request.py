"""serviceaccounts/token: a token bound to what the request names (KEP-1205)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from apimachinery.api.catalogue import NODES, PODS, SECRETS, Resource
from apimachinery.kit.clock import Clock
from apimachinery.kit.jwt import Signer
from apimachinery.meta import status, times
from apimachinery.meta.go_print import quoted
from apimachinery.meta.paths import Path, invalid
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.registry.body import read
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.metadata import place_in_namespace
from controlplane.apiserver.registry.registry import Registry

Object = dict[str, Any]

_MIN, _MAX = 600, 1 << 32  # seconds (ValidateTokenRequest)
_DEFAULT = 3600
# What a kubelet asks for is given a year, and the warning time is kept in a claim (ServiceAccountTokenMaxExpiration).
_EXTENDED, _WARN_AFTER = 365 * 24 * 3600, 3607
_BINDABLE: dict[str, Resource] = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}  # of the core group


class TokenRequests:
    """Issues service account tokens. longest: seconds that a token may be asked for, 0 for any; extend: whether what a
    kubelet asks for is given a year."""

    def __init__(
        self,
        registry: Registry,
        signer: Reloading[Signer],
        issuer: str,
        audiences: tuple[str, ...],
        clock: Clock,
        *,
        longest: int = 0,
        extend: bool = True,
    ) -> None:
        self._registry, self._signer, self._clock = registry, signer, clock
        self._issuer, self._audiences = issuer, audiences
        self._longest, self._extend = longest, extend

    async def create(self, call: Call, document: Any) -> Object:
        """The TokenRequest with its token. Raises ApiError 400, 404, 409, 422."""
        request = read(call, document, "authentication.k8s.io", "v1", "TokenRequest")
        place_in_namespace(call, request)
        name = request["metadata"].get("name")
        if name and name != call.name:
            told = "must match the service account name if specified"
            raise self._refuse([invalid(Path("metadata").child("name"), name, told)], call.name)
        collection = self._registry.of(call.resource)
        account = await collection.store.get(call.namespace, call.name)
        await collection.admission.admit(call, request, ("authentication.k8s.io", "v1", "TokenRequest"))
        spec = request.setdefault("spec", {})
        seconds = _DEFAULT if spec.get("expirationSeconds") is None else spec["expirationSeconds"]
        path = Path("spec").child("expirationSeconds")
        if seconds < _MIN:
            raise self._refuse([invalid(path, seconds, "may not specify a duration less than 10 minutes")])
        if seconds > _MAX:
            raise self._refuse([invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")])
        audiences = spec.get("audiences") or list(self._audiences)
        now = self._clock.now()
        meta = account["metadata"]
        bound: Object = {
            "namespace": call.namespace,
            "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
        }
        if reference := spec.get("boundObjectRef"):
            await self._bind(call, reference, bound)
        if 0 < self._longest < seconds:
            call.warn(f"requested expiration of {seconds} seconds shortened to {self._longest} seconds")
            seconds = self._longest
        lifetime = seconds
        if self._extend and "pod" in bound and seconds == _WARN_AFTER and self._are_ours(audiences):
            lifetime = _EXTENDED
            bound["warnafter"] = int(now.timestamp()) + _WARN_AFTER
        begun, identity = int(now.timestamp()), str(uuid.uuid4())
        call.annotate("authentication.kubernetes.io/issued-credential-id", f"JTI={identity}")
        claims = {
            "aud": audiences,
            "exp": begun + lifetime,
            "iat": begun,
            "iss": self._issuer,
            "jti": identity,
            "kubernetes.io": bound,
            "nbf": begun,
            "sub": f"system:serviceaccount:{call.namespace}:{call.name}",
        }
        spec["audiences"], spec["expirationSeconds"] = audiences, seconds
        spec.setdefault("boundObjectRef", None)
        # Also of a token that lives longer: who asked for the hour is to ask again within it.
        expires = times.rfc3339(now + timedelta(seconds=seconds))
        answered = {"token": self._signer.value.sign(claims), "expirationTimestamp": expires}
        where = {"name": call.name, "namespace": call.namespace, "creationTimestamp": times.rfc3339(now)}
        return {**request, "metadata": where, "spec": spec, "status": answered}

    async def _bind(self, call: Call, reference: Object, bound: Object) -> None:
        kind, name = str(reference.get("kind") or ""), str(reference.get("name") or "")
        group, _, version = str(reference.get("apiVersion") or "").rpartition("/")
        resource = _BINDABLE.get(kind) if not group else None
        if resource is None:
            raise status.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        namespace = call.namespace if resource.namespaced else ""
        found = await self._registry.of(resource).store.get(namespace, name)
        uid = found["metadata"]["uid"]
        if kind == "Pod":
            account = (found.get("spec") or {}).get("serviceAccountName")
            if account != call.name:
                raise status.bad_request(
                    f"cannot bind token for serviceaccount {quoted(call.name)} to pod running with different "
                    "serviceaccount name."
                )
        if reference.get("uid") and reference["uid"] != uid:
            raise status.conflict(
                kind,
                name,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if kind == "Pod":
            node = (found.get("spec") or {}).get("nodeName")
            if node:
                host = await self._registry.of(NODES).store.find("", node)
                bound["node"] = {"name": node, **({"uid": host["metadata"]["uid"]} if host else {})}
        bound[kind.lower()] = {"name": name, "uid": uid}

    def _are_ours(self, audiences: list[str]) -> bool:
        return set(audiences) <= set(self._audiences)

    def _refuse(self, problems: list[Any], name: str = "") -> status.ApiError:
        return status.invalid("TokenRequest.authentication.k8s.io", name, problems)
