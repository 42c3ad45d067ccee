"""The calls of a KMS v2 plug-in (k8s.io/kms/apis/v2, service v2.KeyManagementService), over gRPC on a unix socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from apimachinery.kit import protowire
from controlplane.apiserver.encryption.envelope import Source
from controlplane.apiserver.storage.grpc_call import Code, RpcError
from controlplane.apiserver.storage.grpc_channel import UnixChannel

_RETRY = 0.1  # seconds between two attempts to connect


class KmsError(Exception):
    """The plug-in did not do it; the text says why, as Go's gRPC would."""

    def __init__(self, code: Code, words: str) -> None:
        self.status = _go_name(code)
        super().__init__(f"rpc error: code = {self.status} desc = {words}")


def _go_name(code: Code) -> str:
    if code in (Code.OK, Code.CANCELLED):
        return "OK" if code is Code.OK else "Canceled"
    return "".join(each.capitalize() for each in code.name.split("_"))


class Status(Struct, frozen=True):
    """What a plug-in says of itself. healthz: "ok", or what is wrong; key_id: the key that it encrypts with now."""

    version: str
    healthz: str
    key_id: str


class KmsService:
    """endpoint: unix:///path, or unix:///@name for a socket without a file; timeout: seconds of a call, in which it
    waits for a plug-in that is not there yet, too; called: told of each, by method and status."""

    def __init__(self, endpoint: str, timeout: float, called: Callable[[str, str, float], None]) -> None:
        path = urlsplit(endpoint).path
        self._channel = UnixChannel(path[1:] if path.startswith("/@") else path)
        self._timeout, self._called = timeout, called

    async def status(self) -> Status:
        """Raises KmsError."""
        found = await self._call("Status", b"")
        return Status(*(_text(found, number) for number in (1, 2, 3)))

    async def encrypt(self, uid: str, plaintext: bytes) -> Source:
        """What the plug-in makes of a seed, unchecked. uid: for the plug-in's log. Raises KmsError."""
        found = await self._call("Encrypt", protowire.encode_bytes(1, plaintext) + _uid(uid))
        annotations = dict(_entry(each) for each in found.get(3, ()))
        return Source(_text(found, 2), _bytes(found, 1), annotations)

    async def decrypt(self, uid: str, source: Source) -> bytes:
        """The key or seed. Raises KmsError."""
        request = protowire.encode_bytes(1, source.encrypted) + _uid(uid)
        request += protowire.encode_bytes(3, source.key_id.encode()) + protowire.encode_map(4, source.annotations)
        return _bytes(await self._call("Decrypt", request), 1)

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def _call(self, method: str, request: bytes) -> dict[int, list[bytes]]:
        """The fields of the answer that have a length, by number."""
        path, began, status = f"/v2.KeyManagementService/{method}", time.monotonic(), _go_name(Code.OK)
        try:
            answer = await self._answer(path, request)
        except KmsError as error:
            status = error.status
            raise
        finally:
            self._called(path, status, time.monotonic() - began)
        found: dict[int, list[bytes]] = {}
        try:
            for number, value in protowire.fields(answer):
                if isinstance(value, bytes):
                    found.setdefault(number, []).append(value)
        except ValueError as error:
            raise _malformed(error) from None
        return found

    async def _answer(self, path: str, request: bytes) -> bytes:
        refusal = "context deadline exceeded"
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return await self._channel.unary(path, request, self._timeout)
                    except RpcError as error:
                        if error.processed:
                            raise KmsError(error.code, error.details) from None
                        refusal = f"latest balancer error: {error.details}"
                    await asyncio.sleep(_RETRY)
        except TimeoutError:
            raise KmsError(Code.DEADLINE_EXCEEDED, refusal) from None


def _uid(uid: str) -> bytes:
    return protowire.encode_bytes(2, uid.encode())


def _bytes(found: Mapping[int, list[bytes]], number: int) -> bytes:
    return found[number][-1] if number in found else b""


def _text(found: Mapping[int, list[bytes]], number: int) -> str:
    try:
        return _bytes(found, number).decode()
    except UnicodeDecodeError as error:
        raise _malformed(error) from None


def _entry(data: bytes) -> tuple[str, bytes]:
    try:
        return protowire.map_entry(data)
    except ValueError as error:
        raise _malformed(error) from None


def _malformed(error: ValueError) -> KmsError:
    return KmsError(Code.INTERNAL, f"grpc: failed to unmarshal the received message: {error}")
