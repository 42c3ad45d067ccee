"""An OpenID Connect provider as a real HTTPS server on loopback, and tokens signed with every algorithm."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from apimachinery.kit.certs import Authority
from apimachinery.kit.jwt import encode

_DIGESTS: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: dict[str, ec.EllipticCurve] = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def number(value: int, width: int = 0) -> str:
    """A number of a JSON Web Key (RFC 7518, section 6)."""
    return encode(value.to_bytes(width or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A private key for one algorithm."""

    def __init__(self, algorithm: str = "RS256", identity: str = "key") -> None:
        self.algorithm, self.identity = algorithm, identity
        self._family, self._bits = algorithm[:2], algorithm[2:]
        self._key: Any = (
            ec.generate_private_key(_CURVES[self._bits])
            if self._family == "ES"
            else rsa.generate_private_key(65537, 2048)
        )

    @property
    def public(self) -> dict[str, str]:
        """As a JSON Web Key."""
        numbers = self._key.public_key().public_numbers()
        if self._family == "ES":
            about = {"kty": "EC", "crv": _CURVE_NAMES[self._key.curve.name]}
            width = (self._key.curve.key_size + 7) // 8
            about |= {"x": number(numbers.x, width), "y": number(numbers.y, width)}
        else:
            about = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        return {"use": "sig", "kid": self.identity, **about}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token. header: what differs from the usual one; None leaves a member out."""
        head = {"alg": self.algorithm, "kid": self.identity, "typ": "JWT", **header}
        shown = {name: value for name, value in head.items() if value is not None}
        signed = f"{encode(orjson.dumps(shown))}.{encode(orjson.dumps(claims))}"
        return f"{signed}.{encode(self._signature(signed.encode()))}"

    def _signature(self, signed: bytes) -> bytes:
        digest = _DIGESTS[self._bits]
        if self._family == "RS":
            return bytes(self._key.sign(signed, padding.PKCS1v15(), digest))
        if self._family == "PS":
            return bytes(self._key.sign(signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
        width = (self._key.curve.key_size + 7) // 8
        r, s = utils.decode_dss_signature(self._key.sign(signed, ec.ECDSA(digest)))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")


class OpenIDProvider:
    """Answers for its discovery document and its keys. `keys`: those it publishes; `asked`: the paths that were asked
    for; `bearers`: the Authorization of each; `headers`: what its keys come with; `documents`: answers instead of the
    usual ones, by path; `name`: that of its host, which its certificate has as `login.test` too."""

    def __init__(self, directory: Path, *keys: Key) -> None:
        authority = Authority.create("providers")
        pair = authority.issue("provider", ips=("127.0.0.1",), dns=("login.test",), server=True)
        self._directory = directory
        (directory / "provider.crt").write_bytes(pair.cert_pem)
        (directory / "provider.key").write_bytes(pair.key_pem)
        self.authority = directory / "provider-ca.crt"
        self.authority.write_bytes(authority.pair.cert_pem)
        self.keys, self.asked = list(keys), list[str]()
        self.bearers: list[str] = []
        self.headers: dict[str, str] = {}
        self.name = "127.0.0.1"
        self.documents: dict[str, Any] = {}
        self._server = self._listen()
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        """The issuer."""
        return f"https://{self.name}:{self.port}"

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Itself, while it answers. Before, whoever asks waits; afterwards nobody listens."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of a token for an hour, for the client `kubernetes`. A change to None leaves a claim out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": "kubernetes", "sub": "7", "iat": now, "exp": now + 3600}
        return {name: value for name, value in {**usual, **changes}.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Signed with the first key."""
        return self.keys[0].sign(self.claims(**changes))

    def _respond(self, path: str) -> tuple[int, dict[str, str], Any]:
        self.asked.append(path)
        if path in self.documents:
            code, document = self.documents[path]
            return code, {}, document
        if path == "/.well-known/openid-configuration":
            return 200, {}, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return 200, self.headers, {"keys": [key.public for key in self.keys]}
        return 404, {}, {"error": "not found"}

    def _listen(self) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.bearers.append(self.headers.get("Authorization", ""))
                code, headers, document = outer._respond(self.path)
                body = document if isinstance(document, bytes) else orjson.dumps(document)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / "provider.crt", self._directory / "provider.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server
