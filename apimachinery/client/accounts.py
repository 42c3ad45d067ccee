"""Clients in the names of service accounts, one for each controller (controller-manager/pkg/clientbuilder).

An account's token is asked for when the first request in its name is to be sent; again when four fifths of its time are
over, and after the server refused it. An account that somebody deleted is made anew then. The connections are shared by
all accounts, and show no certificate: its identity would come before a token's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import replace
from types import TracebackType
from typing import Self

from apimachinery.api.catalogue import SERVICEACCOUNTS
from apimachinery.kit.clock import Clock
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found

from .config import ClientConfig
from .fenced import FencedClient
from .http import Connections
from .rest import Body, Client, Object

NAMESPACE = "kube-system"
LIFETIME = 3600
"""Seconds that a token is asked for."""
_USED = 0.8


class Accounts:
    """The clients of one component. Use as `async with`.

    root: who makes accounts and asks for their tokens. holds: whether the component may write, as for FencedClient.
    """

    def __init__(self, root: Client, program: str, holds: Callable[[], bool], clock: Clock) -> None:
        self._root, self._program, self._holds, self._clock = root, program, holds, clock
        config = root.config
        self._nobody = Client(ClientConfig(config.server, config.ca_data), program)
        self._clients: dict[str, AccountClient] = {}

    async def __aenter__(self) -> Self:
        await self._nobody.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nobody.__aexit__(kind, error, trace)

    async def make(self) -> None:
        """Create the accounts of the clients that are there already. Raises ApiError and ApiUnreachable."""
        found = await self._root.list(SERVICEACCOUNTS, NAMESPACE)
        there = {objects.name(account) for account in found["items"]}
        await asyncio.gather(*(make_account(self._root, name) for name in self._clients if name not in there))

    def client(self, name: str) -> Client:
        """The client of the account of this name in kube-system."""
        if name not in self._clients:
            token = _Token(self._root, name, self._clock)
            tail = f"/system:serviceaccount:{NAMESPACE}:{name}"
            self._clients[name] = AccountClient(self._nobody, token, self._program, self._holds, agent_tail=tail)
        return self._clients[name]


class AccountClient(FencedClient):
    """A client of one account, over connections that it borrows."""

    def __init__(
        self, nobody: Client, token: _Token, program: str, holds: Callable[[], bool], *, agent_tail: str
    ) -> None:
        super().__init__(nobody.config, program, holds, agent_tail=agent_tail)
        self._nobody, self._token = nobody, token

    def _opened(self) -> Connections:
        return self._nobody._opened()

    async def _sent(
        self, method: str, path: str, query: Mapping[str, str], body: Body | None, content_type: str
    ) -> bytes:
        token = self._token.held() or await self._token.fetched()
        if token != self.config.token:
            self.config = replace(self.config, token=token)
        try:
            return await super()._sent(method, path, query, body, content_type)
        except ApiError as error:
            if error.code == 401:  # its account was deleted, or the key that signed it is trusted no more
                self._token.forget(token)
            raise


class _Token:
    """The token of one account."""

    def __init__(self, root: Client, name: str, clock: Clock) -> None:
        self._root, self._name, self._clock = root, name, clock
        self._held: str | None = None
        self._until = 0.0
        self._fetching: asyncio.Task[str] | None = None

    def held(self) -> str | None:
        """The token, if there is one that need not be renewed."""
        return self._held if self._clock.monotonic() < self._until else None

    def forget(self, token: str) -> None:
        """It was refused."""
        if token == self._held:
            self._held = None

    async def fetched(self) -> str:
        """A new token. Raises ApiError and ApiUnreachable. Whoever asks meanwhile gets the same."""
        if self._fetching is None or self._fetching.done():
            # In a context of its own: it is no part of the work, or of the rehearsal, that first needs it.
            self._fetching = asyncio.create_task(self._fetch(), context=Context())
        return await asyncio.shield(self._fetching)

    async def _fetch(self) -> str:
        began = self._clock.monotonic()
        try:
            made = await self._request()
        except ApiError as error:
            if not is_not_found(error):
                raise
            await make_account(self._root, self._name)
            made = await self._request()
        self._held, self._until = made["status"]["token"], began + _USED * made["spec"]["expirationSeconds"]
        return self._held

    async def _request(self) -> Object:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": self._name, "namespace": NAMESPACE},
            "spec": {"audiences": [], "expirationSeconds": LIFETIME},
        }
        return await self._root.create_subresource(SERVICEACCOUNTS, self._name, "token", body, NAMESPACE)


async def make_account(client: Client, name: str) -> None:
    """Create the account of this name, unless it is there. Raises ApiError and ApiUnreachable."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
    try:
        await client.create(SERVICEACCOUNTS, account)
    except ApiError as error:
        if not is_already_exists(error):
            raise
