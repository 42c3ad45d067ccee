"""A daemon's import of aiohttp: no authorities, and an environment left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from apimachinery.kit.certs import Authority

_SCRIPT = """
import os, ssl
from apimachinery.kit.trust import load_aiohttp_without_system_authorities
before = dict(os.environ)
load_aiohttp_without_system_authorities()
assert dict(os.environ) == before
from aiohttp import connector
print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"])
print(ssl.create_default_context().cert_store_stats()["x509"])
"""


def test_aiohttp_knows_no_authority_and_others_still_do(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(Authority.create("somebody").pair.cert_pem)
    environment = {**os.environ, "SSL_CERT_FILE": str(bundle)}
    done = subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]
