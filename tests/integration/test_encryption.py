"""Encryption at rest on a real etcd, as the task in the documentation goes: encrypt, look with etcdctl, rotate."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import running_etcd, wait_until

SECRETS = "/api/v1/namespaces/default/secrets"


def configuration(*names: str) -> str:
    keys = [{"name": name, "secret": base64.b64encode(name.encode().ljust(32, b".")).decode()} for name in names]
    providers = [{"secretbox": {"keys": keys}}, {"identity": {}}] if names else [{"identity": {}}]
    rules = [{"resources": ["secrets"], "providers": providers}]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": rules}
    return orjson.dumps(document).decode()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd of its own: what is stored under other tests' secrets is not readable without keys."""
    with running_etcd(tmp_path_factory.mktemp("encrypted") / "data") as url:
        yield url


def stored(etcd: str, key: str) -> bytes:
    argv = ["etcdctl", f"--endpoints={etcd}", "get", key, "--print-value-only"]
    return subprocess.run(argv, capture_output=True, check=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin"}).stdout


def test_secrets_are_encrypted_and_keys_rotate(etcd: str, tmp_path: Path) -> None:
    file = tmp_path / "encryption.json"
    file.write_text(configuration("key1"))
    flags = [f"--encryption-provider-config={file}", "--encryption-provider-config-automatic-reload=true"]
    server = ApiServer(tmp_path / "data", etcd, *flags)
    server.start()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": "hidden"}}
    assert server.request("POST", SECRETS, secret).code == 201
    assert server.request("POST", SECRETS.replace("secrets", "configmaps"), {**secret, "kind": "ConfigMap"}).code < 500
    found = stored(etcd, "/registry/secrets/default/s")
    assert found.startswith(b"k8s:enc:secretbox:v1:key1:") and b"hidden" not in found and b"aGlkZGVu" not in found
    assert stored(etcd, "/registry/namespaces/default").startswith(b'{"apiVersion"')
    assert server.get("secret", "s")["data"] == {"key": base64.b64encode(b"hidden").decode()}
    assert [each["metadata"]["name"] for each in server.get("secrets")["items"]] == ["s"]

    file.write_text(configuration("key2", "key1"))

    def rotated() -> bool:
        # `kubectl get secrets -o json | kubectl replace -f -`: nothing changes but the key.
        server.kubectl("replace", "-f", "-", stdin=server.kubectl("get", "secrets", "-o", "json").stdout)
        return stored(etcd, "/registry/secrets/default/s").startswith(b"k8s:enc:secretbox:v1:key2:")

    wait_until("the new key is used", rotated)
    assert server.get("secret", "s")["data"] == {"key": base64.b64encode(b"hidden").decode()}
    assert server.stop() == 0, server.log

    file.write_text(configuration("key3"))  # key2 is lost
    server = ApiServer(tmp_path / "data", etcd, *flags)
    server.start()
    answer = server.request("GET", f"{SECRETS}/s?resourceVersion=")
    assert answer.code == 500
    assert answer.json["message"] == "Internal error occurred: no matching prefix found"
    assert server.stop() == 0, server.log
    forgetful = ApiServer(tmp_path / "data", etcd)
    forgetful.start()
    for method, path in (("GET", f"{SECRETS}/s"), ("GET", SECRETS), ("DELETE", f"{SECRETS}/s")):
        answer = forgetful.request(method, path)
        assert answer.code == 500 and "identity transformer tried to read encrypted data" in answer.json["message"]
    assert forgetful.stop() == 0, forgetful.log

    server.start()
    file.write_text(configuration("key3", "key2"))
    wait_until("it is read again", lambda: server.request("GET", f"{SECRETS}/s").code == 200)
    assert server.stop() == 0, server.log
