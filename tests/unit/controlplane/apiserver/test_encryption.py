"""Values at rest: upstream's formats, rotation by order, wildcards, every problem of a configuration."""

import base64

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from apimachinery.api.catalogue import CONFIGMAPS, SECRETS
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.encryption.configuration import build, load
from controlplane.apiserver.encryption.providers import IDENTITY, Provider, Providers, Undecipherable
from controlplane.apiserver.encryption.storage import EncryptedStorage
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.storage.cacher import Cacher
from controlplane.apiserver.storage.interface import Unreadable
from controlplane.apiserver.storage.prefixed import PrefixedStorage
from controlplane.apiserver.storage.sqlite import SqliteStorage

KEY = "/registry/secrets/default/a"


def provider(kind="secretbox", name="key1", byte=1):
    return Provider.of(kind, name, bytes([byte]) * 32)


@pytest.mark.parametrize("kind", ["secretbox", "aesgcm", "aescbc"])
@pytest.mark.parametrize("plain", [b"", b"x", b"y" * 16, b'{"kind":"Secret"}' * 100])
def test_what_was_written_is_read(kind, plain):
    providers = Providers([provider(kind)])
    stored = providers.write(plain, KEY)
    assert stored.startswith(f"k8s:enc:{kind}:v1:key1:".encode()) and (len(plain) < 16 or plain not in stored)
    assert providers.read(stored, KEY) == (plain, False)
    assert providers.write(plain, KEY) != stored


def test_aesgcm_is_bound_to_its_key_in_the_store():
    stored = Providers([provider("aesgcm")]).write(b"plain", KEY)
    body = stored.removeprefix(b"k8s:enc:aesgcm:v1:key1:")
    assert AESGCM(b"\1" * 32).decrypt(body[:12], body[12:], KEY.encode()) == b"plain"
    with pytest.raises(Undecipherable, match="message authentication failed"):
        Providers([provider("aesgcm")]).read(stored, "/registry/secrets/default/b")


def cbc(*blocks):
    """A stored value whose plain text is these blocks, padding and all."""
    encryptor = Cipher(AES(b"\1" * 32), CBC(bytes(16))).encryptor()
    return bytes(16) + encryptor.update(b"".join(blocks)) + encryptor.finalize()


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("secretbox", bytes(39), "the stored data was shorter than the required size"),
        ("secretbox", bytes(80), "output array was not large enough for encryption"),
        ("aesgcm", bytes(11), "the stored data was shorter than the required size"),
        ("aesgcm", bytes(12), "cipher: message authentication failed"),
        ("aescbc", bytes(15), "the stored data was shorter than the required size"),
        ("aescbc", bytes(17), "the stored data is not a multiple of the block size"),
        ("aescbc", cbc(), "invalid PKCS7 data (empty or not padded)"),
        ("aescbc", cbc(bytes(16)), "invalid PKCS7 data (empty or not padded)"),
        ("aescbc", cbc(b"x" * 15 + b"\x11"), "invalid PKCS7 data (empty or not padded)"),
        ("aescbc", cbc(b"x" * 15 + b"\x02"), "invalid padding on input"),
    ],
)
def test_what_another_key_or_damage_leaves(kind, body, why):
    with pytest.raises(Undecipherable) as told:
        Providers([provider(kind)]).read(f"k8s:enc:{kind}:v1:key1:".encode() + body, KEY)
    assert str(told.value) == f'unable to transform key "{KEY}": {why}'


def test_rotation_by_order():
    old, new = provider(name="old"), provider("aesgcm", name="new", byte=2)
    stored = Providers([old, IDENTITY]).write(b"plain", KEY)
    assert Providers([new, old, IDENTITY]).read(stored, KEY) == (b"plain", True)
    assert Providers([new, IDENTITY]).read(b"{}", KEY) == (b"{}", True)
    assert Providers([IDENTITY, new]).read(b"{}", KEY) == (b"{}", False)
    with pytest.raises(Undecipherable, match="no matching prefix found"):
        Providers([new]).read(stored, KEY)
    with pytest.raises(Undecipherable, match="no matching prefix found"):
        Providers([IDENTITY]).read(stored, KEY)
    assert Providers([IDENTITY, old]).read(stored, KEY) == (b"plain", True)
    other = provider("secretbox", name="old", byte=3)
    assert Providers([other, old]).read(stored, KEY) == (b"plain", True), "two of one name"
    damaged = stored[:-1] + bytes([stored[-1] ^ 1])
    with pytest.raises(Undecipherable, match=f'unable to transform key "{KEY}"'):
        Providers([old]).read(damaged, KEY)


SECRET = base64.b64encode(bytes(32)).decode()


def rule(*resources, **providers):
    named = providers or {"aesgcm": {"keys": [{"name": "k", "secret": SECRET}]}}
    return {"resources": list(resources), "providers": [{kind: about} for kind, about in named.items()]}


def built(*rules):
    return build({"resources": list(rules)}, ManualClock()).resources


@pytest.mark.parametrize(
    ("resources", "key", "encrypted"),
    [
        (["secrets"], KEY, True),
        (["secrets"], "/registry/configmaps/default/a", False),
        (["nodes"], "/registry/minions/n1", True),
        (["endpoints"], "/registry/services/endpoints/default/a", True),
        (["endpoints"], "/registry/services/specs/default/a", False),
        (["*."], "/registry/pods/default/a", True),
        (["*."], "/registry/deployments/default/a", False),
        (["*.apps"], "/registry/deployments/default/a", True),
        (["widgets.example.com"], "/registry/example.com/widgets/default/a", True),
        (["*.example.com"], "/registry/example.com/others/a", True),
        (["*.*"], "/registry/example.com/others/a", True),
        (["*.*"], "/registry/ranges/servicenodeports/30000", False),
        (["*.*"], "/registry/masterleases/1", False),
        (["events"], "/registry/events/default/a", True),
    ],
)
def test_which_keys_a_rule_is_about(resources, key, encrypted):
    configured = built(rule(*resources))
    storage = EncryptedStorage(None, Reloading("x", [], lambda: configured))
    assert (storage.providers_of(key) is not None) is encrypted


@pytest.mark.parametrize("wrapped", [True, False])
async def test_what_nobody_says_how_to_read_is_not_left_out(tmp_path, wrapped):
    plain = await SqliteStorage.open(tmp_path / "state.db")
    await plain.create("/registry/configmaps/default/a", Providers([provider()]).write(b"{}", KEY))
    storage = EncryptedStorage(plain, Reloading("x", [], dict)) if wrapped else plain
    store = ObjectStore(CONFIGMAPS, storage)
    sentence = (
        'unable to transform key "/registry/configmaps/default/a": identity transformer tried to read encrypted data'
    )
    for reading, words in (
        (store.get("default", "a"), "identity transformer tried to read encrypted data"),
        (store.all("default"), sentence),
    ):
        with pytest.raises(ApiError) as refused:
            await reading
        assert (refused.value.code, refused.value.message) == (500, f"Internal error occurred: {words}")
    cacher = Cacher(storage, "/registry/configmaps/", orjson.loads)
    cacher.start()
    with pytest.raises(Unreadable, match=sentence):
        await cacher.wait_ready()
    await cacher.close()
    await plain.close()


async def test_a_value_is_bound_to_the_key_that_etcd_has(tmp_path):
    plain = await SqliteStorage.open(tmp_path / "state.db")
    begin = "/clusters/one/"
    configured = Reloading("x", [], lambda: {("", "secrets"): Providers([provider("aesgcm")])})
    storage = EncryptedStorage(PrefixedStorage(plain, begin), configured, begin)
    async with storage.watch("/registry/secrets/", 1) as watch:
        await storage.create(KEY, b"plain")
        assert (await anext(watch)).value == b"plain"
    assert (await storage.get(KEY)).value == (await storage.list("/registry/secrets/")).items[0].value == b"plain"
    body = (await plain.get("/clusters/one/secrets/default/a")).value.removeprefix(b"k8s:enc:aesgcm:v1:key1:")
    assert AESGCM(b"\1" * 32).decrypt(body[:12], body[12:], b"/clusters/one/secrets/default/a") == b"plain"
    await storage.close()


def test_a_later_rule_must_not_be_masked():
    assert built(rule("secrets"), rule("*.*", identity={})).keys() == {("", "secrets"), ("*", "*")}
    with pytest.raises(ValueError, match='resource "secrets" is masked by earlier rule'):
        built(rule("*."), rule("secrets"))


WRONG = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [Secrets, secrets, secrets, "*.", "*", pods.*, events.events.k8s.io]
  providers:
  - secretbox: {keys: [{name: "", secret: AAAA}, {name: b, secret: "?"}, {name: c}]}
  - aesgcm: {keys: []}
  - {identity: {}, aescbc: {keys: []}}
  - kms: {name: x}
  - kms: {apiVersion: v2, name: "a:b", endpoint: "tcp://x", timeout: 0s, cachesize: 5}
  - kms: {apiVersion: v3, name: x, endpoint: "unix:///x"}
  - kms: {apiVersion: v2, endpoint: "unix:///x"}
  - {}
- {}
"""


def test_every_problem_is_told(tmp_path):
    path = tmp_path / "encryption.yaml"
    path.write_text(WRONG)
    with pytest.raises(ValueError, match="resources") as told:
        load(path, ManualClock())
    for sentence in (
        "the same resource cannot be specified multiple times",
        "using overlapping resources such as 'secrets' and '*.'",
        'resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain capital letters',
        "resources[0].resources[4]: Invalid value: \"*\": use '*.' to encrypt",
        'resources[0].resources[5]: Invalid value: "pods.*": encrypting the same resource across groups',
        "resources[0].providers[0].secretbox.keys[0].name: Required value: name is a mandatory field for a key",
        'keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 3, expected one of [32]',
        'keys[1].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
        "keys[2].secret: Required value: secret is a mandatory field for a key",
        "resources[0].providers[1].aesgcm.keys: Required value: at least one keys is required",
        'resources[0].providers[3].kms.endpoint: Invalid value: "": endpoint is a mandatory field for a kms',
        "providers[4].kms.name: Invalid value: \"a:b\": invalid KMS provider name a:b, must not contain ':'",
        'unsupported scheme "tcp" for KMS provider, only unix is supported',
        'providers[4].kms.timeout: Invalid value: "0s": timeout should be a positive value',
        "providers[4].kms.cachesize: Invalid value: 5: cachesize is not supported in v2",
        'providers[5].kms.name: Invalid value: "x": duplicate KMS provider name x, names must be unique',
        'providers[5].kms.apiVersion: Invalid value: "v3": unsupported apiVersion',
        "resources[0].providers[6].kms.name: Required value: name is a mandatory field for a provider",
        "more than one provider specified in a single element",
        "provider does not contain any of the expected providers",
        "resources[1].resources: Required value: at least one resources[1].resources is required",
    ):
        assert sentence in str(told.value)
    assert "AAAA" not in str(told.value)
    assert str(told.value).startswith("error while parsing file: [") and str(told.value).endswith("]")


@pytest.mark.parametrize(
    ("provider", "sentence"),
    [
        ("{aesgcm: {key: []}}", 'strict decoding error: unknown field "resources[0].providers[0].aesgcm.key"'),
        ("{kms: {name: x, timeout: soon}}", 'time: invalid duration "soon"'),
        ("{kms: {name: x, cachesize: many}}", "KMSConfiguration"),
        ("{secretbox: {keys: [{name: 1}]}}", "json: cannot unmarshal number into Go struct field"),
        ("{identity: {}, identity: {}}", 'key "identity" already set in map'),
        ("[", "yaml"),
    ],
)
def test_what_no_codec_decodes(tmp_path, provider, sentence):
    path = tmp_path / "encryption.yaml"
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
    path.write_text(f"{head}- resources: [secrets]\n  providers:\n  - {provider}\n")
    with pytest.raises(ValueError, match="error while parsing file: error decoding encryption provider conf") as told:
        load(path, ManualClock())
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("kind", "version", "told"),
    [
        ("EncryptionConfiguration", "apiserver.config.k8s.io/v1", ""),
        ("EncryptionConfig", "v1", ""),
        ("EncryptionConfiguration", "v1", 'no kind "EncryptionConfiguration" is registered for version "v1"'),
        ("EncryptionConfig", "apiserver.config.k8s.io/v1", 'no kind "EncryptionConfig" is registered for version'),
    ],
)
def test_what_the_file_is_called(tmp_path, kind, version, told):
    path = tmp_path / "encryption.json"
    document = {"kind": kind, "apiVersion": version, "resources": [rule("secrets")]}
    path.write_bytes(orjson.dumps(document))
    if told:
        with pytest.raises(ValueError, match=told):
            load(path, ManualClock())
    else:
        assert load(path, ManualClock()).resources.keys() == {("", "secrets")}


async def test_a_write_of_the_same_rotates(tmp_path):
    configured = {"value": {("", "secrets"): Providers([provider()])}}
    plain = await SqliteStorage.open(tmp_path / "state.db")

    class Held:
        @property
        def value(self):
            return configured["value"]

    store = ObjectStore(SECRETS, EncryptedStorage(plain, Held()))
    meta = {"name": "a", "namespace": "default", "uid": "u"}
    made = await store.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"k": "djE="}})
    current = await store.get("default", "a")
    assert await store.replace(current, current) is current
    configured["value"] = {("", "secrets"): Providers([provider(name="key2", byte=2), provider()])}
    current = await store.get("default", "a")
    rotated = await store.replace(current, current)
    assert int(rotated["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert (await plain.get(KEY)).value.startswith(b"k8s:enc:secretbox:v1:key2:")
    again = await store.get("default", "a")
    assert await store.replace(again, again) is again
    await plain.close()
