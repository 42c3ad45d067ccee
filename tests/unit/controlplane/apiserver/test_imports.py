"""What a start loads, and what it does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from apimachinery.kit.certs import Authority
from controlplane.apiserver.authn.certificates import authorities


def test_the_authorities_of_a_file_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(b"".join(Authority.create(name).pair.cert_pem for name in ("front-proxy-ca", "another")))
    assert set(authorities(file)) == {"commonName='front-proxy-ca'", "commonName='another'"}


def test_a_start_does_without_what_few_servers_need() -> None:
    """Each of these costs 3 to 20 ms of every start, twenty times that in an emulated machine."""
    spared = (
        "yaml", "cryptography.x509", "zoneinfo", "jsonschema_rs", "controlplane.apiserver.tables.printers",
        "apimachinery.api.openapi", "controlplane.apiserver.authn.oidc", "controlplane.apiserver.cel",
    )  # fmt: skip
    code = f"import sys, controlplane.apiserver.wire; print([name for name in {spared!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
