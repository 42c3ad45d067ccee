"""The store on etcd, with the keys, revisions and leases of upstream's kube-apiserver. `interface.Storage` says what
the methods do; import this module only when etcd is used (it loads protobuf).

ONE watch over etcd's whole key space feeds every watch of this process (see hub.py): each revision of etcd is at least
one event of it, so progress needs no progress notifications, and forty resource types cost one stream.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.tasks import cancel_and_wait

from .etcd_client import EtcdClient, EtcdTls
from .etcd_leases import Leases
from .etcd_metrics import timed
from .etcd_probe import RevisionProbe
from .etcdv3 import kv_pb2 as kv
from .etcdv3 import rpc_pb2 as rpc
from .hub import HubWatch, WatchHub
from .interface import (
    Change,
    ChangeType,
    Compacted,
    FutureRevision,
    KeyExists,
    KeyMissing,
    ListPage,
    Revision,
    RevisionMismatch,
    StorageError,
    Stored,
    Unavailable,
)

log = logging.getLogger(__name__)

_RECONNECT_PERIOD = 0.2
_HISTORY_TIMEOUT = 10.0
_HISTORY_CHUNK = 10_000
# Read to learn the revision; need not exist.
_PROBE_KEY = b"/registry/health"


class EtcdStorage:
    """interface.Storage on an etcd cluster. Make it with `open`."""

    def __init__(
        self,
        client: EtcdClient,
        revision: Revision,
        responses: AsyncGenerator[rpc.WatchResponse, None],
        clock: Clock,
    ) -> None:
        """`responses`: a watch that gives everything after `revision`."""
        self._client = client
        self._clock = clock
        self._hub = WatchHub(revision)
        self._leases = Leases(self._grant, clock)
        self._probe = RevisionProbe(self._read_revision)
        self._closed = False
        self._feeder = asyncio.create_task(self._feed(responses))
        self._feeder.add_done_callback(self._feeder_ended)

    @classmethod
    async def open(
        cls, endpoints: Sequence[str], *, tls: EtcdTls | None = None, clock: Clock | None = None
    ) -> "EtcdStorage":
        """Connects to `endpoints` (http(s)://host:port). Raises Unavailable when none answers, ValueError for a
        malformed one, OSError for an unreadable PEM file."""
        client = EtcdClient(endpoints, tls)
        try:
            await client.range(rpc.RangeRequest(key=_PROBE_KEY, count_only=True))
            responses = client.watch(0)
            created = await anext(responses)
        except StorageError:
            await client.close()
            raise
        return cls(client, created.header.revision, responses, clock or SystemClock())

    async def create(self, key: str, value: bytes, ttl: int | None = None) -> Revision:
        put = rpc.RequestOp(request_put=await self._put(key, value, ttl))
        with timed("create", key):
            answer = await self._client.txn(rpc.TxnRequest(compare=[_at(key, 0)], success=[put]))
        if not answer.succeeded:
            raise KeyExists(key)
        return int(answer.header.revision)

    async def update(self, key: str, value: bytes, expected_revision: Revision, ttl: int | None = None) -> Revision:
        put = rpc.RequestOp(request_put=await self._put(key, value, ttl))
        with timed("update", key):
            return await self._swap(key, expected_revision, put)

    async def delete(self, key: str, expected_revision: Revision) -> Revision:
        delete = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))
        with timed("delete", key):
            return await self._swap(key, expected_revision, delete)

    async def get(self, key: str, *, revision: Revision = 0) -> Stored | None:
        with timed("get", key):
            answer = await self._range(rpc.RangeRequest(key=key.encode(), revision=revision))
        return _stored(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str, *, revision: Revision = 0, limit: int = 0, start_after: str = "") -> ListPage:
        start, end = _key_range(prefix, start_after)
        with timed("list", prefix):
            answer = await self._range(rpc.RangeRequest(key=start, range_end=end, limit=limit, revision=revision))
        items = [_stored(item) for item in answer.kvs]
        remaining = answer.count - len(items) if answer.more else 0
        return ListPage(items, revision or answer.header.revision, answer.more, remaining)

    async def _range(self, request: rpc.RangeRequest) -> rpc.RangeResponse:
        try:
            return await self._client.range(request)
        except Compacted as error:
            raise Compacted(request.revision, 0) from error
        except FutureRevision as error:
            raise FutureRevision(request.revision, self._hub.revision) from error

    def watch(self, prefix: str, from_revision: Revision) -> HubWatch:
        return HubWatch(self._hub, self._history, prefix, from_revision)

    async def current_revision(self) -> Revision:
        return await self._probe()

    @property
    def seen_revision(self) -> Revision:
        return self._hub.revision

    async def _read_revision(self) -> Revision:
        answer = await self._client.range(rpc.RangeRequest(key=_PROBE_KEY, count_only=True))
        return int(answer.header.revision)

    async def compact(self, revision: Revision) -> None:
        try:
            await self._client.compact(rpc.CompactionRequest(revision=revision))
        except Compacted:
            return
        except FutureRevision as error:
            raise FutureRevision(revision, self._hub.revision) from error

    async def healthy(self) -> None:
        await self.current_revision()

    async def size(self) -> int:
        return await self._client.db_size()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await cancel_and_wait(self._feeder)
        await self._client.close()

    async def _put(self, key: str, value: bytes, ttl: int | None) -> rpc.PutRequest:
        lease = 0 if ttl is None else await self._leases.lease_for(ttl)
        return rpc.PutRequest(key=key.encode(), value=value, lease=lease)

    async def _grant(self, ttl: int) -> int:
        return int((await self._client.lease_grant(rpc.LeaseGrantRequest(TTL=ttl))).ID)

    async def _swap(self, key: str, expected: Revision, write: rpc.RequestOp) -> Revision:
        read = rpc.RequestOp(request_range=rpc.RangeRequest(key=key.encode()))
        answer = await self._client.txn(rpc.TxnRequest(compare=[_at(key, expected)], success=[write], failure=[read]))
        if answer.succeeded:
            return int(answer.header.revision)
        found = answer.responses[0].response_range.kvs
        if not found:
            raise KeyMissing(key)
        raise RevisionMismatch(key, expected, _stored(found[0]))

    async def _feed(self, responses: AsyncGenerator[rpc.WatchResponse, None]) -> None:
        """Publishes every event, reconnecting where the last stream broke."""
        told: set[str] = set()  # why it broke: an etcd that is away would fill the log
        while True:
            try:
                async with aclosing(responses):
                    async for response in responses:
                        if told:
                            log.info("the watch on etcd goes on")
                            told.clear()
                        seen = self._hub.revision
                        changes = [change for change in map(_change, response.events) if change.revision > seen]
                        if changes:
                            self._hub.publish(changes, changes[-1].revision)
            except Compacted as error:
                log.error("etcd compacted changes that this process has not seen; all watches start anew")
                self._hub.reset(error, error.oldest)
            except Unavailable as error:
                if str(error) not in told:
                    log.warning("%s; reconnecting", error)
                    told.add(str(error))
                await self._clock.sleep(_RECONNECT_PERIOD)
            # From the last seen revision, not the one after it: etcd then refuses exactly when history that we have not
            # seen was compacted (it lets a watch begin AT the compacted revision, whose deletions are gone).
            responses = self._client.watch(max(self._hub.revision, 1))

    def _feeder_ended(self, feeder: asyncio.Task[None]) -> None:
        if not feeder.cancelled():
            log.critical("the watch on etcd failed", exc_info=feeder.exception())
        self._hub.fail(Unavailable("the store is closed"))

    async def _history(self, prefix: str, after: Revision, up_to: Revision) -> tuple[Sequence[Change], Revision]:
        """Reads a passing watch until it has gone by `up_to`, which was an event, so that this ends."""
        first = max(after, 1)
        if up_to <= first:
            return [], up_to
        found: list[Change] = []
        try:
            async with asyncio.timeout(_HISTORY_TIMEOUT), aclosing(self._client.watch(first)) as responses:
                async for response in responses:
                    changes = [_change(event) for event in response.events]
                    found.extend(
                        change
                        for change in changes
                        if after < change.revision <= up_to and change.key.startswith(prefix)
                    )
                    reached = changes[-1].revision if changes else after
                    if reached >= up_to or len(found) >= _HISTORY_CHUNK:
                        return found, min(reached, up_to)
        except TimeoutError:
            raise Unavailable(f"etcd gave no history between revisions {after} and {up_to}") from None
        raise Unavailable("etcd ended the watch")


def _at(key: str, revision: Revision) -> rpc.Compare:
    return rpc.Compare(key=key.encode(), target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)


def _stored(item: kv.KeyValue) -> Stored:
    return Stored(item.key.decode(), item.value, item.mod_revision)


def _change(event: kv.Event) -> Change:
    key, revision = event.kv.key.decode(errors="surrogateescape"), event.kv.mod_revision
    previous = event.prev_kv.value if event.HasField("prev_kv") else None
    if event.type == kv.Event.DELETE:
        return Change(ChangeType.DELETE, key, b"", previous, revision)
    if event.kv.create_revision == revision:
        return Change(ChangeType.CREATE, key, event.kv.value, None, revision)
    return Change(ChangeType.UPDATE, key, event.kv.value, previous, revision)


def _key_range(prefix: str, start_after: str) -> tuple[bytes, bytes]:
    start = start_after + "\0" if start_after and start_after >= prefix else prefix
    end = prefix[:-1].encode() + bytes([prefix.encode()[-1] + 1]) if prefix else b"\0"
    return start.encode() or b"\0", end
