"""A KMS v2 plug-in in the test's process: a real gRPC server on a unix socket, its messages read and written by
Google's protobuf, as a plug-in in any other language would. Its keys are in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import grpc
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STRING, _BYTES, _INT, _MESSAGE = 9, 12, 5, 11
_MAP = "map"
# k8s.io/kms/apis/v2/api.proto, and kmsv2/v2/api.proto of k8s.io/apiserver, whose enumeration is a number here.
_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "StatusRequest": {},
    "StatusResponse": {"version": (1, _STRING), "healthz": (2, _STRING), "key_id": (3, _STRING)},
    "DecryptRequest": {
        "ciphertext": (1, _BYTES),
        "uid": (2, _STRING),
        "key_id": (3, _STRING),
        "annotations": (4, _MAP),
    },
    "DecryptResponse": {"plaintext": (1, _BYTES)},
    "EncryptRequest": {"plaintext": (1, _BYTES), "uid": (2, _STRING)},
    "EncryptResponse": {"ciphertext": (1, _BYTES), "key_id": (2, _STRING), "annotations": (3, _MAP)},
    "EncryptedObject": {
        "data": (1, _BYTES),
        "key_id": (2, _STRING),
        "source": (3, _BYTES),
        "annotations": (4, _MAP),
        "kind": (5, _INT),
    },
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="kms_v2.proto", package="v2", syntax="proto3")
    for name, members in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for member, (number, kind) in members.items():
            made = message.field.add(name=member, number=number, label=1)
            if kind != _MAP:
                made.type = kind
                continue
            entry = message.nested_type.add(name="AnnotationsEntry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_STRING, label=1)
            entry.field.add(name="value", number=2, type=_BYTES, label=1)
            made.type, made.label, made.type_name = _MESSAGE, 3, f".v2.{name}.AnnotationsEntry"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v2.{name}")) for name in _MESSAGES}


MESSAGES = _classes()


class KmsPlugin:
    """`key_id`: what it encrypts with; `refusals`: by method, the words with which it fails; `calls`: what came."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.key_id, self.healthz, self.version = "key-1", "ok", "v2"
        self.says_key_id = ""
        self.annotations = {"wrapped.example.com": b"\x00by"}
        self.refusals: dict[str, str] = {}
        self.calls: list[str] = []
        self._keys: dict[str, AESGCM] = {}
        self._server: grpc.Server | None = None

    @classmethod
    @contextmanager
    def serving(cls, directory: Path) -> Iterator[Self]:
        """One that listens on a socket in that folder."""
        found = cls(directory / "kms.sock")
        found.start()
        yield found
        found.stop()

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Listen; again after `stop`, with the same keys."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._answering(name, answer),
                MESSAGES[f"{name}Request"].FromString,
                MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name, answer in (("Status", self._status), ("Encrypt", self._encrypt), ("Decrypt", self._decrypt))
        }
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        handler = grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(self.endpoint)
        self._server.start()

    def stop(self) -> None:
        """Go away, with the socket. Idempotent."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None
            self.socket.unlink(missing_ok=True)

    def count(self, method: str) -> int:
        return self.calls.count(method)

    def _answering(self, name: str, answer: Any) -> Any:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(name)
            if name in self.refusals:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, self.refusals[name])
            return answer(request)

        return handle

    def _status(self, _: Any) -> Any:
        return MESSAGES["StatusResponse"](version=self.version, healthz=self.healthz, key_id=self.key_id)

    def _encrypt(self, request: Any) -> Any:
        assert request.uid
        nonce, key_id = os.urandom(12), self.says_key_id or self.key_id
        ciphertext = nonce + self._key(key_id).encrypt(nonce, request.plaintext, None)
        return MESSAGES["EncryptResponse"](ciphertext=ciphertext, key_id=key_id, annotations=self.annotations)

    def _decrypt(self, request: Any) -> Any:
        assert request.uid and dict(request.annotations) == self.annotations
        nonce, body = request.ciphertext[:12], request.ciphertext[12:]
        return MESSAGES["DecryptResponse"](plaintext=self._key(request.key_id).decrypt(nonce, body, None))

    def _key(self, key_id: str) -> AESGCM:
        return self._keys.setdefault(key_id, AESGCM(os.urandom(32)))
