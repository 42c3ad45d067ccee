"""`kubelab control-plane`: the few things that can be chosen."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from apimachinery.kit.config import ConfigError, Problems
from apimachinery.meta import feature_gates
from apimachinery.meta.times import parse_duration

#: RFC 1123: labels of at most 63 lower-case letters, digits and inner hyphens, joined by dots.
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class AllInOneConfig:
    """store: "sqlite", or the URLs of etcd. `etcd_pki`: where etcd's client certificate lies, for https. dns_domain: of
    Services; in the API server's certificate and in the issuer of service account tokens. signing_duration: seconds
    that a certificate lives at most which was asked for through the API."""

    data_dir: Path
    etcd_servers: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 6443
    advertise_address: str = ""
    api_names: tuple[str, ...] = ()
    service_cidr: str = "10.96.0.0/12"
    second_service_cidr: str = ""
    cluster_cidr: str = "10.244.0.0/16"
    second_cluster_cidr: str = ""
    dns_domain: str = "cluster.local"
    etcd_pki: Path | None = None
    signing_duration: float = 365 * 24 * 3600.0
    feature_gates: str = ""
    verbosity: int = 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError([message])


def parse(argv: Sequence[str]) -> AllInOneConfig:
    """Raises ConfigError with every problem."""
    parser = _Parser(prog="control-plane", allow_abbrev=False, description="A whole control plane in one process.")
    parser.add_argument("--data-dir", required=True, help="certificates, kubeconfigs and the embedded store")
    parser.add_argument("--store", default="sqlite", help='"sqlite", or comma-separated URLs of etcd')
    parser.add_argument("--listen", default="127.0.0.1:6443", help="ADDRESS:PORT")
    parser.add_argument("--advertise-address", default="", help="the address that nodes reach this server by")
    parser.add_argument("--api-name", action="append", default=[], help="another name or address in the certificate")
    parser.add_argument("--service-cidr", default="10.96.0.0/12")
    parser.add_argument("--cluster-cidr", default="10.244.0.0/16", help="pod addresses; of IPv6 too behind a comma")
    parser.add_argument("--dns-domain", default="cluster.local", help="the domain that Services are found in")
    parser.add_argument("--etcd-pki", help="directory with ca.crt and client.crt, client.key for an https etcd")
    parser.add_argument(
        "--cluster-signing-duration", default="8760h0m0s", help="longest validity of the certificates issued"
    )
    parser.add_argument("--feature-gates", default="", help="of the API server: GATE=true,…")
    parser.add_argument("-v", "--v", dest="v", type=int, default=0)
    options = parser.parse_args(list(argv))
    problems = Problems()
    servers: tuple[str, ...] = ()
    if options.store != "sqlite":
        servers = tuple(word for word in options.store.split(",") if word)
        if not servers or not all(word.startswith(("http://", "https://")) for word in servers):
            problems.add("--store", f'must be "sqlite" or URLs of etcd, not {options.store!r}')
    host, _, port = options.listen.rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        problems.add("--listen", f"{options.listen!r} is not ADDRESS:PORT")
    for where, text in (("--listen", host), ("--advertise-address", options.advertise_address)):
        try:
            if text or where == "--listen":
                ipaddress.ip_address(text)
        except ValueError:
            problems.add(where, f"{text!r} is not an IP address")
    cluster_cidr, second_cluster_cidr = _networks("--cluster-cidr", options.cluster_cidr, problems)
    service_cidr, second_service_cidr = _networks("--service-cidr", options.service_cidr, problems)
    signing = 0.0
    try:
        signing = parse_duration(options.cluster_signing_duration)
    except ValueError as error:
        problems.add("--cluster-signing-duration", str(error))
    if len(options.dns_domain) > 253 or not _DOMAIN.fullmatch(options.dns_domain):
        problems.add("--dns-domain", f"{options.dns_domain!r} is not a DNS domain")
    try:
        for what in feature_gates.refusals(feature_gates.parse(options.feature_gates)):
            problems.add("--feature-gates", what)
    except ValueError as error:
        problems.add("--feature-gates", str(error))
    problems.raise_if_any()
    return AllInOneConfig(
        data_dir=Path(options.data_dir),
        etcd_servers=servers,
        host=host,
        port=int(port),
        advertise_address=options.advertise_address,
        api_names=tuple(options.api_name),
        service_cidr=service_cidr,
        second_service_cidr=second_service_cidr,
        cluster_cidr=cluster_cidr,
        second_cluster_cidr=second_cluster_cidr,
        dns_domain=options.dns_domain,
        etcd_pki=Path(options.etcd_pki) if options.etcd_pki else None,
        signing_duration=signing,
        feature_gates=options.feature_gates,
        verbosity=options.v,
    )


def _networks(flag: str, text: str, problems: Problems) -> tuple[str, str]:
    """An IPv4 network, and behind a comma one of IPv6; "" for none."""
    first, _, second = text.partition(",")
    try:
        ipaddress.IPv4Network(first)
        if second:
            ipaddress.IPv6Network(second)
    except ValueError as error:
        problems.add(flag, str(error))
    return first, second
