"""Joining the parts that hand requests on."""

from __future__ import annotations

import ssl

from apimachinery.kit import tls
from controlplane.apiserver.config import Config
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.streams.forward import Forwarder
from controlplane.apiserver.streams.location import Locator
from controlplane.apiserver.streams.pods import NodeStreams


def build(config: Config, registry: Registry, forwarder: Forwarder) -> NodeStreams:
    """Raises OSError or ssl.SSLError for certificates that cannot be read."""
    cert, key = config.kubelet_client_certificate, config.kubelet_client_key
    unverified = tls.unverified_client_context(cert, key)
    locator = Locator(
        registry,
        _kubelet_tls(config, unverified),
        unverified,
        tls.unverified_client_context(),
        config.kubelet_preferred_address_types,
    )
    return NodeStreams(registry, locator, forwarder)


def _kubelet_tls(config: Config, unverified: ssl.SSLContext) -> ssl.SSLContext:
    authority = config.kubelet_certificate_authority
    if authority is None:
        # As upstream: without the authority's name the node agent's certificate is not verified.
        return unverified
    return tls.client_context(authority.read_bytes(), config.kubelet_client_certificate, config.kubelet_client_key)
