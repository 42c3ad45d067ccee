"""A registry that wants a password: known to a program of the node, or in the pod's pull secret."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.kubelet import oci
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.machine import Machine

# "puller" with the password "sesame", as bcrypt, which is all that the registry reads.
ACCOUNT = "puller:$2b$04$saltsaltsaltsaltsaltsegso.nHejyrsgjbZBAJFrrV3qd/Kc6p.\n"
PORT = 5005
REGISTRY = f"127.0.0.1:{PORT}"  # on the node's own loopback: containerd asks there without TLS
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
CONFIG = f"""\
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: vault
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["{REGISTRY}/known", "*.example"]
  defaultCacheDuration: 10m
  args: [puller]
  env: [{{name: PASSWORD, value: sesame}}]
"""
PLUGIN = """\
#!/bin/sh
{ cat; echo; } >> "$(dirname "$0")/asked"
cat <<END
{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
 "cacheKeyType": "Registry", "auth": {"*.0.0.1:PORT": {"username": "$1", "password": "$PASSWORD"}}}
END
""".replace("PORT", str(PORT))


@pytest.fixture(scope="module")
def registry(machine: Machine) -> Iterator[None]:
    """The registry with busybox in it, under two names."""
    folder = machine.dir / "registry"
    folder.mkdir()
    (folder / "accounts").write_text(ACCOUNT)
    (folder / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/storage}}}}\n"
        f"http: {{addr: '{REGISTRY}'}}\nauth: {{htpasswd: {{realm: test, path: {folder}/accounts}}}}\n"
    )
    argv = machine.command("docker-registry", "serve", str(folder / "config.yml"))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        for name in ("known/busybox", "other/busybox"):
            machine.ctr("images", "tag", oci.BUSYBOX, f"{REGISTRY}/{name}:1")

            def pushed(name: str = name) -> bool:
                push = ["images", "push", "--plain-http", "--user=puller:sesame", f"{REGISTRY}/{name}:1"]
                ctr = ["ctr", f"--address={machine.socket}", "--namespace=k8s.io"]
                done = subprocess.run(machine.command(*ctr, *push), capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                return True

            eventually(pushed, f"{name} in the registry")
            machine.ctr("images", "rm", f"{REGISTRY}/{name}:1")
        yield
    finally:
        daemon.kill()
        daemon.wait()


class Asking(Kubelet):
    """A kubelet with a plug-in in `machine.dir/plugins`."""

    def __init__(self, machine: Machine, *place: Any, **config: Any) -> None:
        super().__init__(machine, *place, **config)
        self.plugins = machine.dir / "plugins"
        self.plugins.mkdir()
        (machine.dir / "plugins.yaml").write_text(CONFIG)
        (self.plugins / "vault").write_text(PLUGIN)
        (self.plugins / "vault").chmod(0o755)
        self.flags = (
            f"--image-credential-provider-config={machine.dir}/plugins.yaml",
            f"--image-credential-provider-bin-dir={self.plugins}",
        )

    def asked(self) -> list[str]:
        """The images that the plug-in was asked about."""
        return [json.loads(line)["image"] for line in (self.plugins / "asked").read_text().splitlines()]


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster, Asking) as agent:
        yield agent


def pod(name: str, image: str, **spec: Any) -> dict[str, Any]:
    container = busybox(FOREVER, image=f"{REGISTRY}/{image}:1", imagePullPolicy="Always")
    spec = {"containers": [container], "nodeName": "node", "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def refused(cluster: Cluster, name: str) -> bool:
    told = cluster.pod(name)["status"]["containerStatuses"][0]["state"]["waiting"]
    assert told["reason"] in ("ErrImagePull", "ImagePullBackOff"), told
    # containerd 2 has other words.
    assert "401 Unauthorized" in told["message"] or "no basic auth credentials" in told["message"], told
    return True


@pytest.mark.usefixtures("registry")
def test_an_image_is_pulled_with_what_a_plugin_knows(cluster: Cluster, kubelet: Asking) -> None:
    cluster.apply(pod("first", "known/busybox"))
    cluster.ready("first")
    assert kubelet.asked() == [f"{REGISTRY}/known/busybox"]
    cluster.apply(pod("stranger", "other/busybox"))
    eventually(lambda: refused(cluster, "stranger"), "the registry's refusal")
    # One answer is good for the whole registry, and for ten minutes.
    cluster.apply(pod("second", "known/busybox"))
    cluster.ready("second")
    assert kubelet.asked() == [f"{REGISTRY}/known/busybox"]
    ran = 'kubelet_credential_provider_plugin_duration_count{plugin_name="vault"} 1.0'
    assert ran in kubelet.get("/metrics").decode()


@pytest.mark.usefixtures("registry", "kubelet")
def test_an_image_is_pulled_with_what_a_pull_secret_holds(cluster: Cluster) -> None:
    def secret(name: str, password: str) -> dict[str, Any]:
        auths = {"auths": {REGISTRY: {"username": "puller", "password": password}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(auths).encode()).decode()}
        kind = "kubernetes.io/dockerconfigjson"
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data}

    cluster.apply(secret("right", "sesame"), secret("wrong", "simsim"))
    cluster.apply(
        pod("welcome", "other/busybox", imagePullSecrets=[{"name": "wrong"}, {"name": "right"}]),
        pod("unwelcome", "other/busybox", imagePullSecrets=[{"name": "wrong"}]),
    )
    cluster.ready("welcome")
    eventually(lambda: refused(cluster, "unwelcome"), "the registry's refusal")
