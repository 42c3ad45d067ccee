"""Who is believed, and on what grounds requests are allowed: TLS, tokens, authorizers."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apimachinery.kit import tls
from apimachinery.kit.clock import Clock
from apimachinery.kit.handshake import accept_unverified
from apimachinery.kit.tasks import Fatal
from apimachinery.kit.tls_files import TLSFileError, load_authorities, replace_pair
from controlplane.apiserver.authn import token_file
from controlplane.apiserver.authn.bootstrap_tokens import BootstrapTokenAuthenticator
from controlplane.apiserver.authn.legacy_tokens import Lookup, Mark
from controlplane.apiserver.authn.reloading import state
from controlplane.apiserver.authn.service_accounts import ServiceAccountAuthenticator
from controlplane.apiserver.authn.token_authenticators import TokenAuthenticator
from controlplane.apiserver.authn.token_file import TokenFileAuthenticator
from controlplane.apiserver.authn.tokens import Verifier
from controlplane.apiserver.authz.abac import ABACAuthorizer
from controlplane.apiserver.authz.attributes import Authorizer
from controlplane.apiserver.authz.from_flags import Webhook
from controlplane.apiserver.authz.node import NodeAuthorizer
from controlplane.apiserver.authz.node_graph import PodGraph
from controlplane.apiserver.authz.rbac import PolicyIndex, RBACAuthorizer
from controlplane.apiserver.authz.union import AlwaysAllow, AlwaysDeny
from controlplane.apiserver.config import Config

if TYPE_CHECKING:
    from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
    from controlplane.apiserver.authn.remote_reviews import RemoteReviews

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at the files of the serving certificate and the authorities


def server_tls(config: Config) -> ssl.SSLContext:
    """Of the secure port: clients of both authorities are known by it. Raises TLSFileError."""
    context = tls.server_context(config.tls_cert_file, config.tls_private_key_file, config.client_ca_file)
    if config.requestheader_client_ca_file is not None:
        load_authorities(context, config.requestheader_client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    accept_unverified(context)
    config.tls_choice.apply(context)
    return context


async def keep_showing(context: ssl.SSLContext, config: Config, clock: Clock) -> None:
    """For ever: let the secure port show what is written into the files of its certificate, and believe clients of the
    authorities that are added to --client-ca-file, without a restart. One that is taken out is believed until then:
    OpenSSL's store of them can only grow."""
    pair, clients = (config.tls_cert_file, config.tls_private_key_file), config.client_ca_file
    shown, believed = [state(file) for file in pair], state(clients) if clients else None
    while True:
        await clock.sleep(_LOOK)
        if (found := [state(file) for file in pair]) != shown:
            shown = found
            with _stays("the serving certificate stays what it was"):
                replace_pair(context, *pair)
                log.info("loaded the serving certificate %s", pair[0])
        if clients is not None and (now := state(clients)) != believed:
            believed = now
            with _stays("the authorities of clients stay what they were"):
                load_authorities(context, clients)
                log.info("loaded the authorities of clients %s", clients)


@contextmanager
def _stays(what: str) -> Iterator[None]:
    try:
        yield
    except TLSFileError as error:
        log.error("%s: %s", what, error)


@contextmanager
def of_flag(flag: str) -> Iterator[None]:
    """A file that it names is no good: that ends the server without a traceback."""
    try:
        yield
    except ValueError as error:
        raise Fatal(f"{flag}: {error}") from error


def oidc_of(config: Config, clock: Clock) -> OIDCAuthenticator | None:
    """The tokens of OpenID Connect providers; None when none is configured."""
    if (providers := config.providers) is None:
        return None
    from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator

    return OIDCAuthenticator(providers.jwt, providers.algorithms, config.audiences, clock)


def token_reviews(webhook: Webhook | None, clock: Clock) -> RemoteReviews | None:
    """Where --authentication-token-webhook-config-file asks."""
    if webhook is None:
        return None
    from controlplane.apiserver.authn.remote_reviews import RemoteReviews  # few servers have one

    return RemoteReviews(webhook.client, f"authentication.k8s.io/{webhook.version}", "TokenReview", clock)


def token_authenticators(
    config: Config,
    verifier: Verifier,
    lookup: Lookup,
    mark: Mark,
    clock: Clock,
    oidc: OIDCAuthenticator | None,
    reviews: RemoteReviews | None,
) -> list[TokenAuthenticator]:
    """In upstream's order: what is asked of others comes last."""
    found: list[TokenAuthenticator] = [ServiceAccountAuthenticator(verifier, lookup, mark, clock)]
    if config.token_auth_file is not None:
        with of_flag("--token-auth-file"):
            found.insert(0, TokenFileAuthenticator(token_file.load(config.token_auth_file), config.audiences))
    if config.bootstrap_token_auth:
        found.append(BootstrapTokenAuthenticator(lookup, config.audiences, clock))
    if oidc is not None:
        found.append(oidc)
    if config.token_webhook is not None and reviews is not None:
        from controlplane.apiserver.authn.webhook import WebhookTokenAuthenticator

        found.append(WebhookTokenAuthenticator(reviews, config.audiences, config.token_webhook.ttl))
    return found


def authorizers_by_mode(config: Config, policy: PolicyIndex, graph: PodGraph) -> Mapping[str, Callable[[], Authorizer]]:
    """What makes the authorizer of each --authorization-mode that needs no file of its own."""
    return {
        "AlwaysAllow": AlwaysAllow,
        "AlwaysDeny": AlwaysDeny,
        "ABAC": lambda: ABACAuthorizer(config.authorization_policies),
        "Node": lambda: NodeAuthorizer(graph),
        "RBAC": lambda: RBACAuthorizer(policy),
    }
