"""The order in which a request's proofs are looked at: front proxy, client certificate, bearer token, anonymous."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDictProxy

from apimachinery.kit.clock import Clock
from apimachinery.meta import status
from controlplane.apiserver.authn import certificates
from controlplane.apiserver.authn.service_accounts import ServiceAccountAuthenticator
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import ANONYMOUS, User, authenticated

log = logging.getLogger(__name__)

Headers = CIMultiDictProxy[str]


class FrontProxy:
    """--requestheader-*: a proxy that shows a certificate of its own authority names the user in headers."""

    def __init__(
        self,
        ca_name: str,
        allowed_names: tuple[str, ...],
        username_headers: tuple[str, ...],
        group_headers: tuple[str, ...],
        extra_prefixes: tuple[str, ...],
    ) -> None:
        self.ca_name, self._allowed = ca_name, allowed_names
        self._usernames, self._groups, self._extras = username_headers, group_headers, extra_prefixes

    def authenticate(self, cert: Mapping[str, Any], headers: Headers) -> User | None:
        """The user named in the headers when the certificate is a front proxy's; None otherwise."""
        if certificates.issuer_name(cert) != self.ca_name:
            return None
        if self._allowed and certificates.common_name(cert) not in self._allowed:
            return None
        name = next((headers[key] for key in self._usernames if headers.get(key)), "")
        if not name:
            return None
        groups = tuple(value for key in self._groups for value in headers.getall(key, []))
        return authenticated(name, groups, extra=_extra(headers, self._extras))


class Authenticator:
    """Every proof the server understands."""

    def __init__(
        self,
        service_accounts: ServiceAccountAuthenticator,
        clock: Clock,
        *,
        front_proxy: FrontProxy | None = None,
        anonymous: bool = True,
    ) -> None:
        self._service_accounts, self._clock = service_accounts, clock
        self._front_proxy, self._anonymous = front_proxy, anonymous

    async def authenticate(self, cert: Mapping[str, Any] | None, headers: Headers) -> User:
        """The user of a request. cert: the peer's verified certificate, as ssl's getpeercert gives it.

        Raises ApiError 401 for a proof that does not hold, and for none when anonymous requests are refused.
        """
        if cert:
            if not certificates.is_valid(cert, self._clock.now().timestamp()):
                raise status.unauthorized()
            if self._front_proxy is not None:
                if (user := self._front_proxy.authenticate(cert, headers)) is not None:
                    return user
                if certificates.issuer_name(cert) == self._front_proxy.ca_name:
                    raise status.unauthorized()
            if (user := certificates.user_of(cert)) is not None:
                return user
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            try:
                found = await self._service_accounts.authenticate(token.strip())
            except TokenError as error:
                log.info("a bearer token was refused: %s", error)
                raise status.unauthorized() from None
            if found is None:
                raise status.unauthorized()
            return found[0]
        if not self._anonymous:
            raise status.unauthorized()
        return ANONYMOUS


def _extra(headers: Headers, prefixes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    from urllib.parse import unquote

    found: dict[str, tuple[str, ...]] = {}
    for prefix in prefixes:
        for header in headers:
            if header.lower().startswith(prefix.lower()):
                key = unquote(header[len(prefix) :]).lower()
                found.setdefault(key, tuple(headers.getall(header)))
    return found
