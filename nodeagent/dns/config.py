"""The arguments of the DNS server: CoreDNS's own, and where the API server is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_in_cluster, load_kubeconfig
from apimachinery.kit.config import ConfigError
from nodeagent.dns import corefile
from nodeagent.dns.corefile import Corefile


@dataclass(frozen=True, slots=True)
class Config:
    """client is None when the Corefile has no `kubernetes`."""

    corefile: Corefile
    client: ClientConfig | None
    bind: str
    verbosity: int


def parse(argv: Sequence[str]) -> Config:
    """Raises ConfigError with every problem of the arguments and of the Corefile."""
    parser = argparse.ArgumentParser(prog="coredns", description="The cluster's DNS server.")
    parser.add_argument("-conf", "--conf", type=Path, default=Path("Corefile"), help="the Corefile to load")
    parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server; in a pod its service account")
    parser.add_argument("--bind-address", default="0.0.0.0", help="address to serve on")
    parser.add_argument("-v", "--v", type=int, default=0, help="log verbosity")
    arguments = parser.parse_args(argv)
    try:
        text = arguments.conf.read_text()
    except OSError as error:
        raise ConfigError([f"{arguments.conf}: {error.strerror}"]) from None
    parsed = corefile.parse(text)
    client = None
    if parsed.kubernetes is not None:
        client = load_kubeconfig(arguments.kubeconfig) if arguments.kubeconfig else load_in_cluster()
    return Config(parsed, client, arguments.bind_address, arguments.v)
