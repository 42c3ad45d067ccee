"""What a container resolves names with: /etc/hosts of our own, and the sandbox's resolv.conf by DNS policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.kubelet import pods

_NAMESERVERS_MAX = 3
_SEARCH_MAX = 32
_HOSTNAME_MAX = 63


@dataclass(frozen=True, slots=True)
class Resolver:
    """The contents of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> Resolver:
    """Read a resolv.conf (resolv.conf(5)); the last `search` and `options` lines win."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(word for word in words[1:] if word != ".")
        elif words[0] == "options":
            options = tuple(words[1:])
    return Resolver(tuple(servers), searches, options)


def pod_resolver(pod: Mapping[str, Any], host: Resolver, cluster_dns: Sequence[str], cluster_domain: str) -> Resolver:
    """The pod's resolver by spec.dnsPolicy and spec.dnsConfig (pkg/kubelet/network/dns/dns.go)."""
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
        chosen = host
    config = pod["spec"].get("dnsConfig") or {}
    servers = dict.fromkeys([*chosen.servers, *(config.get("nameservers") or ())])
    searches = tuple(dict.fromkeys([*chosen.searches, *(config.get("searches") or ())]))
    options = _merge_options(chosen.options, config.get("options") or ())
    return Resolver(tuple(servers)[:_NAMESERVERS_MAX], searches[:_SEARCH_MAX], options)


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
            "fe00::\tip6-localnet",
            "fe00::\tip6-mcastprefix",
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
