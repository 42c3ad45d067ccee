"""kube-apiserver's configuration, as its command line spells it: the real component's flags, and ours for the embedded
store."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from apimachinery.kit.clock import SystemClock
from apimachinery.kit.tls_choice import USUAL_TLS, TLSChoice
from controlplane.apiserver.admission import from_flags as admission_flags
from controlplane.apiserver.audit import options as audit_options
from controlplane.apiserver.audit.options import AuditOptions
from controlplane.apiserver.authz import from_flags as authorization_flags
from controlplane.apiserver.authz.configuration import ConfigurationFile, Settings, usual
from controlplane.apiserver.authz.from_flags import Webhook
from controlplane.apiserver.flags import ADDRESS_TYPES, Flags

if TYPE_CHECKING:
    from controlplane.apiserver.admission.configuration import AdmissionConfiguration
    from controlplane.apiserver.authn.oidc.configuration import Providers
    from controlplane.apiserver.authz.abac import Policy as ABACPolicy

_SERVICES = ipaddress.IPv4Network("10.96.0.0/12")


class Config(Struct, frozen=True):
    """A checked configuration. Exactly one of `etcd_servers` and `storage_sqlite` is set."""

    tls_cert_file: Path
    tls_private_key_file: Path
    client_ca_file: Path | None
    service_account_key_files: tuple[Path, ...]
    service_account_signing_key_file: Path
    service_account_issuer: str
    etcd_servers: tuple[str, ...] = ()
    etcd_prefix: str = "/registry"
    etcd_cafile: Path | None = None
    etcd_certfile: Path | None = None
    etcd_keyfile: Path | None = None
    storage_sqlite: Path | None = None
    accepted_issuers: tuple[str, ...] = ()
    max_token_expiration: int = 0
    extend_token_expiration: bool = True
    jwks_uri: str = ""
    external_hostname: str = ""
    api_audiences: tuple[str, ...] = ()
    token_auth_file: Path | None = None
    priority_and_fairness: bool = True
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    encryption_provider_config: Path | None = None
    encryption_reload: bool = False
    audit: AuditOptions = AuditOptions()
    bootstrap_token_auth: bool = False
    service_cluster_ip_ranges: tuple[ipaddress.IPv4Network, ipaddress.IPv6Network | None] = (_SERVICES, None)
    service_node_port_range: tuple[int, int] = (30000, 32767)
    kubernetes_service_node_port: int = 0
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    kubelet_preferred_address_types: tuple[str, ...] = ADDRESS_TYPES
    authorizers: Settings = (usual("AlwaysAllow"),)
    authorization_config: ConfigurationFile | None = None
    authorization_policies: tuple[ABACPolicy, ...] = ()
    token_webhook: Webhook | None = None
    providers: Providers | None = None
    anonymous_auth: bool = True
    anonymous_paths: tuple[str, ...] = ()
    tls_choice: TLSChoice = USUAL_TLS
    bind_address: str = "0.0.0.0"
    secure_port: int = 6443
    permit_port_sharing: bool = False
    advertise_address: str = ""
    allow_privileged: bool = False
    admission_plugins: tuple[str, ...] = admission_flags.DEFAULT_PLUGINS
    admission: AdmissionConfiguration | None = None
    default_not_ready_toleration_seconds: int = 300
    default_unreachable_toleration_seconds: int = 300
    requestheader_client_ca_file: Path | None = None
    requestheader_allowed_names: tuple[str, ...] = ()
    requestheader_username_headers: tuple[str, ...] = ("X-Remote-User",)
    requestheader_group_headers: tuple[str, ...] = ("X-Remote-Group",)
    requestheader_extra_headers_prefix: tuple[str, ...] = ("X-Remote-Extra-",)
    proxy_client_cert_file: Path | None = None
    proxy_client_key_file: Path | None = None
    enable_aggregator_routing: bool = False
    aggregator_reject_forwarding_redirect: bool = True
    event_ttl: float = 3600.0
    runtime_config: Mapping[str, str] = {}
    shutdown_delay_duration: float = 0.0
    shutdown_send_retry_after: bool = False
    feature_gates: Mapping[str, bool] = {}
    etcd_healthcheck_timeout: float = 2.0
    etcd_readycheck_timeout: float = 2.0
    etcd_compaction_interval: float = 300.0
    request_timeout: float = 60.0
    min_request_timeout: float = 1800.0
    cors_allowed_origins: tuple[str, ...] = ()
    hsts_directives: tuple[str, ...] = ()
    history_retention: float = 3600.0
    verbosity: int = 0

    @property
    def service_account_issuers(self) -> tuple[str, ...]:
        """The issuer of new tokens, and the others whose tokens are still accepted."""
        return (self.service_account_issuer, *self.accepted_issuers)

    @property
    def authorization_modes(self) -> tuple[str, ...]:
        """The types of those who decide, at the start."""
        return tuple(each.type for each in self.authorizers)

    @property
    def anybody_may(self) -> bool:
        """Whether --authorization-mode allows everything to everybody: then nobody is let in without a name
        (BuiltInAuthenticationOptions.ApplyAuthorization)."""
        return self.authorization_config is None and "AlwaysAllow" in self.authorization_modes

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences a token must name one of; the issuer when none are configured."""
        return self.api_audiences or (self.service_account_issuer,)


def parse(argv: Sequence[str]) -> Config:
    """The configuration a command line spells. Raises ConfigError with every problem that could be known."""
    flags = Flags(argv)
    problems = flags.problems
    servers, sqlite = flags.words("etcd-servers"), flags.text("storage-sqlite")
    if bool(servers) == bool(sqlite):
        problems.add("--etcd-servers", "exactly one of --etcd-servers and --storage-sqlite must be specified")
    issuers, plugins = flags.each("service-account-issuer"), admission_flags.chosen_plugins(flags)
    file = authorization_flags.configuration_file(flags)
    gates, node_ports = flags.gates("feature-gates"), flags.ports("service-node-port-range")
    providers, anonymous, anonymous_paths = _providers(flags, issuers, gates)
    config = Config(
        tls_cert_file=flags.file("tls-cert-file", needed=True) or Path(),
        tls_private_key_file=flags.file("tls-private-key-file", needed=True) or Path(),
        client_ca_file=flags.file("client-ca-file"),
        service_account_key_files=tuple(
            flags.existing("service-account-key-file", each) for each in flags.each("service-account-key-file")
        ),
        service_account_signing_key_file=flags.file("service-account-signing-key-file", needed=True) or Path(),
        service_account_issuer=issuers[0] if issuers else "",
        accepted_issuers=issuers[1:],
        max_token_expiration=_max_token_expiration(flags),
        extend_token_expiration=flags.is_on("service-account-extend-token-expiration"),
        jwks_uri=_jwks_uri(flags),
        external_hostname=flags.text("external-hostname"),
        token_auth_file=flags.file("token-auth-file"),
        priority_and_fairness=flags.is_on("enable-priority-and-fairness"),
        max_requests_inflight=flags.number("max-requests-inflight", 0, 1_000_000),
        max_mutating_requests_inflight=flags.number("max-mutating-requests-inflight", 0, 1_000_000),
        encryption_provider_config=_encryption(flags),
        encryption_reload=flags.is_on("encryption-provider-config-automatic-reload"),
        audit=audit_options.parse(flags),
        bootstrap_token_auth=flags.is_on("enable-bootstrap-token-auth"),
        etcd_servers=servers,
        etcd_prefix=flags.text("etcd-prefix"),
        etcd_cafile=flags.file("etcd-cafile"),
        etcd_certfile=flags.file("etcd-certfile"),
        etcd_keyfile=flags.file("etcd-keyfile"),
        storage_sqlite=Path(sqlite) if sqlite else None,
        api_audiences=flags.words("api-audiences"),
        service_cluster_ip_ranges=flags.networks("service-cluster-ip-range"),
        service_node_port_range=node_ports,
        kubernetes_service_node_port=flags.node_port("kubernetes-service-node-port", *node_ports),
        kubelet_client_certificate=flags.file("kubelet-client-certificate"),
        kubelet_client_key=flags.file("kubelet-client-key"),
        kubelet_certificate_authority=flags.file("kubelet-certificate-authority"),
        kubelet_preferred_address_types=flags.words("kubelet-preferred-address-types"),
        authorizers=authorization_flags.authorizers(flags, file),
        authorization_config=file,
        authorization_policies=authorization_flags.policies(flags),
        token_webhook=authorization_flags.token_webhook(flags),
        providers=providers,
        anonymous_auth=anonymous,
        anonymous_paths=anonymous_paths,
        tls_choice=flags.tls_choice(),
        bind_address=flags.address("bind-address"),
        permit_port_sharing=flags.is_on("permit-port-sharing"),
        secure_port=flags.number("secure-port", 1, 65535),
        advertise_address=flags.address("advertise-address"),
        allow_privileged=flags.is_on("allow-privileged"),
        admission_plugins=plugins,
        admission=admission_flags.configuration(flags.file("admission-control-config-file"), plugins, problems),
        default_not_ready_toleration_seconds=flags.number("default-not-ready-toleration-seconds", 0, 1 << 40),
        default_unreachable_toleration_seconds=flags.number("default-unreachable-toleration-seconds", 0, 1 << 40),
        requestheader_client_ca_file=flags.file("requestheader-client-ca-file"),
        requestheader_allowed_names=flags.words("requestheader-allowed-names"),
        requestheader_username_headers=flags.words("requestheader-username-headers"),
        requestheader_group_headers=flags.words("requestheader-group-headers"),
        requestheader_extra_headers_prefix=flags.words("requestheader-extra-headers-prefix"),
        proxy_client_cert_file=flags.file("proxy-client-cert-file"),
        proxy_client_key_file=flags.file("proxy-client-key-file"),
        enable_aggregator_routing=flags.is_on("enable-aggregator-routing"),
        aggregator_reject_forwarding_redirect=flags.is_on("aggregator-reject-forwarding-redirect"),
        event_ttl=flags.duration("event-ttl"),
        runtime_config=_runtime_config(flags),
        shutdown_delay_duration=flags.duration("shutdown-delay-duration"),
        shutdown_send_retry_after=flags.is_on("shutdown-send-retry-after"),
        feature_gates=gates,
        etcd_healthcheck_timeout=flags.duration("etcd-healthcheck-timeout"),
        etcd_readycheck_timeout=flags.duration("etcd-readycheck-timeout"),
        etcd_compaction_interval=flags.duration("etcd-compaction-interval"),
        request_timeout=flags.duration("request-timeout"),
        min_request_timeout=float(flags.number("min-request-timeout", 0, 1 << 31)),
        cors_allowed_origins=_origins(flags),
        hsts_directives=_hsts(flags),
        history_retention=flags.duration("history-retention"),
        verbosity=flags.number("v", 0, 10),
    )
    problems.raise_if_any()
    return config


def _max_token_expiration(flags: Flags) -> int:
    """Seconds; 0 for no limit."""
    seconds = flags.duration("service-account-max-token-expiration")
    if seconds and not 3600 <= seconds <= 1 << 32:
        told = "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds"
        flags.problems.add("--service-account-max-token-expiration", told)
    return int(seconds)


def _jwks_uri(flags: Flags) -> str:
    found, problems = flags.text("service-account-jwks-uri"), flags.problems
    if found and urlsplit(found).scheme != "https":
        told = f"service-account-jwks-uri requires https scheme, parsed as: {found}"
        problems.add("--service-account-jwks-uri", told)
    return found


def _origins(flags: Flags) -> tuple[str, ...]:
    found = flags.every("cors-allowed-origins")
    if found:
        from controlplane.apiserver.front.browsers import wrong_origins  # which few servers need

        for what in wrong_origins(found):
            flags.problems.add("--cors-allowed-origins", what)
    return found


def _hsts(flags: Flags) -> tuple[str, ...]:
    found = flags.every("strict-transport-security-directives")
    if found:
        from controlplane.apiserver.front.browsers import wrong_directives

        for what in wrong_directives(found):
            flags.problems.add("--strict-transport-security-directives", what)
    return found


def _providers(
    flags: Flags, issuers: Sequence[str], gates: Mapping[str, bool]
) -> tuple[Providers | None, bool, tuple[str, ...]]:
    """Those of OpenID Connect; whether people without credentials are let in, and where if not everywhere."""
    if not flags.any_given("oidc-", "authentication-config"):
        return None, flags.is_on("anonymous-auth"), ()
    from controlplane.apiserver.authn.oidc.from_flags import providers  # which few servers need

    found, anonymous = providers(flags, issuers, gates)
    return found, anonymous.enabled, anonymous.paths


def _runtime_config(flags: Flags) -> dict[str, str]:
    asked = flags.pairs("runtime-config")
    if asked:
        from apimachinery.api.catalogue import CATALOGUE  # which wrong flags are told without
        from controlplane.apiserver.discovery.enablement import refusals

        for what in refusals(CATALOGUE, asked):
            flags.problems.add("--runtime-config", what)
    return asked


def _encryption(flags: Flags) -> Path | None:
    path, problems = flags.file("encryption-provider-config"), flags.problems
    if path is None and flags.is_on("encryption-provider-config-automatic-reload"):
        told = "must be set with --encryption-provider-config"
        problems.add("--encryption-provider-config-automatic-reload", told)
    if path is not None and path.is_file():
        from controlplane.apiserver.encryption.configuration import load

        try:
            load(path, SystemClock())  # asks nobody yet
        except (ValueError, OSError, ImportError) as error:
            problems.add("--encryption-provider-config", str(error))
    return path
