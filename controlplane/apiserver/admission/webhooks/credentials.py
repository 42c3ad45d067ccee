"""Who the server is to a webhook: identities of a kubeconfig file, found by the webhook's name
(k8s.io/apiserver/pkg/util/webhook/authentication.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from apimachinery.client.config import ClientConfig, load_users
from apimachinery.kit.net_words import joined

_USUAL_PORT = 443
_ANYBODY = "*"


class Credentials(Struct, frozen=True):
    """users: identities by the names of webhooks: `HOST:PORT`, `*.DOMAIN:PORT`, either without the port when it is 443,
    or `*`. current: the name of the one for all that have none."""

    users: Mapping[str, ClientConfig] = {}
    current: str = ""

    def of(self, host: str, port: int) -> ClientConfig | None:
        """The identity for the webhook at that host (of a Service: NAME.NAMESPACE.svc), or None for nobody."""
        for name in (*_names(host, port), _ANYBODY, self.current):
            if name in self.users:
                return self.users[name]
        return None


def _names(host: str, port: int) -> Iterator[str]:
    for target in (joined(host, port), *([host] if port == _USUAL_PORT else [])):
        yield target
        _, *rest = target.split(".")
        for begin in range(len(rest)):
            yield ".".join((_ANYBODY, *rest[begin:]))


def load(file: Path) -> Credentials:
    """Raises ConfigError."""
    users, current = load_users(file)
    return Credentials(users, current)
