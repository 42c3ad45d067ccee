"""What /metrics says of values at rest: which provider and key read and wrote what, and what went wrong."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import render
from controlplane.apiserver.encryption.configuration import build
from controlplane.apiserver.encryption.providers import Provider, Providers, Undecipherable
from controlplane.apiserver.storage.interface import Unwritable
from tests.kms_plugin import KmsPlugin

KEY = "/registry/secrets/default/a"
OPERATIONS = "apiserver_storage_transformation_operations_total"
SECONDS = "apiserver_storage_transformation_duration_seconds_count"
_KEYS = [{"name": name, "secret": base64.b64encode(bytes([byte]) * 32).decode()} for byte, name in enumerate("ab")]


def counted(name: str, **labels: str) -> float:
    """The value of the series with just these labels, 0 without one."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in render().decode().splitlines():
        series, _, value = line.rpartition(" ")
        found, _, rest = series.partition("{")
        if found == name and {each for each in rest.rstrip("}").split(",") if each} == wanted:
            return float(value)
    return 0.0


def operations(kind: str, prefix: str, status: str = "OK", resource: str = "secrets") -> float:
    labels = {"transformation_type": kind, "transformer_prefix": prefix, "status": status, "resource": resource}
    return counted(OPERATIONS, **labels)


def of_resource(name: str, *entries: object) -> Providers:
    rule = {"resources": [name], "providers": list(entries)}
    (found,) = build({"resources": [rule]}, ManualClock()).resources.values()
    return found


SECRETBOX, IDENTITY = {"secretbox": {"keys": _KEYS}}, {"identity": {}}


def test_a_value_counts_for_its_key_and_its_provider() -> None:
    prefixes = ("a:", "k8s:enc:secretbox:v1:")
    before = [operations(kind, prefix) for kind in ("to_storage", "from_storage") for prefix in prefixes]
    timed = counted(SECONDS, transformation_type="from_storage", transformer_prefix="a:")
    providers = of_resource("secrets", SECRETBOX, IDENTITY)
    providers.read(providers.write(b"plain", KEY), KEY)
    after = [operations(kind, prefix) for kind in ("to_storage", "from_storage") for prefix in prefixes]
    assert after == [count + 1 for count in before]
    assert counted(SECONDS, transformation_type="from_storage", transformer_prefix="a:") == timed + 1


def test_a_plain_value_counts_for_identity_of_its_resource() -> None:
    providers = of_resource("widgets.example.com", IDENTITY, SECRETBOX)
    providers.read(providers.write(b"plain", KEY), KEY)
    assert operations("to_storage", "", resource="widgets.example.com") == 1
    assert operations("from_storage", "identity", resource="widgets.example.com") == 1


def test_what_cannot_be_read_counts() -> None:
    stored = of_resource("secrets", SECRETBOX).write(b"plain", KEY)
    wrong = Provider.of("secretbox", "a", bytes([9]) * 32)
    with pytest.raises(Undecipherable):
        Providers([wrong], "wrong").read(stored, KEY)
    assert operations("from_storage", "a:", "unknown-non-grpc", "wrong") == 1
    with pytest.raises(Undecipherable):
        of_resource("none", IDENTITY).read(stored, KEY)
    assert operations("from_storage", "unknown", "unknown-non-grpc", "none") == 1


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[KmsPlugin]:
    with KmsPlugin.serving(tmp_path) as found:
        yield found


@pytest.fixture
async def stored(plugin: KmsPlugin) -> AsyncIterator[bytes]:
    """Written by a server before."""
    found = build({"resources": [{"resources": ["secrets"], "providers": [kms(plugin)]}]}, ManualClock())
    await found.start()
    yield found.resources["", "secrets"].write(b"plain", KEY)
    await found.close()


def kms(plugin: KmsPlugin) -> dict[str, object]:
    return {"kms": {"apiVersion": "v2", "name": "mine", "endpoint": plugin.endpoint, "timeout": 60.0}}


async def test_a_plugin_is_asked_for_a_key_once(plugin: KmsPlugin, stored: bytes) -> None:
    misses, made = (
        "apiserver_storage_envelope_transformation_cache_misses_total",
        "data_key_generation_duration_seconds",
    )
    prefix, rule = "k8s:enc:kms:v2:mine:", {"resources": ["asked"], "providers": [kms(plugin)]}
    before, keys = counted(misses), counted(f"apiserver_storage_{made}_count")
    found = build({"resources": [rule]}, ManualClock())
    await found.start()
    assert counted(f"apiserver_storage_{made}_count") == keys + 1
    for _ in range(2):
        assert await found.resources["", "asked"].opened(stored, KEY) == (b"plain", False)
    assert counted(misses) == before + 1 and operations("from_storage", prefix, resource="asked") == 2
    await found.close()


async def test_a_plugin_that_refuses_counts_by_its_status(plugin: KmsPlugin, stored: bytes) -> None:
    prefix, rule = "k8s:enc:kms:v2:mine:", {"resources": ["refused"], "providers": [kms(plugin)]}
    found = build({"resources": [rule]}, ManualClock())
    providers = found.resources["", "refused"]
    with pytest.raises(Unwritable):
        providers.write(b"plain", KEY)  # it was never asked
    assert operations("to_storage", prefix, "unknown-non-grpc", "refused") == 1
    await found.start()
    plugin.refusals["Decrypt"] = "no"
    with pytest.raises(Undecipherable, match="failed to decrypt DEK"):
        await providers.opened(stored, KEY)
    assert operations("from_storage", prefix, "FailedPrecondition", "refused") == 1
    await found.close()
