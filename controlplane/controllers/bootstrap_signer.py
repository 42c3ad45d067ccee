"""Bootstrap signer: cluster-info is signed with every bootstrap token, so that a joining machine that holds one can
trust what it reads without credentials (pkg/controller/bootstrap/bootstrapsigner.go)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from apimachinery.api.catalogue import CONFIGMAPS, SECRETS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers import bootstrap_tokens
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "bootstrap-signer-controller"
PUBLIC, CONFIG_MAP, KUBECONFIG = "kube-public", "cluster-info", "kubeconfig"
_SIGNATURE = "jws-kubeconfig-"


def signature(content: str, identity: str, key: str) -> str:
    """The detached JSON Web Signature (RFC 7515 appendix F) of `content`, HS256 with the token's secret."""
    head = _encoded(orjson.dumps({"alg": "HS256", "kid": identity}))
    signed = f"{head}.{_encoded(content.encode())}".encode()
    return f"{head}..{_encoded(hmac.new(key.encode(), signed, hashlib.sha256).digest())}"


def plan_signatures(config_map: Object, secrets: Iterable[Mapping[str, Any]], now: datetime) -> Object | None:
    """The ConfigMap with the signatures of the tokens that sign now and no others, or None when it has them."""
    held = config_map.get("data") or {}
    content = held.get(KUBECONFIG)
    if content is None:
        return None
    wanted = {key: value for key, value in held.items() if not key.startswith(_SIGNATURE)}
    for secret in secrets:
        if (token := bootstrap_tokens.for_signing(secret, now)) is not None:
            wanted[_SIGNATURE + token[0]] = signature(content, *token)
    return None if wanted == held else {**config_map, "data": wanted}


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class BootstrapSigner:
    """One key: the ConfigMap."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        secrets = context.informers.get(
            SECRETS, namespace=bootstrap_tokens.NAMESPACE, field_selector=bootstrap_tokens.SELECTOR
        )
        maps = context.informers.get(CONFIGMAPS, namespace=PUBLIC, field_selector=f"metadata.name={CONFIG_MAP}")
        self._secrets, self._maps = secrets.lister, maps.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        for informer in (secrets, maps):
            informer.add_handler(
                lambda _: self._queue.add(CONFIG_MAP),
                on_update=lambda *_: self._queue.add(CONFIG_MAP),
                on_delete=lambda _: self._queue.add(CONFIG_MAP),
            )

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Sign what is there; somebody else's change comes back here by itself."""
        config_map = self._maps.get(CONFIG_MAP, PUBLIC)
        if config_map is None:
            return None
        changed = plan_signatures(config_map, self._secrets.list(), self._clock.now())
        if changed is not None:
            try:
                await self._client.update(CONFIGMAPS, changed)
            except ApiError as error:
                if not is_conflict(error) and not is_not_found(error):
                    raise
        return None
