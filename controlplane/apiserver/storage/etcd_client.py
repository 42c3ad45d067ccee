"""Calls to an etcd cluster: several endpoints, TLS, deadlines, and gRPC's errors turned into the store's.

The one rule about writes: an error is Unavailable only if etcd certainly has not applied the request (it never left, or
etcd says so); everything else is OutcomeUnknown.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio

from .etcdv3 import rpc_pb2 as rpc
from .interface import Compacted, FutureRevision, OutcomeUnknown, StorageError, Unavailable

log = logging.getLogger(__name__)

M = TypeVar("M")

# Seconds a call may take, and the keepalive of idle connections, as upstream's storage/storagebackend/factory/etcd3.go.
CALL_TIMEOUT = 10.0
_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A restarted etcd is found again within a second; gRPC's own default goes up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name the least time that one attempt is given: TLS on an emulated machine takes over a second.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_retries", 0),
)

# Texts of server/etcdserver/api/v3rpc/rpctypes/error.go that say that a write has not been applied.
_NOT_APPLIED = (
    "etcdserver: too many requests",
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: no leader",
    "etcdserver: requested lease not found",
)
_NOT_SENT = ("failed to connect to all addresses", "DNS resolution failed", "empty address list")

# Asks a member that has lost its leader to refuse instead of serving what it last knew.
_REQUIRE_LEADER = (("hasleader", "true"),)


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

    async def watch(self, start_revision: int) -> AsyncGenerator[rpc.WatchResponse, None]:
        """Events of the whole key space from `start_revision` on (0: from now on), as etcd batches them; the first
        response has none and tells in its header the revision of now. Ends by raising Compacted, or Unavailable when
        the stream breaks (the next call goes to the next endpoint)."""
        current = self._preferred
        stream = self._channels[current].stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=rpc.WatchRequest.SerializeToString,
            response_deserializer=rpc.WatchResponse.FromString,
        )(metadata=_REQUIRE_LEADER)
        create = rpc.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=start_revision, prev_kv=True)
        try:
            await stream.write(rpc.WatchRequest(create_request=create))
            while (response := await stream.read()) is not grpc.aio.EOF:
                if response.canceled:
                    if response.compact_revision:
                        raise Compacted(start_revision, response.compact_revision)
                    raise Unavailable(f"etcd cancelled the watch: {response.cancel_reason}")
                yield response
            raise Unavailable("etcd ended the watch")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._preferred = (current + 1) % len(self._channels)
            raise Unavailable(f"watch on {self._endpoints[current]}: {_text(error)}") from error
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Closes all connections."""
        for channel in self._channels:
            await channel.close()

    async def _call(self, method: str, request: bytes, parse: Callable[[bytes], M], *, write: bool) -> M:
        failures = []
        for _ in self._channels:
            current = self._preferred
            call = self._channels[current].unary_unary(f"/etcdserverpb.{method}", response_deserializer=parse)
            try:
                return await call(request, timeout=self._timeout)  # type: ignore[no-any-return]
            except grpc.aio.AioRpcError as error:
                failure = classify(error.code(), error.details() or "", write=write)
                if not isinstance(failure, Unavailable):
                    raise failure from error
                failures.append(f"{self._endpoints[current]}: {failure}")
                if self._preferred == current:
                    self._preferred = (current + 1) % len(self._channels)
        raise Unavailable("; ".join(failures))


def classify(code: grpc.StatusCode, details: str, *, write: bool) -> StorageError:
    """What an error of a call means to the store's caller."""
    if code is grpc.StatusCode.OUT_OF_RANGE:
        return FutureRevision(0, 0) if "future revision" in details else Compacted(0, 0)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return StorageError(f"etcd refused the request: {details}")
    if not write or details.startswith(_NOT_SENT) or details in _NOT_APPLIED:
        return Unavailable(f"{code.name}: {details}")
    return OutcomeUnknown(f"{code.name}: {details}")


def _text(error: BaseException) -> str:
    return (error.details() or "") if isinstance(error, grpc.aio.AioRpcError) else str(error)


def _channel(endpoint: str, tls: EtcdTls | None) -> Any:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise ValueError(f"an etcd endpoint is http(s)://host:port, not {endpoint!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    target = f"{host}:{parts.port or 2379}"
    if parts.scheme == "http":
        return grpc.aio.insecure_channel(target, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        tls.ca.read_bytes() if tls else None,
        tls.key.read_bytes() if tls and tls.key else None,
        tls.cert.read_bytes() if tls and tls.cert else None,
    )
    return grpc.aio.secure_channel(target, credentials, _OPTIONS)
