"""The server's certificate: the configured one, one that the cluster signed, or a self-signed one that is made once.

A new one counts for the next handshake: a context hands its certificate to each connection, and may be given another.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from apimachinery.kit.clock import Clock
from apimachinery.kit.files import write_atomic
from apimachinery.kit.handshake import accept_unverified
from apimachinery.kit.tasks import CommandFailed
from apimachinery.kit.tls_choice import TLSChoice
from apimachinery.kit.tls_files import TLSFileError, load_authorities, load_pair, replace_pair
from nodeagent.kubelet.certificates.store import CertificateStore, Pair
from nodeagent.kubelet.config import Config

log = logging.getLogger(__name__)

STORE = "kubelet-server"
_LOOK = 10.0


class Serving:
    """The TLS context of port 10250 and the files behind it.

    Client certificates are asked for when there is an authority to check them; who shows none, or one that does not
    hold, may have a token.
    """

    def __init__(self, config: Config, ips: tuple[str, ...], clock: Clock) -> None:
        self._clock = clock
        self.store = CertificateStore(config.cert_dir, STORE)
        self._files: tuple[Path, Path] | None
        if config.tls_cert_file is not None and config.tls_key_file is not None:
            self._files = config.tls_cert_file, config.tls_key_file
        elif config.server_tls_bootstrap:
            # Signed by the cluster: until somebody approved it, every handshake fails.
            self._files = (self.store.current_path,) * 2 if self.store.current() else None
        else:
            self._files = config.cert_dir / "kubelet.crt", config.cert_dir / "kubelet.key"
            if not all(file.exists() for file in self._files):
                _make(*self._files, config.node_name, ips)
        self._config = config
        self._context: ssl.SSLContext | None = None
        self._seen = self._stamps()

    def context(self) -> ssl.SSLContext:
        """The context. Raises CommandFailed for files that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        TLSChoice(self._config.tls_min_version, self._config.tls_cipher_suites).apply(context)
        try:
            if self._config.client_ca_file is not None:
                load_authorities(context, self._config.client_ca_file)
                context.verify_mode = ssl.CERT_OPTIONAL
                accept_unverified(context)
            if self._files is not None:
                load_pair(context, *self._files)
        except TLSFileError as error:
            raise CommandFailed(f"failed to construct kubelet dependencies: {error}") from error
        self._context = context
        return context

    async def use(self, _: Pair) -> None:
        """A pair was put into the store: show it from the next handshake on."""
        self._files = (self.store.current_path,) * 2
        self._load()

    async def run(self, stop: asyncio.Event) -> None:
        """Look at the files until `stop` is set; show what was written into them."""
        while not stop.is_set():
            await self._clock.sleep(_LOOK)
            stamps = self._stamps()
            if stamps != self._seen and None not in stamps:
                self._load()

    def _load(self) -> None:
        if self._context is None or self._files is None:
            return
        try:
            replace_pair(self._context, *self._files)
        except TLSFileError as error:
            log.error("Failed to load the serving certificate: %s", error)
            return
        self._seen = self._stamps()
        log.info("Loaded the serving certificate %s", self._files[0])

    def _stamps(self) -> tuple[int | None, ...]:
        found: list[int | None] = []
        for file in self._files or ():
            try:
                found.append(file.stat().st_mtime_ns)
            except OSError:
                found.append(None)
        return tuple(found)


def _make(cert: Path, key: Path, name: str, ips: tuple[str, ...]) -> None:
    # Imported here: a node with its own certificate does not pay for the key generator.
    from apimachinery.kit.certs import Authority

    pair = Authority.create(f"{name}-ca").issue(name, dns=(name,), ips=ips, server=True)
    cert.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(key, pair.key_pem, 0o600)
    write_atomic(cert, pair.cert_pem, 0o644)
