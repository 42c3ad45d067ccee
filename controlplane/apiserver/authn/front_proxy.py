"""The front proxy (aggregation layer): whom we believe as one, and what we publish about ours."""

from __future__ import annotations

import orjson

from controlplane.apiserver.authn.authenticator import FrontProxy
from controlplane.apiserver.authn.certificates import authorities
from controlplane.apiserver.config import Config


def believed(config: Config) -> FrontProxy | None:
    """None without --requestheader-client-ca-file."""
    if config.requestheader_client_ca_file is None:
        return None
    return FrontProxy(
        authorities(config.requestheader_client_ca_file),
        {} if config.client_ca_file is None else authorities(config.client_ca_file),
        config.requestheader_allowed_names,
        config.requestheader_username_headers,
        config.requestheader_group_headers,
        config.requestheader_extra_headers_prefix,
    )


def published(config: Config) -> dict[str, str]:
    """The data of the ConfigMap extension-apiserver-authentication: whom this server believes. Raises OSError."""
    clients = {} if config.client_ca_file is None else {"client-ca-file": config.client_ca_file.read_text()}
    if config.requestheader_client_ca_file is None:
        return clients
    lists = {
        "requestheader-allowed-names": config.requestheader_allowed_names,
        "requestheader-extra-headers-prefix": config.requestheader_extra_headers_prefix,
        "requestheader-group-headers": config.requestheader_group_headers,
        "requestheader-username-headers": config.requestheader_username_headers,
    }
    data = {key: orjson.dumps(list(words)).decode() for key, words in lists.items()}
    return {**clients, **data, "requestheader-client-ca-file": config.requestheader_client_ca_file.read_text()}
