"""kube-apiserver's command line: the real component's flags, and ours for the embedded store."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from msgspec import Struct

from apimachinery.kit.config import ConfigError, Problems
from apimachinery.meta import times

if TYPE_CHECKING:
    from controlplane.apiserver.admission.configuration import AdmissionConfiguration
    from controlplane.apiserver.audit.policy import Policy as AuditPolicy

ADMISSION_PLUGINS = (
    "AlwaysAdmit",
    "NamespaceLifecycle",
    "NamespaceExists",
    "LimitPodHardAntiAffinityTopology",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "AlwaysPullImages",
    "PodSecurity",
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

_SERVICES = ipaddress.IPv4Network("10.96.0.0/12")
_ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")
_OFF_BY_DEFAULT = frozenset(
    {"AlwaysAdmit", "NamespaceExists", "LimitPodHardAntiAffinityTopology", "NodeRestriction", "AlwaysPullImages"}
    | {"PodTolerationRestriction", "EventRateLimit", "ExtendedResourceToleration", "DenyServiceExternalIPs"}
    | {"OwnerReferencesPermissionEnforcement", "AlwaysDeny"}
)
_DEFAULT_PLUGINS = tuple(name for name in ADMISSION_PLUGINS if name not in _OFF_BY_DEFAULT)


class Config(Struct, frozen=True):
    """A checked configuration. Exactly one of `etcd_servers` and `storage_sqlite` is set."""

    tls_cert_file: Path
    tls_private_key_file: Path
    client_ca_file: Path | None
    service_account_key_files: tuple[Path, ...]
    service_account_signing_key_file: Path
    service_account_issuer: str
    etcd_servers: tuple[str, ...] = ()
    etcd_cafile: Path | None = None
    etcd_certfile: Path | None = None
    etcd_keyfile: Path | None = None
    storage_sqlite: Path | None = None
    accepted_issuers: tuple[str, ...] = ()
    api_audiences: tuple[str, ...] = ()
    token_auth_file: Path | None = None
    priority_and_fairness: bool = True
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    encryption_provider_config: Path | None = None
    encryption_reload: bool = False
    audit_policy: AuditPolicy | None = None
    audit_log_path: str = ""
    audit_log_maxage: int = 0
    audit_log_maxbackup: int = 0
    audit_log_maxsize: int = 100
    bootstrap_token_auth: bool = False
    service_cluster_ip_range: ipaddress.IPv4Network = _SERVICES
    service_node_port_range: tuple[int, int] = (30000, 32767)
    kubelet_client_certificate: Path | None = None
    kubelet_client_key: Path | None = None
    kubelet_certificate_authority: Path | None = None
    kubelet_preferred_address_types: tuple[str, ...] = (
        "InternalIP",
        "Hostname",
        "InternalDNS",
        "ExternalDNS",
        "ExternalIP",
    )
    authorization_modes: tuple[str, ...] = ("AlwaysAllow",)
    anonymous_auth: bool = True
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
    etcd_compaction_interval: float = 300.0
    history_retention: float = 3600.0
    verbosity: int = 0

    @property
    def service_account_issuers(self) -> tuple[str, ...]:
        """The issuer of new tokens, and the others whose tokens are still accepted."""
        return (self.service_account_issuer, *self.accepted_issuers)

    @property
    def audiences(self) -> tuple[str, ...]:
        """The audiences a token must name one of; the issuer when none are configured."""
        return self.api_audiences or (self.service_account_issuer,)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError([message])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kube-apiserver", allow_abbrev=False, description="Serves the Kubernetes API.")

    def flag(name: str, default: str = "", text: str = "") -> None:
        parser.add_argument(f"--{name}", default=default, help=text)

    def switch(name: str, default: bool) -> None:
        parser.add_argument(f"--{name}", nargs="?", const="true", default="true" if default else "false")

    flag("etcd-servers", text="comma-separated URLs of etcd")
    flag("etcd-cafile")
    flag("etcd-certfile")
    flag("etcd-keyfile")
    flag("storage-sqlite", text="keep the objects in this SQLite file instead of etcd")
    flag("client-ca-file", text="authority of client certificates")
    flag("tls-cert-file")
    flag("tls-private-key-file")
    parser.add_argument("--service-account-key-file", action="append", default=[], help="public keys of tokens")
    flag("service-account-signing-key-file")
    parser.add_argument("--service-account-issuer", action="append", default=[], help="the first one issues")
    switch("enable-priority-and-fairness", True)
    flag("max-requests-inflight", "400")
    flag("max-mutating-requests-inflight", "200")
    flag("encryption-provider-config", text="which resources are stored encrypted, and how")
    switch("encryption-provider-config-automatic-reload", False)
    flag("audit-policy-file", text="which requests are written to the audit log, and how much of them")
    flag("audit-log-path", text="the audit log; - is the standard output")
    flag("audit-log-maxage", "0", "days to keep audit logs that were put aside; 0: for ever")
    flag("audit-log-maxbackup", "0", "how many of them to keep; 0: all")
    flag("audit-log-maxsize", "0", "megabytes at which the audit log is put aside; 0: 100")
    flag("audit-log-format", "json")
    flag("audit-log-mode", "blocking")
    flag("token-auth-file", text="static tokens: token,user,uid,groups")
    flag("api-audiences")
    flag("service-cluster-ip-range", "10.96.0.0/12")
    flag("service-node-port-range", "30000-32767")
    flag("kubelet-client-certificate")
    flag("kubelet-client-key")
    flag("kubelet-certificate-authority")
    flag("kubelet-preferred-address-types", ",".join(_ADDRESS_TYPES))
    flag("authorization-mode", "AlwaysAllow")
    switch("anonymous-auth", True)
    flag("bind-address", "0.0.0.0")
    flag("secure-port", "6443")
    switch("permit-port-sharing", False)
    flag("advertise-address")
    switch("allow-privileged", False)
    switch("enable-bootstrap-token-auth", False)
    switch("profiling", True)
    flag("enable-admission-plugins")
    flag("disable-admission-plugins")
    flag("admission-control-config-file", text="configuration of admission plug-ins")
    flag("default-not-ready-toleration-seconds", "300")
    flag("default-unreachable-toleration-seconds", "300")
    flag("requestheader-client-ca-file")
    flag("requestheader-allowed-names")
    flag("requestheader-username-headers", "X-Remote-User")
    flag("requestheader-group-headers", "X-Remote-Group")
    flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
    flag("proxy-client-cert-file")
    flag("proxy-client-key-file")
    switch("enable-aggregator-routing", False)
    switch("aggregator-reject-forwarding-redirect", True)
    flag("event-ttl", "1h0m0s")
    flag("etcd-compaction-interval", "5m0s", "how often history is forgotten; 0 never")
    flag("history-retention", "1h0m0s", "how long every revision can be read and watched (ours)")
    parser.add_argument("-v", "--v", dest="v", default="0")
    return parser


def parse(argv: Sequence[str]) -> Config:
    """The configuration a command line spells. Raises ConfigError with every problem that could be known."""
    options, unknown = _parser().parse_known_args(list(argv))
    problems = Problems()
    for word in unknown:
        problems.add(
            "arguments", f"unknown flag: {word.partition('=')[0]}" if word[:1] == "-" else f"unexpected {word}"
        )

    def file(name: str, *, needed: bool = False) -> Path | None:
        text = getattr(options, name.replace("-", "_"))
        if not text:
            if needed:
                problems.add(f"--{name}", "must be specified")
            return None
        if not Path(text).is_file():
            problems.add(f"--{name}", f"no such file: {text}")
        return Path(text)

    def number(name: str, text: str, low: int, high: int) -> int:
        if text.isdecimal() and low <= int(text) <= high:
            return int(text)
        problems.add(f"--{name}", f"{text!r} is not a number between {low} and {high}")
        return low

    servers = _words(options.etcd_servers)
    if bool(servers) == bool(options.storage_sqlite):
        problems.add("--etcd-servers", "exactly one of --etcd-servers and --storage-sqlite must be specified")
    modes = _words(options.authorization_mode)
    for mode in modes:
        if mode not in ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC"):
            problems.add("--authorization-mode", f'"{mode}" is not a valid mode')
    plugins = _plugins(options.enable_admission_plugins, options.disable_admission_plugins, problems)
    if not options.service_account_issuer:
        problems.add("--service-account-issuer", "is a required flag")
    if not options.service_account_key_file:
        problems.add("--service-account-key-file", "is a required flag")
    keys = tuple(Path(each) for each in options.service_account_key_file)
    for key in keys:
        if not key.is_file():
            problems.add("--service-account-key-file", f"no such file: {key}")
    cluster_range = _network(options.service_cluster_ip_range, problems)
    low, dash, high = options.service_node_port_range.partition("-")
    ports = (number("service-node-port-range", low, 1, 65535), number("service-node-port-range", high, 1, 65535))
    if not dash or ports[0] > ports[1]:
        problems.add("--service-node-port-range", f"not a range of ports: {options.service_node_port_range}")

    def duration(name: str) -> float:
        try:
            seconds = times.parse_duration(getattr(options, name.replace("-", "_")))
        except ValueError as error:
            problems.add(f"--{name}", str(error))
            return 0.0
        if seconds < 0:
            problems.add(f"--{name}", "must not be negative")
        return seconds

    for name in ("bind-address", "advertise-address"):
        text = getattr(options, name.replace("-", "_"))
        try:
            if text:
                ipaddress.ip_address(text)
        except ValueError:
            problems.add(f"--{name}", f"not an IP address: {text}")
    if options.audit_log_format != "json":
        problems.add(
            "--audit-log-format", f'invalid audit log format "{options.audit_log_format}": only json is written'
        )
    if options.audit_log_mode not in ("blocking", "blocking-strict", "batch"):
        problems.add("--audit-log-mode", f'invalid audit log mode "{options.audit_log_mode}"')
    cert, private = file("tls-cert-file", needed=True), file("tls-private-key-file", needed=True)
    signing = file("service-account-signing-key-file", needed=True)
    config = Config(
        tls_cert_file=cert or Path(),
        tls_private_key_file=private or Path(),
        client_ca_file=file("client-ca-file"),
        service_account_key_files=keys,
        service_account_signing_key_file=signing or Path(),
        service_account_issuer=options.service_account_issuer[0] if options.service_account_issuer else "",
        accepted_issuers=tuple(options.service_account_issuer[1:]),
        token_auth_file=file("token-auth-file"),
        priority_and_fairness=options.enable_priority_and_fairness == "true",
        max_requests_inflight=number("max-requests-inflight", options.max_requests_inflight, 0, 1_000_000),
        max_mutating_requests_inflight=number(
            "max-mutating-requests-inflight", options.max_mutating_requests_inflight, 0, 1_000_000
        ),
        encryption_provider_config=_encryption(file("encryption-provider-config"), problems),
        encryption_reload=options.encryption_provider_config_automatic_reload == "true",
        audit_policy=_audit_policy(file("audit-policy-file"), problems),
        audit_log_path=options.audit_log_path,
        audit_log_maxage=number("audit-log-maxage", options.audit_log_maxage, 0, 100_000),
        audit_log_maxbackup=number("audit-log-maxbackup", options.audit_log_maxbackup, 0, 100_000),
        audit_log_maxsize=number("audit-log-maxsize", options.audit_log_maxsize, 0, 1_000_000) or 100,
        bootstrap_token_auth=options.enable_bootstrap_token_auth == "true",
        etcd_servers=servers,
        etcd_cafile=file("etcd-cafile"),
        etcd_certfile=file("etcd-certfile"),
        etcd_keyfile=file("etcd-keyfile"),
        storage_sqlite=Path(options.storage_sqlite) if options.storage_sqlite else None,
        api_audiences=_words(options.api_audiences),
        service_cluster_ip_range=cluster_range,
        service_node_port_range=ports,
        kubelet_client_certificate=file("kubelet-client-certificate"),
        kubelet_client_key=file("kubelet-client-key"),
        kubelet_certificate_authority=file("kubelet-certificate-authority"),
        kubelet_preferred_address_types=_words(options.kubelet_preferred_address_types),
        authorization_modes=modes,
        anonymous_auth=options.anonymous_auth == "true",
        bind_address=options.bind_address,
        permit_port_sharing=options.permit_port_sharing == "true",
        secure_port=number("secure-port", options.secure_port, 1, 65535),
        advertise_address=options.advertise_address,
        allow_privileged=options.allow_privileged == "true",
        admission_plugins=plugins,
        admission=_admission(file("admission-control-config-file"), problems),
        default_not_ready_toleration_seconds=number(
            "default-not-ready-toleration-seconds", options.default_not_ready_toleration_seconds, 0, 1 << 40
        ),
        default_unreachable_toleration_seconds=number(
            "default-unreachable-toleration-seconds", options.default_unreachable_toleration_seconds, 0, 1 << 40
        ),
        requestheader_client_ca_file=file("requestheader-client-ca-file"),
        requestheader_allowed_names=_words(options.requestheader_allowed_names),
        requestheader_username_headers=_words(options.requestheader_username_headers),
        requestheader_group_headers=_words(options.requestheader_group_headers),
        requestheader_extra_headers_prefix=_words(options.requestheader_extra_headers_prefix),
        proxy_client_cert_file=file("proxy-client-cert-file"),
        proxy_client_key_file=file("proxy-client-key-file"),
        enable_aggregator_routing=options.enable_aggregator_routing == "true",
        aggregator_reject_forwarding_redirect=options.aggregator_reject_forwarding_redirect == "true",
        event_ttl=duration("event-ttl"),
        etcd_compaction_interval=duration("etcd-compaction-interval"),
        history_retention=duration("history-retention"),
        verbosity=number("v", options.v, 0, 10),
    )
    problems.raise_if_any()
    return config


def _encryption(path: Path | None, problems: Problems) -> Path | None:
    if path is not None and path.is_file():
        from controlplane.apiserver.encryption.configuration import load

        try:
            load(path)
        except (ValueError, OSError, ImportError) as error:
            problems.add("--encryption-provider-config", f"error while parsing file: {error}")
    return path


def _audit_policy(path: Path | None, problems: Problems) -> AuditPolicy | None:
    if path is None or not path.is_file():
        return None
    from controlplane.apiserver.audit.policy import load as load_audit_policy

    try:
        return load_audit_policy(path)
    except (ValueError, OSError) as error:
        problems.add("--audit-policy-file", f"loading audit policy file: {error}")
        return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _plugins(enable: str, disable: str, problems: Problems) -> tuple[str, ...]:
    enabled, disabled = set(_words(enable)), set(_words(disable))
    for flag, names in (("--enable-admission-plugins", enabled), ("--disable-admission-plugins", disabled)):
        for name in sorted(names - set(ADMISSION_PLUGINS)):
            problems.add(flag, f'plugin "{name}" is unknown')
    if both := sorted(enabled & disabled):
        problems.add(
            "--enable-admission-plugins",
            f"[{' '.join(both)}] in enable-admission-plugins and disable-admission-plugins overlapped",
        )
    chosen = (set(_DEFAULT_PLUGINS) - disabled) | enabled
    return tuple(name for name in ADMISSION_PLUGINS if name in chosen)


def _admission(file: Path | None, problems: Problems) -> AdmissionConfiguration | None:
    if file is None or not file.is_file():
        return None
    from controlplane.apiserver.admission.configuration import load  # the plug-ins, which flags can do without

    return load(file, problems)


def _network(text: str, problems: Problems) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        problems.add("--service-cluster-ip-range", str(error))
        return ipaddress.IPv4Network("10.96.0.0/12")
