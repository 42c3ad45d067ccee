"""The host's programs that machines of the netns driver run, and the Debian packages that have them."""

from __future__ import annotations

import os
import shutil

PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ip": "iproute2",
    "iptables": "iptables",
    "etcd": "etcd-server",
    "kubectl": "kubernetes-client",
    "docker-registry": "docker-registry",
    "keepalived": "keepalived",
}


def find_program(name: str) -> str | None:
    """Its path, also in the administrator's folders, which a plain user's PATH lacks on Debian."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def missing_programs() -> list[str]:
    """One line for all that are not installed, with the command that installs them; empty when none is missing."""
    missing = [name for name in PACKAGES if find_program(name) is None]
    if not missing:
        return []
    packages = " ".join(sorted({PACKAGES[name] for name in missing}))
    return [f"driver: netns needs {', '.join(missing)}: apt-get install -y --no-install-recommends {packages}"]
