"""The flags of kube-apiserver: their names and defaults, and what a given one's text means."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from pathlib import Path

from apimachinery.kit.config import FlagError, Problems
from apimachinery.kit.flags import FlagParser, Joined
from apimachinery.kit.flags import switch as as_switch
from apimachinery.kit.tls_choice import TLSChoice
from apimachinery.meta import feature_gates, times
from apimachinery.meta.common_flags import RELEASE
from controlplane.apiserver.accepted_flags import ACCEPTED, DEPRECATED

ADDRESS_TYPES = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")


class Flags:
    """A command line. Every method gives what a flag says; a problem is added to `problems`, and something of the right
    type is given all the same, so that all problems are told at once. Raises FlagError for what cannot be read.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._given = _parser().read(argv)
        self.problems = Problems()
        self._words = frozenset(word.partition("=")[0].replace("_", "-") for word in argv)

    def text(self, name: str) -> str:
        """As it was given."""
        return str(getattr(self._given, name.replace("-", "_")))

    def was_given(self, name: str) -> bool:
        """Whether the command line says anything of it."""
        return f"--{name}" in self._words

    def each(self, name: str) -> tuple[str, ...]:
        """Of a flag that may be given more than once, and must be once."""
        found: list[str] = getattr(self._given, name.replace("-", "_"))
        if not found:
            self.problems.add(f"--{name}", "is a required flag")
        return tuple(found)

    def every(self, name: str) -> tuple[str, ...]:
        """Separated by commas, of a flag that may be given more than once; empty ones too."""
        given: list[str] = getattr(self._given, name.replace("-", "_"))
        return tuple(word for text in given if text for word in text.split(","))

    def words(self, name: str) -> tuple[str, ...]:
        """Separated by commas."""
        return tuple(word for word in self.text(name).split(",") if word)

    def pairs(self, name: str) -> dict[str, str]:
        """`KEY=VALUE`, separated by commas, of a flag that may be given more than once; the last of a key counts."""
        given: list[str] = getattr(self._given, name.replace("-", "_"))
        split = (word.partition("=") for text in given for word in text.split(",") if word)
        return {key.strip(): value.strip() for key, _, value in split}

    def pair_each(self, name: str) -> dict[str, str]:
        """`KEY=VALUE` of a flag that may be given more than once, each time for one key."""
        found: dict[str, str] = {}
        for text in getattr(self._given, name.replace("-", "_")):
            key, equals, value = text.partition("=")
            if equals:
                found[key.strip()] = value.strip()
            else:
                told = f'invalid argument "{text}" for "--{name}" flag: malformed pair, expect string=string'
                self.problems.add(f"--{name}", told)
        return found

    def any_given(self, *names: str) -> bool:
        """Whether the command line names one of the flags, with whatever value. names: those that end in - are
        beginnings."""
        words = (word.removeprefix("--") for word in self._words if word.startswith("--"))
        return any(word in names or any(n.endswith("-") and word.startswith(n) for n in names) for word in words)

    def is_on(self, name: str) -> bool:
        """Whether a switch is true."""
        return self.text(name) == "true"

    def gates(self, name: str) -> dict[str, bool]:
        """Feature gates, `NAME=true`, separated by commas."""
        try:
            asked = feature_gates.parse(self.text(name))
        except ValueError as error:
            self.problems.add(f"--{name}", str(error))
            return {}
        for what in feature_gates.refusals(asked):
            self.problems.add(f"--{name}", what)
        return asked

    def file(self, name: str, *, needed: bool = False) -> Path | None:
        """A file that is there; None when not given."""
        text = self.text(name)
        if not text:
            if needed:
                self.problems.add(f"--{name}", "must be specified")
            return None
        return self.existing(name, text)

    def existing(self, name: str, text: str) -> Path:
        """The file that `text` names."""
        if not Path(text).is_file():
            self.problems.add(f"--{name}", f"open {text}: no such file or directory")
        return Path(text)

    def number(self, name: str, low: int, high: int) -> int:
        """An integer from `low` to `high`."""
        return self._number(name, self.text(name), low, high)

    def _number(self, name: str, text: str, low: int, high: int) -> int:
        if text.isdecimal() and low <= int(text) <= high:
            return int(text)
        self.problems.add(f"--{name}", f"{text!r} is not a number between {low} and {high}")
        return low

    def ports(self, name: str) -> tuple[int, int]:
        """`LOW-HIGH`, both included."""
        low, dash, high = self.text(name).partition("-")
        ports = (self._number(name, low, 1, 65535), self._number(name, high, 1, 65535))
        if not dash or ports[0] > ports[1]:
            self.problems.add(f"--{name}", f"not a range of ports: {self.text(name)}")
        return ports

    def node_port(self, name: str, low: int, high: int) -> int:
        """A port from `low` to `high`, or 0."""
        text = self.text(name)
        port = int(text) if re.fullmatch(r"-?[0-9]+", text) else -1
        if not 0 <= port <= 65535:
            told = (
                f"{text} must be between 0 and 65535, inclusive. If 0, the Kubernetes master service will be of type "
            )
            self.problems.add(f"--{name}", f"{told}ClusterIP")
        elif port and not low <= port <= high:
            self.problems.add(f"--{name}", f"kubernetes service node port range {low}-{high} doesn't contain {port}")
        return port

    def decimal(self, name: str) -> float:
        """A number, not negative."""
        text = self.text(name)
        try:
            found = float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found < math.inf:
            self.problems.add(f"--{name}", f"{text!r} is not a number, or negative")
            return 0.0
        return found

    def duration(self, name: str) -> float:
        """Seconds, not negative."""
        try:
            seconds = times.parse_duration(self.text(name))
        except ValueError as error:
            raise FlagError(f'invalid argument "{self.text(name)}" for "--{name}" flag: {error}') from None
        if seconds < 0:
            self.problems.add(f"--{name}", "must not be negative")
        return seconds

    def address(self, name: str) -> str:
        """An IP address, or nothing."""
        text = self.text(name)
        try:
            if text:
                ipaddress.ip_address(text)
        except ValueError:
            self.problems.add(f"--{name}", f"not an IP address: {text}")
        return text

    def tls_choice(self) -> TLSChoice:
        """Which versions and cipher suites are spoken."""
        return TLSChoice.of_flags(self.text("tls-min-version"), self.text("tls-cipher-suites"), self.problems)

    def networks(self, name: str) -> tuple[ipaddress.IPv4Network, ipaddress.IPv6Network | None]:
        """An IPv4 network, and behind a comma one of IPv6, of at most 2^20 addresses (upstream's bound)."""
        first, comma, second = self.text(name).partition(",")
        try:
            found = ipaddress.IPv4Network(first)
            other = ipaddress.IPv6Network(second) if comma else None
        except ValueError as error:
            self.problems.add(f"--{name}", str(error))
            return ipaddress.IPv4Network("10.96.0.0/12"), None
        for bits, length in ((32, found.prefixlen), (128, other.prefixlen if other else 128)):
            if length < bits - 20:
                text = f"specified --{name} is too large; for {bits}-bit addresses, the mask must be >= {bits - 20}"
                self.problems.add(f"--{name}", text)
        return found, other


def _parser() -> FlagParser:
    parser = FlagParser("kube-apiserver", "Serves the Kubernetes API.", RELEASE, silent=True)
    parser.accept(ACCEPTED)
    parser.deprecate(DEPRECATED)

    def flag(name: str, default: str = "", text: str = "") -> None:
        parser.add_argument(f"--{name}", default=default, help=text)

    def words(name: str, default: str = "", text: str = "") -> None:
        parser.add_argument(f"--{name}", action=Joined, default=default, help=text)

    def switch(name: str, default: bool) -> None:
        parser.add_argument(
            f"--{name}", type=as_switch, nargs="?", const="true", default="true" if default else "false"
        )

    words("etcd-servers", text="comma-separated URLs of etcd")
    flag("etcd-prefix", "/registry", "what every key begins with")
    flag("etcd-cafile")
    flag("etcd-certfile")
    flag("etcd-keyfile")
    flag("storage-sqlite", text="keep the objects in this SQLite file instead of etcd")
    flag("client-ca-file", text="authority of client certificates")
    flag("tls-cert-file")
    flag("tls-private-key-file")
    flag("tls-min-version", text="the oldest that is spoken: VersionTLS12 (the default) or VersionTLS13")
    words("tls-cipher-suites", text="comma-separated; for TLS 1.2, those of 1.3 cannot be chosen")
    parser.add_argument("--service-account-key-file", action="append", default=[], help="public keys of tokens")
    flag("service-account-signing-key-file")
    switch("service-account-lookup", True)  # tokens are always looked up: there is no reason to believe stale ones
    parser.add_argument("--service-account-issuer", action="append", default=[], help="the first one issues")
    flag("service-account-max-token-expiration", "0s", "the longest that a token which is asked for lives; 0: any time")
    switch("service-account-extend-token-expiration", True)
    flag("service-account-jwks-uri", text="where people find the keys of tokens; https")
    flag("external-hostname", text="by which name people reach this server, when they look for the keys of tokens")
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
    switch("audit-log-compress", False)
    flag("audit-log-format", "json", "json, or legacy: a line for people")
    flag("audit-webhook-config-file", text="a kubeconfig that names who is sent the events")
    flag("audit-webhook-initial-backoff", "10s", "how long to wait before sending is tried again")
    flag("audit-webhook-batch-initial-backoff", "10s")  # its old name
    for plugin, mode, size, wait, throttle, qps, burst in (
        ("log", "blocking", "1", "0s", False, "0", "0"),
        ("webhook", "batch", "400", "30s", True, "10", "15"),
    ):
        flag(f"audit-{plugin}-mode", mode, "batch, blocking or blocking-strict")
        flag(f"audit-{plugin}-version", "audit.k8s.io/v1")
        flag(f"audit-{plugin}-batch-buffer-size", "10000", "how many events may wait")
        flag(f"audit-{plugin}-batch-max-size", size, "how many go together")
        flag(f"audit-{plugin}-batch-max-wait", wait, "after how long fewer do")
        switch(f"audit-{plugin}-batch-throttle-enable", throttle)
        flag(f"audit-{plugin}-batch-throttle-qps", qps, "how many batches go in a second")
        flag(f"audit-{plugin}-batch-throttle-burst", burst, "how many of them at once")
        switch(f"audit-{plugin}-truncate-enabled", False)
        flag(f"audit-{plugin}-truncate-max-batch-size", "10485760")
        flag(f"audit-{plugin}-truncate-max-event-size", "102400", "bytes beyond which an event loses its objects")
    flag("token-auth-file", text="static tokens: token,user,uid,groups")
    flag("authentication-config", text="a file of OpenID Connect providers, and of who is let in without credentials")
    flag("oidc-issuer-url", text="the OpenID Connect provider whose tokens are believed; https")
    flag("oidc-client-id", text="the audience that such a token must name")
    flag("oidc-ca-file", text="the provider's authority; the machine's authorities without it")
    flag("oidc-username-claim", "sub")
    flag("oidc-username-prefix", text="before every name; -: nothing; not given: the issuer and #, but for email")
    flag("oidc-groups-claim", text="a string, or a list of them")
    flag("oidc-groups-prefix")
    words("oidc-signing-algs", "RS256", "comma-separated; ES, PS and RS with 256, 384 and 512")
    parser.add_argument("--oidc-required-claim", action="append", default=[], help="CLAIM=VALUE")
    words("api-audiences")
    flag("service-cluster-ip-range", "10.96.0.0/12")
    flag("service-node-port-range", "30000-32767")
    flag("kubernetes-service-node-port", "0", "at which nodes answer for the Service kubernetes; 0: they do not")
    flag("kubelet-client-certificate")
    flag("kubelet-client-key")
    flag("kubelet-certificate-authority")
    words("kubelet-preferred-address-types", ",".join(ADDRESS_TYPES))
    flag("authorization-config", text="an AuthorizationConfiguration; instead of the other flags of authorization")
    words("authorization-mode", "AlwaysAllow")
    flag("authorization-policy-file", text="the policies of the mode ABAC, one a line")
    flag("authorization-webhook-config-file", text="a kubeconfig that names who decides, with the mode Webhook")
    flag("authorization-webhook-version", "v1beta1", "of the SubjectAccessReviews that are sent")
    flag("authorization-webhook-cache-authorized-ttl", "5m0s")
    flag("authorization-webhook-cache-unauthorized-ttl", "30s")
    flag("authentication-token-webhook-config-file", text="a kubeconfig that names who knows tokens")
    flag("authentication-token-webhook-version", "v1beta1", "of the TokenReviews that are sent")
    flag("authentication-token-webhook-cache-ttl", "2m0s")
    switch("anonymous-auth", True)
    flag("bind-address", "0.0.0.0")
    flag("secure-port", "6443")
    switch("permit-port-sharing", False)
    flag("advertise-address")
    switch("allow-privileged", False)
    switch("enable-bootstrap-token-auth", False)
    switch("profiling", True)
    words("admission-control")
    words("enable-admission-plugins")
    words("disable-admission-plugins")
    flag("admission-control-config-file", text="configuration of admission plug-ins")
    flag("default-not-ready-toleration-seconds", "300")
    flag("default-unreachable-toleration-seconds", "300")
    flag("requestheader-client-ca-file")
    words("requestheader-allowed-names")
    words("requestheader-username-headers", "X-Remote-User")
    words("requestheader-group-headers", "X-Remote-Group")
    words("requestheader-extra-headers-prefix", "X-Remote-Extra-")
    flag("proxy-client-cert-file")
    flag("proxy-client-key-file")
    switch("enable-aggregator-routing", False)
    switch("aggregator-reject-forwarding-redirect", True)
    flag("event-ttl", "1h0m0s")
    parser.add_argument("--runtime-config", action="append", default=[], help="GROUP/VERSION[/RESOURCE]=false,…")
    flag("request-timeout", "1m0s", "how long a request may take that is not long-running")
    flag("min-request-timeout", "1800", "seconds that a watch lasts at least when its client does not say")
    for listed, text in (
        ("cors-allowed-origins", "patterns of origins whose pages may read answers, held at both ends of the host"),
        ("strict-transport-security-directives", "max-age=SECONDS,includeSubDomains,preload"),
    ):
        parser.add_argument(f"--{listed}", action="append", default=[], help=text)
    flag("shutdown-delay-duration", "0s", "how long a server that was told to end goes on serving, without being ready")
    switch("shutdown-send-retry-after", False)
    gates = "ImageVolume, InPlacePodVerticalScaling, PodLevelResources, ProcMountType, SupplementalGroupsPolicy"
    words("feature-gates", text=f"GATE=true,…; {gates}, UserNamespacesSupport change something here")
    flag("etcd-healthcheck-timeout", "2s", "how long the store may take when /livez or /readyz asks it")
    flag("etcd-readycheck-timeout", "2s", "how long it may take when /readyz asks whether it is ready")
    flag("etcd-compaction-interval", "5m0s", "how often history is forgotten; 0 never")
    flag("history-retention", "1h0m0s", "how long every revision can be read and watched (ours)")
    parser.add_argument("-v", "--v", dest="v", default="0")
    return parser
