"""Acting as someone else (`kubectl --as`): each name taken on is authorized for the one who really asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from apimachinery.meta import status
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
    words = name.split(":")
    if len(words) == 4 and name.startswith("system:serviceaccount:"):
        namespace, account = words[2], words[3]
        await authorize(Attributes(user, "impersonate", "", "v1", "serviceaccounts", namespace=namespace, name=account))
        groups = groups or (SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}")
    else:
        await authorize(Attributes(user, "impersonate", "", "v1", "users", name=name))
    for group in headers.getall("Impersonate-Group", []):
        await authorize(Attributes(user, "impersonate", "", "v1", "groups", name=group))
    review = "authentication.k8s.io"
    if uid:
        await authorize(Attributes(user, "impersonate", review, "v1", "uids", name=uid))
    for key, values in extra.items():
        for value in values:
            await authorize(Attributes(user, "impersonate", review, "v1", "userextras", subresource=key, name=value))
    if name == ANONYMOUS.name:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, uid, groups, extra)


def _asked(groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]) -> str:
    return " ".join([*(f"Group={group}" for group in groups), *([f"UID={uid}"] if uid else []), *extra])
