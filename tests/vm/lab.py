"""``python -m tests.vm.lab``: one real lab from nothing: up, up again, verify, destroy, and nothing left. For CI.

Of both families: a lab of IPv4 alone is what the tests on network namespaces have.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAB = """
name: ci
driver: libvirt
network: 192.168.61.0/24
networkv6: fd00:61::/64
podCIDRv6: fd00:61:1::/48
serviceCIDRv6: fd00:61:2::/112
"""
#: A second ``up`` on a running lab: seconds, connections to three emulated machines included.
SECOND_UP = 60.0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kubelab-ci-") as folder:
        file = Path(folder, "lab.yaml")
        file.write_text(LAB)
        try:
            _kubelab("up", "--file", str(file))
            begun = time.monotonic()
            _kubelab("up", "--file", str(file))
            again = time.monotonic() - begun
            print(f"second up: {again:.1f} s", flush=True)
            if again > SECOND_UP:
                raise SystemExit(f"a second up took {again:.0f} s, more than {SECOND_UP:.0f} s")
            _kubelab("verify", "--lab", "ci")
        finally:
            _kubelab("destroy", "--lab", "ci")
    left = [line for argv in _LISTS for line in _output(argv).splitlines() if "kubelab-ci" in line or "kl-ci" in line]
    if left:
        raise SystemExit("destroy left: " + "; ".join(left))
    print("destroy left nothing")
    return 0


_LISTS = (
    ["virsh", "-c", "qemu:///system", "list", "--all", "--name"],
    ["virsh", "-c", "qemu:///system", "net-list", "--all", "--name"],
    ["virsh", "-c", "qemu:///system", "pool-list", "--all", "--name"],
    ["ip", "-o", "link"],
    ["ip", "route"],
    ["iptables-save"],
    ["ps", "-eo", "args"],
)


def _kubelab(*arguments: str) -> None:
    code = subprocess.run([sys.executable, "-m", "provisioner", *arguments], check=False).returncode
    if code != 0:
        raise SystemExit(f"kubelab {' '.join(arguments)} ended with code {code}")


def _output(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
