"""Calls to an etcd cluster: several endpoints, TLS, deadlines, and gRPC's errors turned into the store's.

The one rule about writes: an error is Unavailable only if etcd certainly has not applied the request (it never left, or
etcd says so); everything else is OutcomeUnknown.
"""

import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from apimachinery.kit import protowire

from .etcdv3 import rpc_pb2 as rpc
from .grpc_call import Code, RpcError
from .grpc_channel import Channel
from .interface import Compacted, FutureRevision, OutcomeUnknown, StorageError, Unavailable

log = logging.getLogger(__name__)

M = TypeVar("M")

# Seconds a call may take.
CALL_TIMEOUT = 10.0

# What etcd says of itself begins so; gRPC's own failures do not.
_ETCD = "etcdserver: "

# Texts of server/etcdserver/api/v3rpc/rpctypes/error.go that say that a write has not been applied.
_NOT_APPLIED = (
    "etcdserver: too many requests",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: no leader",
    "etcdserver: requested lease not found",
)

# Asks a member that has lost its leader to refuse instead of serving what it last knew.
_REQUIRE_LEADER = {"hasleader": "true"}


@dataclass(frozen=True)
class EtcdTls:
    """Paths of the PEM files; kubeadm's are pki/etcd/ca.crt and pki/apiserver-etcd-client.{crt,key}."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


class EtcdClient:
    """One channel per endpoint; calls go to the last that answered and move on when one does not."""

    def __init__(self, endpoints: Sequence[str], tls: EtcdTls | None, timeout: float = CALL_TIMEOUT) -> None:
        if not endpoints:
            raise ValueError("etcd needs at least one endpoint")
        self._timeout = timeout
        self._endpoints = tuple(endpoints)
        self._channels = [_channel(endpoint, tls) for endpoint in endpoints]
        self._preferred = 0

    async def range(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        """Reads. Raises Compacted, FutureRevision, Unavailable."""
        return await self._call("KV/Range", request.SerializeToString(), rpc.RangeResponse.FromString, write=False)

    async def txn(self, request: rpc.TxnRequest) -> rpc.TxnResponse:
        """Writes. Raises Unavailable, OutcomeUnknown."""
        return await self._call("KV/Txn", request.SerializeToString(), rpc.TxnResponse.FromString, write=True)

    async def compact(self, request: rpc.CompactionRequest) -> rpc.CompactionResponse:
        """Compacts; safe to repeat. Raises Compacted when that has been done already."""
        return await self._call(
            "KV/Compact", request.SerializeToString(), rpc.CompactionResponse.FromString, write=False
        )

    async def lease_grant(self, request: rpc.LeaseGrantRequest) -> rpc.LeaseGrantResponse:
        """A new lease; one granted twice by a repetition expires unused."""
        return await self._call(
            "Lease/LeaseGrant", request.SerializeToString(), rpc.LeaseGrantResponse.FromString, write=False
        )

    async def db_size(self) -> int:
        """The bytes of the member's database. Raises Unavailable."""
        return await self._call("Maintenance/Status", b"", _db_size, write=False)

    async def watch(self, start_revision: int) -> AsyncGenerator[rpc.WatchResponse, None]:
        """Events of the whole key space from `start_revision` on (0: from now on), as etcd batches them; the first
        response has none and tells in its header the revision of now. Ends by raising Compacted, or Unavailable when
        the stream breaks (the next call goes to the next endpoint)."""
        current = self._preferred
        create = rpc.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start_revision, prev_kv=True)
        request = rpc.WatchRequest(create_request=create).SerializeToString()
        try:
            answers = self._channels[current].stream("/etcdserverpb.Watch/Watch", request, _REQUIRE_LEADER)
            async with aclosing(answers):
                async for answer in answers:
                    response = rpc.WatchResponse.FromString(answer)
                    if response.canceled:
                        if response.compact_revision:
                            raise Compacted(start_revision, response.compact_revision)
                        raise Unavailable(f"etcd cancelled the watch: {response.cancel_reason}")
                    yield response
            raise Unavailable("etcd ended the watch")
        except RpcError as error:
            self._preferred = (current + 1) % len(self._channels)
            raise Unavailable(f"watch on {self._endpoints[current]}: {error.details}") from error

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels:
            await channel.close()

    async def _call(self, method: str, request: bytes, parse: Callable[[bytes], M], *, write: bool) -> M:
        failures, said = [], ""
        for _ in self._channels:
            current = self._preferred
            try:
                return parse(await self._channels[current].unary(f"/etcdserverpb.{method}", request, self._timeout))
            except RpcError as error:
                failure = classify(error, write=write)
                if not isinstance(failure, Unavailable):
                    raise failure from error
                failures.append(f"{self._endpoints[current]}: {failure}")
                said = failure.said
                if self._preferred == current:
                    self._preferred = (current + 1) % len(self._channels)
        nobody = Unavailable("; ".join(failures))
        nobody.said = said
        raise nobody


def _db_size(status: bytes) -> int:
    """dbSize of a StatusResponse, of which nothing else is wanted."""
    found = dict(protowire.fields(status)).get(3, 0)
    return found if isinstance(found, int) else 0


def classify(error: RpcError, *, write: bool) -> StorageError:
    """What an error of a call means to the store's caller."""
    failure = _classified(error, write=write)
    # Go's client repeats a read that a member without a leader refuses, and tells of a write at once.
    if error.details.startswith(_ETCD) and (write or error.code is not Code.UNAVAILABLE):
        failure.said = error.details
    return failure


def _classified(error: RpcError, *, write: bool) -> StorageError:
    code, details = error.code, error.details
    if code is Code.OUT_OF_RANGE:
        return FutureRevision(0, 0) if "future revision" in details else Compacted(0, 0)
    if code in (Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED):
        return StorageError(f"etcd refused the request: {details}")
    if not write or not error.processed or details in _NOT_APPLIED:
        return Unavailable(f"{code.name}: {details}")
    if code is Code.DEADLINE_EXCEEDED:
        return OutcomeUnknown("context deadline exceeded")
    return OutcomeUnknown(f"{code.name}: {details}")


def _channel(endpoint: str, tls: EtcdTls | None) -> Channel:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"an etcd endpoint is http(s)://host:port, not {endpoint!r}")
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(tls.ca) if tls else None)
        if tls and tls.cert:
            context.load_cert_chain(tls.cert, tls.key)
        context.set_alpn_protocols(["h2"])
    return Channel(parts.hostname, parts.port or 2379, context)
