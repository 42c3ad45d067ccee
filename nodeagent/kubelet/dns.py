"""What a container resolves names with: /etc/hosts of our own, and the sandbox's resolv.conf by DNS policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.meta.go_print import quoted
from nodeagent.kubelet import pods

_NAMESERVERS_MAX = 3
# Search paths, characters of one of them, and of all with a space between.
_SEARCH_MAX, _PATH_CHARS, _SEARCH_CHARS = 32, 253, 2048
# Of the first part of a name; of the whole, where the kernel is to be told it.
_HOSTNAME_MAX, _NODENAME_MAX = 63, 64

MISSING = "MissingClusterDNS"
NO_CLUSTER_DNS = (
    'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. '
    'Falling back to "Default" policy.'
)

Warn = Callable[[str, str], None]
"""(reason, message): something about a pod's names is not as it asks."""


class NameTooLong(Exception):
    """The pod's host name is more than the kernel takes."""


class NoResolvConf(Exception):
    """The node's resolv.conf cannot be read; the text is Go's."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


# Of a node whose configuration names no resolv.conf: nothing is resolved outside the cluster.
_NOWHERE = Resolver(("127.0.0.1",), (".",))


def parse_resolv_conf(text: str) -> Resolver:
    """Read a resolv.conf (resolv.conf(5)); the last `search` and `options` lines win, `domain` is not looked at."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = tuple(word.removesuffix(".") for word in words[1:] if word != ".")
        elif words[0] == "options":
            options = tuple(words[1:])
    return Resolver(tuple(servers), searches, options)


def host_resolver(path: Path | None) -> Resolver:
    """The node's own, as it is now; empty for a node that is configured to have none. Raises NoResolvConf."""
    if path is None:
        return Resolver()
    try:
        return parse_resolv_conf(path.read_text(errors="replace"))
    except OSError as error:
        verb = "read" if isinstance(error, IsADirectoryError) else "open"
        raise NoResolvConf(f"{verb} {path}: {(error.strerror or str(error)).lower()}") from None


def pod_resolver(
    pod: Mapping[str, Any],
    host: Resolver,
    cluster_dns: Sequence[str],
    cluster_domain: str,
    warn: Warn = lambda _reason, _message: None,
) -> Resolver:
    """The pod's resolver by spec.dnsPolicy and spec.dnsConfig (pkg/kubelet/network/dns/dns.go).

    host: empty for a node without a resolv.conf.
    """
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pods.host_network(pod))
    if policy == "None":
        chosen = Resolver()
    elif cluster and cluster_dns:
        namespace = pod["metadata"]["namespace"]
        domains = (
            [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain] if cluster_domain else []
        )
        searches = tuple(dict.fromkeys([*domains, *host.searches]))
        chosen = Resolver(tuple(cluster_dns), searches, ("ndots:5",))
    else:
        if cluster:
            warn(MISSING, f"pod: {quoted(pods.describe(pod))}. {NO_CLUSTER_DNS}")
        chosen = host if host != Resolver() else _NOWHERE
    config = pod["spec"].get("dnsConfig") or {}
    servers = dict.fromkeys([*chosen.servers, *(config.get("nameservers") or ())])
    searches = tuple(dict.fromkeys([*chosen.searches, *(config.get("searches") or ())]))
    options = _merge_options(chosen.options, config.get("options") or ())
    return Resolver(_fit_servers(tuple(servers), warn), _fit_searches(searches, warn), options)


def _fit_servers(servers: tuple[str, ...], warn: Warn) -> tuple[str, ...]:
    fitting = servers[:_NAMESERVERS_MAX]
    if fitting != servers:
        what = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is"
        warn("DNSConfigForming", f"{what}: {' '.join(fitting)}")
    return fitting


def _fit_searches(searches: tuple[str, ...], warn: Warn) -> tuple[str, ...]:
    fitting = tuple(path for path in searches[:_SEARCH_MAX] if len(path) <= _PATH_CHARS)
    while len(" ".join(fitting)) > _SEARCH_CHARS:
        fitting = fitting[:-1]
    if fitting != searches:
        what = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is"
        warn("DNSConfigForming", f"{what}: {' '.join(fitting)}")
    return fitting


def _merge_options(present: Sequence[str], asked: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    merged = {option.partition(":")[0]: option for option in present}
    for option in asked:
        setting = option.get("value")
        merged[option["name"]] = option["name"] if setting in (None, "") else f"{option['name']}:{setting}"
    return tuple(merged.values())


def pod_hostname(pod: Mapping[str, Any], cluster_domain: str) -> tuple[str, str]:
    """(the host name inside the pod, its full domain or "")."""
    spec = pod["spec"]
    name = str(spec.get("hostname") or pod["metadata"]["name"])[:_HOSTNAME_MAX].rstrip("-.")
    subdomain = spec.get("subdomain")
    domain = f"{subdomain}.{pod['metadata']['namespace']}.svc.{cluster_domain}" if subdomain else ""
    return name, domain


def kernel_hostname(pod: Mapping[str, Any], cluster_domain: str) -> str:
    """What the kernel is told as the host name: the full domain with setHostnameAsFQDN. Raises NameTooLong."""
    name, domain = pod_hostname(pod, cluster_domain)
    if not (pod["spec"].get("setHostnameAsFQDN") and domain):
        return name
    whole = f"{name}.{domain}"
    if len(whole) > _NODENAME_MAX:
        raise NameTooLong(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long "
            f"({_NODENAME_MAX} characters is the max, {len(whole)} characters requested)"
        )
    return whole


def render_hosts(pod: Mapping[str, Any], ips: Sequence[str], host_file: str, cluster_domain: str) -> str:
    """The pod's /etc/hosts. ips: its addresses. host_file: the node's own, copied for pods on the host's network."""
    hostname, domain = pod_hostname(pod, cluster_domain)
    if pods.host_network(pod):
        lines = ["# Kubernetes-managed hosts file (host network).", host_file.rstrip("\n")]
    else:
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        own = f"{hostname}.{domain}\t{hostname}" if domain else hostname
        lines += [f"{ip}\t{own}" for ip in ips]
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) for alias in aliases]
    return "\n".join(lines) + "\n"
