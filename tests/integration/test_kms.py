"""KMS v2 as an administrator meets it: bytes at rest, restarts, a new key, `kubectl replace` of everything, a plug-in
that is away. The plug-in is a real gRPC server; both stores are looked into."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import running_etcd, wait_until
from tests.kms_plugin import MESSAGES, KmsPlugin

SECRETS = "/api/v1/namespaces/default/secrets"
PREFIX = b"k8s:enc:kms:v2:mine:"
CHECK = "/readyz/kms-providers"

Stored = Callable[[str], bytes]


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[KmsPlugin]:
    with KmsPlugin.serving(tmp_path) as found:
        yield found


class Encrypted(ApiServer):
    """Reads an EncryptionConfiguration for Secrets."""

    def __init__(self, directory: Path, store: str) -> None:
        self.file = directory.parent / "encryption.json"
        super().__init__(directory, store, f"--encryption-provider-config={self.file}")

    def configure(self, *providers: Any, resource: str = "secrets") -> None:
        """What the next start finds."""
        rules = [{"resources": [resource], "providers": [*providers, {"identity": {}}]}]
        document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules}
        self.file.write_bytes(orjson.dumps(document))


def provider(plugin: KmsPlugin) -> Any:
    return {"kms": {"apiVersion": "v2", "name": "mine", "endpoint": plugin.endpoint, "timeout": "1s"}}


@pytest.fixture(params=["sqlite", "etcd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Stored]]:
    """Which store, and what it holds under a key, read without the server."""
    if request.param == "sqlite":
        yield "sqlite", lambda key: in_sqlite(tmp_path / "data", key)
        return
    with running_etcd(tmp_path / "etcd") as url:
        yield url, lambda key: in_etcd(url, key)


def in_sqlite(directory: Path, key: str) -> bytes:
    (file,) = directory.glob("*.db")
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)
    query = "SELECT value FROM changes JOIN objects ON mod_revision = revision WHERE objects.key = ?"
    ((value,),) = connection.execute(query, (key,)).fetchall()
    connection.close()
    return bytes(value)


def in_etcd(url: str, key: str) -> bytes:
    argv = ["etcdctl", f"--endpoints={url}", "get", key, "--print-value-only"]
    return subprocess.run(argv, capture_output=True, check=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin"}).stdout


def key_of(value: bytes) -> str:
    """The plug-in's key that guards a stored value."""
    assert value.startswith(PREFIX), value[:40]
    return str(MESSAGES["EncryptedObject"].FromString(value.removeprefix(PREFIX).removesuffix(b"\n")).key_id)


def create(server: ApiServer, name: str) -> int:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": "hidden"}}
    return server.request("POST", SECRETS, secret).code


def test_secrets_at_rest(store: tuple[str, Stored], plugin: KmsPlugin, tmp_path: Path) -> None:
    where, stored = store
    server = Encrypted(tmp_path / "data", where)
    server.configure()
    server.start()
    assert create(server, "early") == 201
    assert server.request("GET", "/readyz/kms-providers").code == 404
    assert server.stop() == 0, server.log
    assert b"aGlkZGVu" in stored("/registry/secrets/default/early")

    server.configure(provider(plugin))
    server.start()
    assert "[+]kms-providers ok" in server.request("GET", "/readyz?verbose").body.decode()
    assert "kms" not in server.request("GET", "/livez?verbose").body.decode()
    for number in range(3):
        assert create(server, f"s{number}") == 201
    assert (plugin.count("Encrypt"), plugin.count("Decrypt")) == (1, 0), "not for every secret"
    value = stored("/registry/secrets/default/s0")
    assert key_of(value) == "key-1" and b"hidden" not in value and b"aGlkZGVu" not in value and b"Secret" not in value
    assert stored("/registry/namespaces/default").startswith(b'{"apiVersion"')
    assert server.stop() == 0, server.log

    # After a restart the seed of before is asked for, once.
    server.start()
    assert len(server.get("secrets")["items"]) == 4
    assert server.get("secret", "s1")["data"] == {"key": "aGlkZGVu"}
    assert plugin.count("Decrypt") == 1

    # A new key of the plug-in's is seen, and one pass over everything rewrites it.
    plugin.key_id = "key-2"

    def seen() -> bool:
        return server.request("GET", CHECK).code == 200 and plugin.count("Encrypt") == 3

    wait_until("the new key is seen", seen)
    everything = server.kubectl("get", "secrets", "-A", "-o", "json").stdout
    server.kubectl("replace", "-f", "-", stdin=everything)
    names = ("early", "s0", "s1", "s2")
    assert [key_of(stored(f"/registry/secrets/default/{name}")) for name in names] == ["key-2"] * 4
    before = server.get("secret", "s0")["metadata"]["resourceVersion"]
    server.kubectl("replace", "-f", "-", stdin=server.kubectl("get", "secrets", "-A", "-o", "json").stdout)
    assert server.get("secret", "s0")["metadata"]["resourceVersion"] == before, "a second pass changes nothing"
    assert server.get("secret", "early")["data"] == {"key": "aGlkZGVu"}
    assert server.stop() == 0, server.log


def test_a_plugin_that_is_away(plugin: KmsPlugin, tmp_path: Path) -> None:
    server = Encrypted(tmp_path / "data", "sqlite")
    server.configure(provider(plugin))
    server.start()
    assert create(server, "s") == 201
    plugin.stop()
    wait_until("it is missed", lambda: server.request("GET", CHECK).code == 500)
    told = server.request("GET", CHECK).body.decode()
    assert told.startswith("internal server error: kms-provider-0: ") and "rpc error: code = DeadlineExceeded" in told
    assert server.request("GET", "/healthz").code == server.request("GET", "/readyz").code == 500
    assert server.request("GET", "/livez").code == 200
    assert server.request("GET", f"{SECRETS}/s").code == 200
    assert create(server, "t") == 201, "the seed is good for three minutes"
    assert server.stop() == 0, server.log

    server.launch()
    wait_until("it is alive", lambda: _code(server, "/livez") == 200)
    answer = server.request("GET", f"{SECRETS}/s")
    assert answer.code == 500 and "got unexpected nil transformer" in answer.json["message"]
    assert create(server, "u") == 500
    assert server.request("GET", "/api/v1/namespaces/default").code == 200
    plugin.start()
    wait_until("it is ready", lambda: server.request("GET", "/readyz").code == 200)
    wait_until("secrets are read", lambda: server.request("GET", SECRETS).code == 200)
    assert [each["metadata"]["name"] for each in server.get("secrets")["items"]] == ["s", "t"]
    assert create(server, "u") == 201
    assert server.stop() == 0, server.log


def test_everything_is_encrypted_and_the_plugin_comes_late(plugin: KmsPlugin, tmp_path: Path) -> None:
    server = Encrypted(tmp_path / "data", "sqlite")
    server.configure(provider(plugin), resource="*.*")
    server.start()
    assert server.stop() == 0, server.log
    assert key_of(in_sqlite(tmp_path / "data", "/registry/namespaces/default")) == "key-1"
    plugin.stop()
    server.launch()
    wait_until("it waits", lambda: "default roles: the store does not answer yet" in server.log)
    plugin.start()
    wait_until("it is ready", lambda: server.alive and _code(server, "/readyz") == 200)
    assert server.get("namespace", "default")["status"] == {"phase": "Active"}
    assert server.stop() == 0, server.log


def _code(server: ApiServer, path: str) -> int:
    try:
        return server.request("GET", path).code
    except OSError:
        return 0
