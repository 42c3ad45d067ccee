"""Acting as someone else (`kubectl --as`): each name taken on is authorized for the one who really asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from apimachinery.meta import names, status
from controlplane.apiserver.authn.authenticator import Headers
from controlplane.apiserver.authn.user import ANONYMOUS, AUTHENTICATED, SERVICE_ACCOUNTS, UNAUTHENTICATED, User
from controlplane.apiserver.authz.attributes import Attributes

_EXTRA = "impersonate-extra-"


async def impersonate(user: User, headers: Headers, authorize: Callable[[Attributes], Awaitable[None]]) -> User:
    """The user to continue as: `user` when nobody else is named.

    authorize: raises ApiError 403 when `user` may not. Raises ApiError 400 for groups without a user.
    """
    name = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", []))
    uid = headers.get("Impersonate-Uid", "")
    extra = {
        unquote(key[len(_EXTRA) :].lower()): tuple(headers.getall(key))
        for key in headers
        if key.lower().startswith(_EXTRA)
    }
    if not name:
        if groups or uid or extra:
            raise status.bad_request(f"requested [{_asked(groups, uid, extra)}] without impersonating a user")
        return user
    namespace, account = _service_account(name)
    if account:
        await authorize(Attributes(user, "impersonate", "", "v1", "serviceaccounts", namespace=namespace, name=account))
        groups = groups or (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")
    else:
        await authorize(Attributes(user, "impersonate", "", "v1", "users", name=name))
    for group in headers.getall("Impersonate-Group", []):
        await authorize(Attributes(user, "impersonate", "", "v1", "groups", name=group))
    review = "authentication.k8s.io"
    for key, values in extra.items():
        for value in values:
            await authorize(Attributes(user, "impersonate", review, "v1", "userextras", subresource=key, name=value))
    if uid:
        await authorize(Attributes(user, "impersonate", review, "v1", "uids", name=uid))
    if name == ANONYMOUS.name:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, uid, groups, extra)


def _service_account(user: str) -> tuple[str, str]:
    """Namespace and name of the service account that a user's name is; twice "" for a name that none can have."""
    prefix, _, rest = user.partition(":serviceaccount:")
    namespace, _, name = rest.partition(":")
    if prefix != "system" or names.dns1123_label(namespace) or names.dns1123_subdomain(name):
        return "", ""
    return namespace, name


def _asked(groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]) -> str:
    return " ".join([*(f"Group={group}" for group in groups), *([f"UID={uid}"] if uid else []), *extra])
