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
from apimachinery.kit.config import ConfigError, Problems
from apimachinery.kit.tls_choice import USUAL_TLS, TLSChoice
from controlplane.apiserver.audit import options as audit_options
from controlplane.apiserver.audit.options import AuditOptions
from controlplane.apiserver.authz.configuration import (
    TYPES,
    AuthorizerSettings,
    ConfigurationFile,
    Settings,
    WebhookSettings,
    usual,
)
from controlplane.apiserver.authz.configuration import parse as parse_authorization
from controlplane.apiserver.flags import ADDRESS_TYPES, Flags

if TYPE_CHECKING:
    from apimachinery.client.config import ClientConfig
    from controlplane.apiserver.admission.configuration import AdmissionConfiguration
    from controlplane.apiserver.authn.oidc.configuration import Providers
    from controlplane.apiserver.authz.abac import Policy as ABACPolicy

ADMISSION_PLUGINS = (
    "AlwaysAdmit",
    "NamespaceAutoProvision",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "ImagePolicyWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "Priority",
    "DefaultTolerationSeconds",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "DenyServiceExternalIPs",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
    "AlwaysDeny",
)
"""The plug-ins there are, in upstream's order (AllOrderedPlugins)."""

_CLOSED = frozenset({"ClusterTrustBundleAttest", "MutatingAdmissionPolicy"})
"""Plug-ins of alpha features: known by name, doing nothing."""

_SERVICES = ipaddress.IPv4Network("10.96.0.0/12")
_OFF_BY_DEFAULT = frozenset(
    {"AlwaysAdmit", "NamespaceExists", "LimitPodHardAntiAffinityTopology", "NodeRestriction", "AlwaysPullImages"}
    | {"PodTolerationRestriction", "EventRateLimit", "ExtendedResourceToleration", "DenyServiceExternalIPs"}
    | {"OwnerReferencesPermissionEnforcement", "AlwaysDeny"}
    | {"NamespaceAutoProvision", "ImagePolicyWebhook", "PodNodeSelector"}
)
_DEFAULT_PLUGINS = tuple(name for name in ADMISSION_PLUGINS if name not in _OFF_BY_DEFAULT)


class Webhook(Struct, frozen=True):
    """A webhook that answers reviews. client: where it is, and who we are to it; version: of their group; ttl: seconds
    that a good answer holds."""

    client: ClientConfig
    version: str
    ttl: float


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
    admission_plugins: tuple[str, ...] = _DEFAULT_PLUGINS
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
    issuers, plugins = flags.each("service-account-issuer"), chosen_plugins(flags)
    file = _authorization_file(flags, problems)
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
        authorizers=_authorizers(flags, file, problems),
        authorization_config=file,
        authorization_policies=_policies(flags),
        token_webhook=_token_webhook(flags),
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
        admission=_admission(flags.file("admission-control-config-file"), plugins, problems),
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


def _authorization_file(flags: Flags, problems: Problems) -> ConfigurationFile | None:
    path = flags.file("authorization-config")
    others = ("mode", *(f"webhook-{each}" for each in ("config-file", "version", *_TTLS)))
    if path is None:
        return None
    if any(flags.was_given(f"authorization-{other}") for other in others):
        told = "can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"
        problems.add("--authorization-config", told)
    try:
        return ConfigurationFile(path, path.read_bytes())
    except OSError:
        return None  # `flags` told


_TTLS = ("cache-authorized-ttl", "cache-unauthorized-ttl")


def _authorizers(flags: Flags, file: ConfigurationFile | None, problems: Problems) -> Settings:
    if file is None:
        found = _modes(flags, problems)
    else:
        try:
            found = parse_authorization(file.text)
        except ConfigError as error:
            for problem in error.problems:
                problems.add("--authorization-config", problem)
            return ()
    if "ABAC" in [each.type for each in found] and not flags.text("authorization-policy-file"):
        flag = "--authorization-mode" if file is None else "--authorization-config"
        problems.add(flag, "authorization-mode ABAC's authorization policy file not passed")
    if file is None:
        return found
    for each in found:
        if each.webhook is not None:
            _client(flags, "authorization-config", each.webhook.kubeconfig)
    return found


def _policies(flags: Flags) -> tuple[ABACPolicy, ...]:
    path = flags.file("authorization-policy-file")
    if path is None or not path.is_file():
        return ()
    from controlplane.apiserver.authz.abac import load  # which few servers need

    try:
        return load(path)
    except ConfigError as error:
        for problem in error.problems:
            flags.problems.add("--authorization-policy-file", problem)
    except OSError as error:
        flags.problems.add("--authorization-policy-file", str(error))
    return ()


def _modes(flags: Flags, problems: Problems) -> Settings:
    modes = flags.words("authorization-mode")
    for number, mode in enumerate(modes):
        if mode not in TYPES:
            problems.add("--authorization-mode", f'"{mode}" is not a valid mode')
        if mode in modes[:number]:
            problems.add("--authorization-mode", f'authorization-mode "{mode}" is specified more than once')
    file = flags.text("authorization-webhook-config-file")
    if flags.text("authorization-policy-file") and "ABAC" not in modes:
        told = "cannot specify --authorization-policy-file without mode ABAC"
        problems.add("--authorization-policy-file", told)
    if "Webhook" in modes and not file:
        problems.add("--authorization-mode", "authorization-mode Webhook's authorization config file not passed")
    if file and "Webhook" not in modes:
        told = "cannot specify --authorization-webhook-config-file without mode Webhook"
        problems.add("--authorization-webhook-config-file", told)
    webhook = _authorization_webhook(flags)
    return tuple(AuthorizerSettings(mode, "default", webhook) if mode == "Webhook" else usual(mode) for mode in modes)


def _authorization_webhook(flags: Flags) -> WebhookSettings | None:
    prefix = "authorization-webhook"
    authorized, unauthorized = (flags.duration(f"{prefix}-{each}") for each in _TTLS)
    file, version = _reviewer(flags, prefix, "webhook authorizer")
    if file is None or _client(flags, f"{prefix}-config-file", file) is None:
        return None
    return WebhookSettings(file, version, authorized, unauthorized)


def _token_webhook(flags: Flags) -> Webhook | None:
    prefix = "authentication-token-webhook"
    seconds = flags.duration(f"{prefix}-cache-ttl")
    file, version = _reviewer(flags, prefix, "authentication webhook")
    client = _client(flags, f"{prefix}-config-file", file) if file is not None else None
    return Webhook(client, version, seconds) if client is not None else None


def _reviewer(flags: Flags, prefix: str, what: str) -> tuple[Path | None, str]:
    """The kubeconfig file of a webhook, if there is one, and the version of reviews it is asked in. what: its kind, as
    upstream tells of it."""
    file, version = flags.file(f"{prefix}-config-file"), flags.text(f"{prefix}-version")
    if file is None or not file.is_file():
        return None, version
    if version not in ("v1", "v1beta1"):
        told = f'unsupported {what} version "{version}", supported versions are "v1", "v1beta1"'
        flags.problems.add(f"--{prefix}-version", told)
    return file, version


def _client(flags: Flags, flag: str, file: Path) -> ClientConfig | None:
    from apimachinery.client.config import load_kubeconfig  # which few servers need

    try:
        return load_kubeconfig(file)
    except ConfigError as error:
        for problem in error.problems:
            flags.problems.add(f"--{flag}", problem)
    return None


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


def chosen_plugins(flags: Flags) -> tuple[str, ...]:
    """The admission plug-ins, in upstream's order: the default ones, less those disabled, and those enabled."""
    problems = flags.problems
    enabled = set(flags.words("enable-admission-plugins"))
    disabled = set(flags.words("disable-admission-plugins"))
    only = set(flags.words("admission-control"))
    if only and (enabled or disabled):
        told = "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
        problems.add("--admission-control", told)
    for flag, names in (
        ("--admission-control", only),
        ("--enable-admission-plugins", enabled),
        ("--disable-admission-plugins", disabled),
    ):
        for name in sorted(names - set(ADMISSION_PLUGINS) - _CLOSED):
            problems.add(flag, f'plugin "{name}" is unknown')
    if both := sorted(enabled & disabled):
        problems.add(
            "--enable-admission-plugins",
            f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped",
        )
    chosen = only or (set(_DEFAULT_PLUGINS) - disabled) | enabled
    return tuple(name for name in ADMISSION_PLUGINS if name in chosen)


def _admission(file: Path | None, plugins: Sequence[str], problems: Problems) -> AdmissionConfiguration | None:
    if (file is None and "ImagePolicyWebhook" not in plugins) or (file is not None and not file.is_file()):
        return None
    from controlplane.apiserver.admission.configuration import load  # the plug-ins, which flags can do without

    return load(file, problems, plugins)
