"""Bytes on the wire: messages against the generated code, header compression against the RFC, calls against grpcio."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from cri_api.v1 import api_pb2
from google.protobuf import json_format

from nodeagent.crictl import codec
from nodeagent.crictl.rpc import CallFailed, Connection
from nodeagent.crictl.schema import ENUMS, MESSAGES

_TYPES = {9: "s", 8: "b", 5: "i", 3: "I", 13: "u", 4: "U", 12: "y"}
# Renamed since 1.32 without a change on the wire.
_NESTED = {"ProfileType": api_pb2.SecurityProfile.DESCRIPTOR.enum_types_by_name["ProfileType"]}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_table_is_what_is_published(name: str) -> None:
    published = api_pb2.DESCRIPTOR.message_types_by_name[name]
    for field, (number, kind, repeated) in codec.layout(name).by_name.items():
        found = published.fields_by_name[field]
        assert found.number == number
        if kind == "{s":
            assert found.message_type.GetOptions().map_entry
            continue
        assert found.is_repeated == repeated
        if found.enum_type is not None:
            assert found.enum_type.name == kind
        elif found.message_type is not None:
            assert found.message_type.name == kind
        else:
            assert _TYPES[found.type] == kind
        assert found.json_name == codec.camel(field)


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enumerations(name: str) -> None:
    published = _NESTED.get(name) or api_pb2.DESCRIPTOR.enum_types_by_name[name]
    assert [value.name for value in published.values][: len(ENUMS[name])] == list(ENUMS[name])


def test_a_message_survives_both_ways() -> None:
    content = {
        "id": "c1",
        "metadata": {"name": "web", "attempt": 3},
        "state": "CONTAINER_EXITED",
        "created_at": -5,
        "exit_code": -1,
        "labels": {"a": "b", "": "x"},
        "mounts": [{"container_path": "/ä", "propagation": "PROPAGATION_BIDIRECTIONAL"}],
    }
    data = codec.encode("ContainerStatus", content)
    theirs = api_pb2.ContainerStatus.FromString(data)
    assert (theirs.created_at, theirs.exit_code, theirs.state, dict(theirs.labels)) == (-5, -1, 2, content["labels"])
    back = codec.decode("ContainerStatus", theirs.SerializeToString())
    assert {key: back[key] for key in content if key not in ("mounts", "metadata")} == {
        key: value for key, value in content.items() if key not in ("mounts", "metadata")
    }
    assert back["mounts"][0]["container_path"] == "/ä" and back["mounts"][0]["readonly"] is False
    assert "image" not in back and back["reason"] == ""


def test_json_is_what_protojson_says() -> None:
    stats = api_pb2.ContainerStats(attributes=api_pb2.ContainerAttributes(id="x", labels={"k": "v"}))
    stats.cpu.timestamp = 7
    stats.cpu.usage_core_nano_seconds.value = 1 << 60
    ours = codec.to_json("ContainerStats", codec.decode("ContainerStats", stats.SerializeToString()))
    theirs = json_format.MessageToDict(stats)
    assert ours["cpu"] == theirs["cpu"] and ours["attributes"]["annotations"] == {}
    assert ours["attributes"]["labels"] == theirs["attributes"]["labels"]


def test_packed_numbers_and_what_is_unknown() -> None:
    theirs = api_pb2.LinuxContainerSecurityContext(supplemental_groups=[1, 300, -2], run_as_username="u")
    back = codec.decode("LinuxContainerSecurityContext", theirs.SerializeToString())
    assert back["supplemental_groups"] == [1, 300, -2]
    newer = api_pb2.ContainerStatus(id="x").SerializeToString() + b"\xfa\x07\x01!"
    assert codec.decode("ContainerStatus", newer)["id"] == "x"


def test_configuration_files_may_use_either_spelling() -> None:
    made = codec.from_json("PodSandboxConfig", {"logDirectory": "/l", "LINUX": {"cgroup_parent": "/c"}, "other": 1})
    assert made == {"log_directory": "/l", "linux": {"cgroup_parent": "/c"}}
    with pytest.raises(ValueError, match=r"PodSandboxMetadata\.attempt"):
        codec.from_json("PodSandboxConfig", {"metadata": {"attempt": "one"}})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A grpcio server that echoes, refuses, streams or says nothing."""
    never = threading.Event()

    def echo(request: bytes, _: grpc.ServicerContext) -> bytes:
        return request

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, 'no "ä" %\n here')
        return b""

    def hang(request: bytes, _: grpc.ServicerContext) -> bytes:
        never.wait(20)
        return b""

    def several(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        yield from (b"a", b"", b"c" * 100_000)

    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "Several": grpc.unary_stream_rpc_method_handler(several),
    }
    made = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    path = f"unix://{tmp_path}/s"
    made.add_insecure_port(path)
    made.start()
    yield path
    never.set()
    made.stop(0)


@pytest.mark.parametrize("size", [0, 1, 16384, 65535, 70_000, 3_000_000])
def test_calls_of_any_size(server: str, size: int) -> None:
    connection = Connection(server, 5)
    body = random.Random(size).randbytes(size)
    for _ in range(3):
        assert connection.call("/t.T/Echo", body, 20) == body
    connection.close()


def test_a_refusal_and_the_next_call(server: str) -> None:
    connection = Connection(server, 5)
    with pytest.raises(CallFailed) as refused:
        connection.call("/t.T/Refuse", b"", 5)
    assert str(refused.value) == 'rpc error: code = NotFound desc = no "ä" %\n here'
    with pytest.raises(CallFailed, match="code = Unimplemented"):
        connection.call("/t.T/Nothing", b"", 5)
    assert connection.call("/t.T/Echo", b"x", 5) == b"x"
    connection.close()


def test_a_stream_and_a_silence(server: str) -> None:
    connection = Connection(server, 5)
    assert list(connection.stream("/t.T/Several", b"")) == [b"a", b"", b"c" * 100_000]
    with pytest.raises(CallFailed, match="DeadlineExceeded"):
        connection.call("/t.T/Hang", b"", 0.2)
    connection.close()
