"""Tokens in Secrets: a Secret of type kubernetes.io/service-account-token is given a token of the account it names
(pkg/controller/serviceaccount/tokens_controller.go). Such tokens do not expire; they end with their Secret.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from apimachinery.api.catalogue import SECRETS, SERVICEACCOUNTS
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.kit.jwt import Signer, load_private_key
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers.context import Context

Object = dict[str, Any]

NAME = "serviceaccount-token-controller"
TYPE = "kubernetes.io/service-account-token"
ACCOUNT, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_PREFIX = "kubernetes.io/serviceaccount/"


def claims(namespace: str, account: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """What the token in Secret `secret` says (LegacyClaims of pkg/serviceaccount)."""
    name = objects.name(account)
    return {
        "iss": "kubernetes/serviceaccount",
        f"{_PREFIX}namespace": namespace,
        f"{_PREFIX}secret.name": secret,
        f"{_PREFIX}service-account.name": name,
        f"{_PREFIX}service-account.uid": objects.uid(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def plan_secret(secret: Object, account: Object, signer: Signer, root_ca: bytes) -> Object | None:
    """The Secret with what it lacks, or None when it lacks nothing."""
    namespace = objects.namespace(secret)
    data = dict(secret.get("data") or {})
    if root_ca:
        data["ca.crt"] = base64.b64encode(root_ca).decode()
    if not data.get("namespace"):
        data["namespace"] = base64.b64encode(namespace.encode()).decode()
    if not data.get("token"):
        token = signer.sign(claims(namespace, account, objects.name(secret)))
        data["token"] = base64.b64encode(token.encode()).decode()
    annotations = {**objects.annotations(secret), ACCOUNT: objects.name(account), UID: objects.uid(account)}
    if data == secret.get("data") and annotations == objects.annotations(secret):
        return None
    return {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data}


class ServiceAccountTokens:
    """Reconciles the token Secrets by namespace and name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        assert context.config.token_key is not None  # the descriptor asks for it
        self._client, self._root_ca = context.client, context.config.root_ca or b""
        self._signer = Signer(load_private_key(context.config.token_key))
        secrets = context.informers.get(SECRETS, field_selector=f"type={TYPE}")
        accounts = context.informer(SERVICEACCOUNTS)
        self._secrets, self._accounts = secrets.lister, accounts.lister
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        secrets.add_handler(self._secret_changed, on_delete=self._secret_changed)
        accounts.add_handler(on_delete=self._account_gone)

    def _secret_changed(self, secret: Object) -> None:
        self._queue.add(objects.key(secret))

    def _account_gone(self, account: Object) -> None:
        for secret in self._secrets.list(objects.namespace(account)):
            if objects.annotations(secret).get(ACCOUNT) == objects.name(account):
                self._queue.add(objects.key(secret))

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Fill in the Secret, or delete it when its account is gone."""
        namespace, name = objects.split_key(key)
        secret = self._secrets.get(name, namespace)
        if secret is None:
            await self._forget(namespace, name)
        if secret is None or objects.is_deleting(secret):
            return None
        wanted = objects.annotations(secret)
        # Asked, not looked up: a Secret that comes with its account must not be taken for an orphan.
        try:
            account = await self._client.get(SERVICEACCOUNTS, wanted.get(ACCOUNT) or "", namespace)
        except ApiError as error:
            if not is_not_found(error):
                raise
            account = None
        try:
            if account is None or wanted.get(UID, objects.uid(account)) != objects.uid(account):
                await self._client.delete(SECRETS, name, namespace, uid=objects.uid(secret))
            elif (changed := plan_secret(secret, account, self._signer, self._root_ca)) is not None:
                await self._client.update(SECRETS, changed)
        except ApiError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise
        return None

    async def _forget(self, namespace: str, name: str) -> None:
        """No account lists a token that is gone."""
        for account in self._accounts.list(namespace):
            listed = account.get("secrets") or []
            kept = [each for each in listed if each.get("name") != name]
            if len(kept) == len(listed):
                continue
            try:
                await self._client.update(SERVICEACCOUNTS, {**account, "secrets": kept})
            except ApiError as error:
                if not is_not_found(error):
                    raise
