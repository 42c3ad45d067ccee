"""What a request is handed on to: an address, how TLS is spoken with it, and what is said when it cannot be reached."""

from __future__ import annotations

import errno
import ssl

from msgspec import Struct
from yarl import URL

from apimachinery.kit import net_words
from apimachinery.kit.refusals import Refused

_REASONS = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ETIMEDOUT: "connect: connection timed out",
    errno.ECONNRESET: "read: connection reset by peer",
}
# Who answers a handshake in plain text; upstream asks at the level of a connection, which does not know HTTP.
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
_NO_TLS = "tls: first record does not look like a TLS handshake"


class Target(Struct, frozen=True):
    """A backend. tls: None for plain HTTP. server_name: whom its certificate must name; "" for the host itself."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str = ""

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

    @property
    def authority(self) -> str:
        """`host:port`, with an IPv6 address in brackets."""
        return net_words.joined(self.host, self.port)

    def url(self, path: str, query: str = "") -> URL:
        """The URL of an (encoded) path and an (encoded) query there."""
        return URL(f"{self.scheme}://{self.authority}{path}" + (f"?{query}" if query else ""), encoded=True)

    def unreachable(self, error: BaseException) -> str:
        """Why it could not be reached, in the words of Go's net package, which every log of a cluster is full of."""
        found: BaseException | None = error
        while found is not None:
            if isinstance(found, Refused):
                return found.words
            if isinstance(found, TimeoutError):
                return f"dial tcp {self.authority}: i/o timeout"
            # aiohttp's own errors are called so as well, and have no reason; their cause has.
            if isinstance(found, ssl.SSLError) and (reason := getattr(found, "reason", None)):
                return _NO_TLS if reason in _PLAIN else net_words.unshaken(found)
            if isinstance(found, OSError) and found.errno in _REASONS:
                verb = "" if found.errno == errno.ECONNRESET else f"dial tcp {self.authority}: "
                return verb + _REASONS[found.errno]
            found = found.__cause__
        return str(error) or "EOF"
