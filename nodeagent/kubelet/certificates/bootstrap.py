"""Joining with a token: a client certificate is asked for with the bootstrap kubeconfig's credentials, and kept.

As upstream's pkg/kubelet/certificate/bootstrap.
"""

from __future__ import annotations

import datetime
import logging
from dataclasses import replace
from pathlib import Path

import yaml

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.kit.clock import Clock
from apimachinery.kit.config import ConfigError
from apimachinery.kit.files import write_atomic
from apimachinery.kit.tasks import CommandFailed
from apimachinery.meta.status import ApiError
from apimachinery.meta.yaml_text import load

from .request import client_request, new_key
from .signing import NotSigned, sign
from .store import CertificateStore, Pair
from .validity import validity

log = logging.getLogger(__name__)

STORE = "kubelet-client"


def usable(kubeconfig: Path, now: datetime.datetime) -> ClientConfig | None:
    """A kubeconfig that is there and shows an identity that still holds."""
    try:
        config = load_kubeconfig(kubeconfig)
        if config.cert_data is None:
            return config if config.token or config.token_file else None
        if validity(config.cert_data).holds(now):
            return config
        log.error("Part of the existing bootstrap client certificate in %s is expired", kubeconfig)
    except (ConfigError, ValueError) as error:
        log.debug("%s cannot be used: %s", kubeconfig, error)
    return None


async def ensure_kubeconfig(
    kubeconfig: Path, bootstrap: Path, node: str, directory: Path, clock: Clock
) -> ClientConfig:
    """What `kubeconfig` says, after joining with `bootstrap` if it said nothing of use.

    Raises CommandFailed: the bootstrap kubeconfig is missing, the API server refuses us, or nobody approved us.
    """
    found = usable(kubeconfig, clock.now())
    if found is not None:
        return found
    if not bootstrap.exists():
        absent = f"stat {bootstrap}: no such file or directory"
        raise CommandFailed(f"failed to run Kubelet: unable to load bootstrap kubeconfig: {absent}")
    try:
        config = load_kubeconfig(bootstrap)
    except ConfigError as error:
        raise CommandFailed(f"failed to run Kubelet: unable to load bootstrap kubeconfig: {error}") from None
    log.info("Using bootstrap kubeconfig %s to generate TLS client cert, key and kubeconfig file", bootstrap)
    key = _kept_key(directory)
    try:
        async with Client(config, "kubelet/v1.32.0") as client:
            cert = await sign(client, clock, client_request(node), key)
    except (ApiError, NotSigned) as error:
        what = "cannot create certificate signing request: " if isinstance(error, ApiError) else ""
        raise CommandFailed(f"failed to run Kubelet: {what}{error}") from None
    store = CertificateStore(directory, STORE)
    store.update(Pair(cert, key), clock.now())
    write_atomic(kubeconfig, render_kubeconfig(bootstrap, store.current_path), 0o600)
    (directory / f"{STORE}.key.tmp").unlink(missing_ok=True)
    return load_kubeconfig(kubeconfig)


def _kept_key(directory: Path) -> bytes:
    """The key of an attempt that was broken off, so that its request, perhaps approved meanwhile, is not lost."""
    path = directory / f"{STORE}.key.tmp"
    try:
        return path.read_bytes()
    except OSError:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = new_key()
    write_atomic(path, key, 0o600)
    return key


def render_kubeconfig(bootstrap: Path, pem: Path) -> str:
    """A kubeconfig for the bootstrap file's cluster, whose user has the certificate in `pem`."""
    document = load(bootstrap.read_bytes())
    contexts = {entry["name"]: entry["context"] for entry in document.get("contexts") or ()}
    chosen = contexts[document["current-context"]]["cluster"]
    cluster = next(entry["cluster"] for entry in document["clusters"] if entry["name"] == chosen)
    if not Path(cluster.get("certificate-authority") or "/").is_absolute():
        cluster = {**cluster, "certificate-authority": str(bootstrap.parent / cluster["certificate-authority"])}
    user = {"client-certificate": str(pem), "client-key": str(pem)}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default-cluster", "cluster": cluster}],
            "contexts": [
                {
                    "name": "default-context",
                    "context": {"cluster": "default-cluster", "namespace": "default", "user": "default-auth"},
                }
            ],
            "current-context": "default-context",
            "preferences": {},
            "users": [{"name": "default-auth", "user": user}],
        }
    )


def with_newest(config: ClientConfig, store: CertificateStore) -> ClientConfig:
    """The kubeconfig's identity, or the rotated one in the store where that is newer."""
    kept = store.current()
    if kept is None or config.cert_data is None:
        return config
    try:
        newer = validity(kept.cert).begins > validity(config.cert_data).begins
    except ValueError:
        return config
    return replace(config, cert_data=kept.cert, key_data=kept.key) if newer else config
