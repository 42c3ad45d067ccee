"""The arguments of the DNS server: CoreDNS's own, and where the API server is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from apimachinery.client.config import ClientConfig, load_in_cluster, load_kubeconfig
from apimachinery.kit.config import ConfigError
from nodeagent.dns import corefile
from nodeagent.dns.corefile import Corefile
from nodeagent.dns.server import EVERYWHERE


@dataclass(frozen=True, slots=True)
class Config:
    """corefile: as it was at the start. read: it anew. client: how the API server is reached, for `kubernetes`."""

    corefile: Corefile
    read: Callable[[], Corefile]
    client: Callable[[], ClientConfig]
    bind: str
    verbosity: int


def parse(argv: Sequence[str]) -> Config:
    """Raises ConfigError with every problem of the arguments and of the Corefile."""
    parser = argparse.ArgumentParser(prog="coredns", description="The cluster's DNS server.")
    parser.add_argument("-conf", "--conf", type=Path, default=Path("Corefile"), help="the Corefile to load")
    parser.add_argument("--kubeconfig", type=Path, help="how to reach the API server; in a pod its service account")
    parser.add_argument("--bind-address", default=EVERYWHERE, help="address to serve on; by default every one")
    parser.add_argument("-v", "--v", type=int, default=0, help="log verbosity")
    arguments = parser.parse_args(argv)

    def read() -> Corefile:
        try:
            text = arguments.conf.read_text()
        except OSError as error:
            verb, why = "read" if isinstance(error, IsADirectoryError) else "open", error.strerror or str(error)
            raise ConfigError([f"loading Caddyfile via flag: {verb} {arguments.conf}: {why.lower()}"]) from None
        except UnicodeDecodeError as error:
            raise ConfigError([f"{arguments.conf}: {error}"]) from None
        return corefile.parse(text, arguments.conf, os.environ)

    def client() -> ClientConfig:
        return load_kubeconfig(arguments.kubeconfig) if arguments.kubeconfig else load_in_cluster()

    return Config(read(), read, client, arguments.bind_address, arguments.v)
