"""Reviews as the registry makes them, and lookups that really follow a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apimachinery.api.catalogue import PODS
from apimachinery.kit.tasks import cancel_and_wait
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.registry.store import ObjectStore

VERBS = {"CREATE": "create", "UPDATE": "update", "DELETE": "delete", "CONNECT": "create"}


async def allow(_):
    return Decision.ALLOW, ""


async def deny(_):
    return Decision.NO_OPINION, "nobody allows it"


def review(
    new, *, resource=PODS, operation="CREATE", old=None, user="bob", namespace="a", subresource="", authorize=allow,
    dry_run=False,
):  # fmt: skip
    where = namespace if resource.namespaced else ""
    name = ((new or old or {}).get("metadata") or {}).get("name", "") if operation != "CREATE" else ""
    call = Call(
        User(user), resource, VERBS[operation], where, name, authorize, subresource, dry_run=dry_run
    )  # fmt: skip
    return Review(call, operation, new, old)


def pod(name="p", *, metadata=None, **spec):
    meta = {"name": name, "namespace": "a", **(metadata or {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


async def put(storage, resource, obj):
    """Store an object as it stands."""
    return await ObjectStore(resource, storage).create(
        {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
    )


@asynccontextmanager
async def lookup(storage, resource) -> AsyncIterator[Lookup]:
    """A lookup that has seen what is stored."""
    found = Lookup(ObjectStore(resource, storage))
    task = asyncio.create_task(found.feed.run())
    try:
        async with asyncio.timeout(10):
            await found.feed.synced.wait()
        yield found
    finally:
        await cancel_and_wait(task)
