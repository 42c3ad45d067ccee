"""Who the kubelet is, to the API server, to registries and on its own port: joining at the start, and what renews
certificates. How much it asks of them, too."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import Client
from apimachinery.controller.events import EventRecorder
from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import Clock
from apimachinery.kit.config import Problems
from nodeagent.cri.images import ImageService

from .certificates import bootstrap
from .certificates.manager import CertificateManager
from .certificates.request import Request, client_request, serving_request
from .certificates.store import CertificateStore, Pair
from .config import Config
from .credential_config import read_providers
from .credential_plugins import CredentialPlugins
from .images import ImageManager
from .server.certificate import Serving

log = logging.getLogger(__name__)

# client-go's (rest.DefaultQPS, DefaultBurst).
_CLIENT_QPS, _CLIENT_BURST = 5, 10


async def make_client(config: Config, clock: Clock) -> Client | None:
    """The client that the kubeconfig describes, joining the cluster first if need be; None without one.

    Raises ConfigError, CommandFailed.
    """
    if config.kubeconfig is None:
        return None
    found: ClientConfig
    if config.bootstrap_kubeconfig is not None:
        found = await bootstrap.ensure_kubeconfig(
            config.kubeconfig, config.bootstrap_kubeconfig, config.node_name, config.cert_dir, clock
        )
    else:
        found = load_kubeconfig(config.kubeconfig)
    if config.rotate_certificates:
        found = bootstrap.with_newest(found, _store(config))
    return Client(found, "kubelet/v1.32.0")


def make_events(config: Config, client: Client | None, clock: Clock) -> EventRecorder | None:
    """What tells of events, eventRecordQPS a second (0: what any client may ask); None without an API server."""
    if client is None:
        return None
    pace = TokenBucket(config.event_qps or _CLIENT_QPS, config.event_burst or _CLIENT_BURST, clock)
    return EventRecorder(client, "kubelet", config.node_name, clock, pace=pace)


def make_images(config: Config, images: ImageService, clock: Clock) -> ImageManager:
    """What pulls images, with the node's own credentials and plug-ins. Raises ConfigError."""
    plugins, file, folder = None, config.credential_config, config.credential_bin_dir
    if file is not None or folder is not None:
        problems = Problems()
        providers = read_providers(file, folder, problems)
        problems.raise_if_any()
        plugins = CredentialPlugins(providers, folder or Path(), clock)
    return ImageManager(
        images,
        clock,
        serialize=config.serialize_image_pulls,
        parallel=config.max_parallel_image_pulls,
        pace=TokenBucket(config.registry_qps, config.registry_burst, clock) if config.registry_qps else None,
        docker_configs=(config.root_dir / "config.json", Path("/root/.docker/config.json")),
        plugins=plugins,
    )


def _store(config: Config) -> CertificateStore:
    return CertificateStore(config.cert_dir, bootstrap.STORE)


def client_rotation(config: Config, client: Client | None, clock: Clock) -> CertificateManager | None:
    """What renews the client certificate (rotateCertificates); None when nothing is to."""
    if client is None or not config.rotate_certificates or not client.config.cert_data or not client.config.key_data:
        return None

    async def use(pair: Pair) -> None:
        await client.show(replace(client.config, cert_data=pair.cert, key_data=pair.key))

    first, store = Pair(client.config.cert_data, client.config.key_data), _store(config)
    if store.current() is None:
        # Where people look for it and the next will be (getCurrentCertificateOrBootstrap). Upstream also asks for the
        # next at once, which three machines that boot together need not.
        try:
            store.update(first, clock.now())
        except OSError as error:
            log.error("unable to set the cert/key pair to the bootstrap certificate: %s", error)
    wanted = client_request(config.node_name)
    return CertificateManager(client, clock, store, lambda: wanted, use, first)


def serving_rotation(
    config: Config, client: Client | None, serving: Serving, ips: tuple[str, ...], clock: Clock
) -> CertificateManager | None:
    """What asks for the serving certificate and renews it (serverTLSBootstrap); None when nothing is to."""
    if client is None or not config.server_tls_bootstrap or config.tls_cert_file is not None:
        return None

    def wanted() -> Request:
        return serving_request(config.node_name, (config.node_name,), ips)

    return CertificateManager(client, clock, serving.store, wanted, serving.use)
