"""Which versions of TLS and which cipher suites a server speaks, by the names that Go gives them: what every component
is told with `--tls-min-version` and `--tls-cipher-suites` (k8s.io/component-base/cli/flag)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apimachinery.kit.config import Problems

# Go's name → OpenSSL's. Those of TLS 1.3 cannot be chosen, in Go as little as here.
SUITES: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
# Nothing older than 1.2 is spoken, whatever is asked for.
_VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "": ssl.TLSVersion.TLSv1_2,
    "VersionTLS10": ssl.TLSVersion.TLSv1_2,
    "VersionTLS11": ssl.TLSVersion.TLSv1_2,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}


@dataclass(frozen=True, slots=True)
class TLSChoice:
    """min_version: `VersionTLS12`, `VersionTLS13`; suites: names of SUITES for TLS 1.2. Empty: the usual ones."""

    min_version: str = ""
    suites: tuple[str, ...] = ()

    @classmethod
    def of_flags(cls, min_version: str, suites: str, problems: Problems) -> TLSChoice:
        """What the two flags say, and what is wrong with them. suites: separated by commas."""
        choice = cls(min_version, tuple(filter(None, suites.split(","))))
        for flag, problem in choice.problems():
            problems.add(flag, problem)
        return choice

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it: the flag, and upstream's words."""
        if self.min_version not in _VERSIONS:
            yield "--tls-min-version", f'unknown tls version "{self.min_version}"'
        for name in self.suites:
            if name not in SUITES:
                yield "--tls-cipher-suites", f"Cipher suite {name} not supported or doesn't exist"

    def apply(self, context: ssl.SSLContext) -> None:
        """Let the context speak nothing else."""
        context.minimum_version = _VERSIONS[self.min_version]
        older = [SUITES[name] for name in self.suites if SUITES[name]]
        if older:
            context.set_ciphers(":".join(older))
        elif self.suites:  # only such of TLS 1.3: nothing is left for 1.2
            context.minimum_version = ssl.TLSVersion.TLSv1_3


USUAL_TLS = TLSChoice()
