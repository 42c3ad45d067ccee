"""KMS v2: envelopes that others read, a plug-in over real gRPC, its keys changing, and it going away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from apimachinery.kit import protowire
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import render
from controlplane.apiserver.encryption.envelope import KEY, SEED, Source, hashed, unseal
from controlplane.apiserver.encryption.kms import ExtendedNonceGcm, Kms
from controlplane.apiserver.encryption.providers import IDENTITY, Locked, Provider, Providers, Undecipherable
from controlplane.apiserver.storage.interface import Unwritable
from tests.kms_plugin import MESSAGES, KmsPlugin

WHERE = "/registry/secrets/default/a"
PREFIX = b"k8s:enc:kms:v2:mine:"


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[KmsPlugin]:
    with KmsPlugin.serving(tmp_path) as found:
        yield found


class Server:
    """What an API server has of one provider. timeout: seconds that it waits for a plug-in that is away."""

    def __init__(self, plugin: KmsPlugin, timeout: float = 0.3) -> None:
        self.clock = ManualClock()
        self.kms = Kms("mine", plugin.endpoint, timeout, self.clock)
        self.providers = Providers([Provider(self.kms.prefix, self.kms), IDENTITY])


@pytest.fixture
async def server(plugin: KmsPlugin) -> AsyncIterator[Server]:
    found = Server(plugin, timeout=60.0)
    await found.kms.start()
    yield found
    await found.kms.close()


def test_a_seed_gives_each_value_a_key_of_its_own() -> None:
    seed = bytes(range(32))
    cipher = ExtendedNonceGcm(seed)
    stored = cipher.encrypt(b"plain", WHERE.encode())
    key = HKDFExpand(SHA256(), 32, stored[:32]).derive(seed)
    assert AESGCM(key).decrypt(stored[32:44], stored[44:], WHERE.encode()) == b"plain"
    assert cipher.decrypt(stored, WHERE.encode()) == (b"plain", False)
    assert cipher.encrypt(b"plain", WHERE.encode())[:32] != stored[:32]
    for wrong, context in ((stored[:-1] + bytes([stored[-1] ^ 1]), WHERE), (stored, "/registry/secrets/default/b")):
        with pytest.raises(ValueError, match="message authentication failed"):
            cipher.decrypt(wrong, context.encode())
    with pytest.raises(ValueError, match="shorter than the required size"):
        cipher.decrypt(stored[:31], WHERE.encode())
    with pytest.raises(ValueError, match="invalid seed length 16"):
        ExtendedNonceGcm(bytes(16))


@pytest.mark.parametrize("kind", [KEY, SEED])
def test_an_envelope_is_read_by_others(kind: int) -> None:
    source = Source("key-1", b"\0wrapped", {"b.example.com": b"2", "a.example.com": b""}, kind)
    told = MESSAGES["EncryptedObject"].FromString(source.seal(b"data"))
    assert (told.data, told.key_id, told.source, told.kind) == (b"data", "key-1", b"\0wrapped", kind)
    assert dict(told.annotations) == {"a.example.com": b"", "b.example.com": b"2"}
    assert unseal(told.SerializeToString()) == (b"data", source)
    data, rest = protowire.encode_bytes(1, b"data"), source.tail
    assert unseal(rest + data) == unseal(rest[:7] + data + rest[7:]) == (b"data", source), "in any order"
    assert unseal(protowire.encode_bytes(1, b"old") + rest + data) == (b"data", source), "the last one counts"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": b""}, "encrypted data is empty"),
        ({"key_id": ""}, "failed to validate key id: keyID is empty"),
        ({"key_id": "k" * 1025}, "keyID is 1025 bytes, which exceeds the max size of 1024"),
        ({"source": b""}, "failed to validate encrypted DEK source: encrypted DEK source is empty"),
        ({"source": bytes(1025)}, "encrypted DEK source is 1025 bytes, which exceeds the max size of 1024"),
        ({"kind": 7}, "unknown encryptedDEKSourceType: 7"),
        ({"annotations": {"short": b""}}, 'annotations: Invalid value: "short": should be a domain with at least two'),
        ({"annotations": {"a.b": bytes(32768)}}, "total size of annotations is 32771, which exceeds"),
    ],
)
def test_an_envelope_that_nobody_wrote(changes: dict[str, object], sentence: str) -> None:
    members = {"data": b"d", "key_id": "k", "source": b"s", "kind": 1, **changes}
    with pytest.raises(ValueError, match=sentence):
        unseal(MESSAGES["EncryptedObject"](**members).SerializeToString())
    with pytest.raises(ValueError, match="proto: cannot parse"):
        unseal(b"\x0a\xff")


def test_what_differs_is_remembered_apart() -> None:
    sources = [
        Source("k", b"s", {}),
        Source("k", b"s", {}, KEY),
        Source("ks", b"", {}),
        Source("k", b"s", {"a.b": b"c"}),
        Source("k", b"s", {"a.bc": b""}),
    ]
    assert len({each.tail for each in sources}) == len(sources)


async def test_the_plugin_is_asked_for_a_seed_and_not_for_values(server: Server, plugin: KmsPlugin) -> None:
    values = [server.providers.write(b"plain %d" % number, WHERE) for number in range(20)]
    assert all(each.startswith(PREFIX) and b"plain" not in each for each in values)
    assert [await server.providers.opened(each, WHERE) for each in values[:2]] == [
        (b"plain 0", False),
        (b"plain 1", False),
    ]
    assert plugin.calls == ["Status", "Encrypt"]
    told = MESSAGES["EncryptedObject"].FromString(values[0].removeprefix(PREFIX))
    assert (told.key_id, told.kind, dict(told.annotations)) == ("key-1", SEED, plugin.annotations)


async def test_another_server_asks_once(server: Server, plugin: KmsPlugin) -> None:
    values = [server.providers.write(b"plain", WHERE) for _ in range(5)]
    other = Server(plugin, timeout=60.0)
    await other.kms.start()
    with pytest.raises(Locked):
        other.providers.read(values[0], WHERE)
    assert await asyncio.gather(*(other.providers.opened(each, WHERE) for each in values)) == [(b"plain", False)] * 5
    assert plugin.count("Decrypt") == 1
    plugin.refusals["Decrypt"] = "the vault is sealed"
    mine = other.providers.write(b"mine", WHERE)
    with pytest.raises(Undecipherable) as told:
        await server.providers.opened(mine, WHERE)
    assert str(told.value) == (
        f'unable to transform key "{WHERE}": failed to decrypt DEK, error: '
        "rpc error: code = FailedPrecondition desc = the vault is sealed"
    )
    await other.kms.close()


async def test_a_new_key_of_the_plugins(server: Server, plugin: KmsPlugin) -> None:
    old = server.providers.write(b"plain", WHERE)
    plugin.key_id = "key-2"
    await server.kms.check()
    assert (await server.providers.opened(old, WHERE))[1] is False, "an answer holds for 20 s"
    await server.clock.advance(20)
    await server.kms.check()
    assert await server.providers.opened(old, WHERE) == (b"plain", True)
    new = server.providers.write(b"plain", WHERE)
    assert await server.providers.opened(new, WHERE) == (b"plain", False)
    assert (plugin.count("Encrypt"), plugin.count("Decrypt")) == (2, 0)


async def test_what_metrics_say(server: Server, plugin: KmsPlugin) -> None:
    old = server.providers.write(b"plain", WHERE)
    plugin.key_id = "key-2"
    await server.clock.advance(20)
    await server.kms.check()
    server.providers.write(b"plain", WHERE)
    await server.providers.opened(old, WHERE)
    plugin.key_id = ""
    await server.clock.advance(20)
    with pytest.raises(ValueError, match="keyID is empty"):
        await server.kms.check()
    told = render().decode()
    prefix, mine = "apiserver_envelope_encryption_", 'provider_name="mine"'

    def line(name: str, **labels: str) -> bool:
        wanted = [mine, *(f'{key}="{value}"' for key, value in labels.items())]
        lines = (each for each in told.splitlines() if each.startswith(f"{prefix}{name}{{"))
        return any(all(word in each for word in wanted) for each in lines)

    for kind, key_id in (("to_storage", "key-1"), ("to_storage", "key-2"), ("from_storage", "key-1")):
        labels = {"transformation_type": kind, "key_id_hash": hashed(key_id)}
        assert line("key_id_hash_total", **labels) and line("key_id_hash_last_timestamp_seconds", **labels)
    assert line("key_id_hash_status_last_timestamp_seconds", key_id_hash=hashed("key-2"))
    assert line("invalid_key_id_from_status_total", error="empty") and line("dek_source_cache_size")
    method = "/v2.KeyManagementService/Encrypt"
    assert line("kms_operations_latency_seconds_count", method_name=method, grpc_status_code="OK")
    assert "key-1" not in told and "key-2" not in told


async def test_a_key_between_two(server: Server, plugin: KmsPlugin) -> None:
    plugin.key_id, plugin.says_key_id = "key-2", "key-1"
    await server.clock.advance(20)
    with pytest.raises(ValueError, match="failed to rotate DEK") as told:
        await server.kms.check()
    assert "errState=<nil>, errGen=<nil>, statusKeyIDHash=" in str(told.value) and "key-" not in str(told.value)
    assert server.providers.write(b"plain", WHERE).startswith(PREFIX), "the seed from before is still good"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"healthz": "no vault"}, "got unexpected healthz status: no vault"),
        ({"version": "v1beta1"}, "expected KMSv2 API version v2, got v1beta1"),
        ({"version": "v2beta1"}, "should not change after the initial status response version v2, got v2beta1"),
        ({"key_id": ""}, 'got invalid KMSv2 KeyID hash "": keyID is empty'),
        ({"refusals": {"Status": "later"}}, "failed to perform status section of the healthz check for KMS Provider"),
        ({"refusals": {"Encrypt": "full"}, "key_id": "key-2"}, "errGen=failed to encrypt DEK, error: rpc error: code"),
        (
            {"annotations": {"x": b""}, "key_id": "key-2"},
            'failed to validate annotations: annotations: Invalid value: "x"',
        ),
    ],
)
async def test_a_plugin_that_is_not_well(
    server: Server, plugin: KmsPlugin, changes: dict[str, object], sentence: str
) -> None:
    for name, value in changes.items():
        setattr(plugin, name, value)
    await server.clock.advance(20)
    for _ in range(2):
        with pytest.raises(ValueError, match="mine") as told:
            await server.kms.check()
        assert sentence in str(told.value)
        await server.clock.advance(3)


async def test_a_plugin_that_goes_away(plugin: KmsPlugin) -> None:
    server = Server(plugin)
    await server.kms.start()
    old = server.providers.write(b"plain", WHERE)
    plugin.stop()
    # Polls while it is away: the first after a minute, then every ten seconds. What it gave holds for three minutes.
    await server.clock.advance(20)
    with pytest.raises(ValueError, match="failed to perform status section") as told:
        await server.kms.check()
    assert (
        'rpc error: code = DeadlineExceeded desc = latest balancer error: connection error: desc = "transport: Error '
        f'while dialing: dial unix {plugin.socket}: connect: no such file or directory"'
    ) in str(told.value)
    await server.clock.advance(160)
    assert server.providers.write(b"plain", WHERE)
    await server.clock.advance(1)
    with pytest.raises(Unwritable, match=r'encryptedDEKSource with keyID hash "sha256:\w{64}" expired at 2025'):
        server.providers.write(b"plain", WHERE)
    assert await server.providers.opened(old, WHERE) == (b"plain", False), "what is known is read on"
    plugin.start()
    assert (await written(server)).startswith(PREFIX)
    await server.kms.close()


async def written(server: Server) -> bytes:
    """A value, once the polls have found the plug-in well."""
    async with asyncio.timeout(60):
        while True:
            await server.clock.advance(10)
            try:
                return server.providers.write(b"plain", WHERE)
            except Unwritable:
                await asyncio.sleep(0.01)


async def test_a_plugin_that_comes_late(plugin: KmsPlugin) -> None:
    plugin.stop()
    server = Server(plugin)
    await server.kms.start()
    with pytest.raises(Unwritable, match="got unexpected nil transformer"):
        server.providers.write(b"plain", WHERE)
    plugin.start()
    assert (await written(server)).startswith(PREFIX)
    await server.kms.close()
