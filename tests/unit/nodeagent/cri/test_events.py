"""Raw decoding of containerd's events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.kit.protowire import encode_strings, fields
from nodeagent.cri.errors import ContainerNotFound, RuntimeCallError, RuntimeUnreachable, error_for
from nodeagent.cri.events import TaskEvent, decode


def message(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2, len(data)]) + data


def envelope(topic: str, event: bytes) -> bytes:
    body = message(1, b"type.url") + message(2, event)
    return message(1, b"\x08\x01") + message(2, b"k8s.io") + message(3, topic.encode()) + message(4, body)


@pytest.mark.parametrize(
    ("topic", "event", "expected"),
    [
        ("/tasks/exit", message(1, b"c1") + message(2, b"c1") + b"\x18\x05", TaskEvent("exit", "c1", "c1")),
        ("/tasks/exit", message(1, b"c1") + message(2, b"x1"), TaskEvent("exit", "c1", "x1")),
        ("/tasks/start", message(1, b"c1") + b"\x10\x99\x03", TaskEvent("start", "c1", "")),
        ("/tasks/oom", message(1, b"c1"), TaskEvent("oom", "c1", "")),
        ("/containers/create", message(1, b"c1"), None),
        ("/tasks/exit", b"", None),
    ],
)
def test_decode(topic: str, event: bytes, expected: TaskEvent | None) -> None:
    assert decode(envelope(topic, event)) == expected


def test_an_exec_that_ended_is_not_the_container() -> None:
    assert not TaskEvent("exit", "c1", "x1").of_init and TaskEvent("exit", "c1", "c1").of_init


@given(st.binary(max_size=200))
def test_no_bytes_can_hurt(data: bytes) -> None:
    decode(data)


@given(st.lists(st.text(max_size=300), max_size=5))
def test_strings_come_back(values: list[str]) -> None:
    assert [value.decode() for _, value in fields(encode_strings(3, values)) if isinstance(value, bytes)] == values


def test_errors_by_code() -> None:
    assert isinstance(error_for("X", "NOT_FOUND", "m"), ContainerNotFound)
    assert isinstance(error_for("X", "UNAVAILABLE", "m"), RuntimeUnreachable)
    other = error_for("X", "FAILED_PRECONDITION", "m")
    assert type(other) is RuntimeCallError and str(other) == "rpc error: code = FailedPrecondition desc = m"
