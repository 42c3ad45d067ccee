"""The seed disk: a tar archive that busybox's tar and the initrd's check accept."""

import io
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from provisioner.images.seed import build_seed, render_network, render_seed

SPEC: dict[str, Any] = {
    "hostname": "worker-1",
    "addresses": ["192.168.60.21/24"],
    "gateways": ["192.168.60.1"],
    "dns": ["192.168.60.1"],
    "ssh_public_key": "ssh-ed25519 AAAA lab",
    "host_keys": {"ssh_host_ed25519_key": "PRIVATE\n", "ssh_host_ed25519_key.pub": "ssh-ed25519 BBBB\n"},
    "machine_id": "0123456789abcdef0123456789abcdef",
    "hosts": {"master-1": "192.168.60.11", "worker-1": "192.168.60.21"},
}


def members(data: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {}
        for entry in archive:
            file = archive.extractfile(entry)
            found[entry.name] = (entry, file.read() if file else b"")
        return found


def test_holds_the_identity_with_safe_modes() -> None:
    found = members(render_seed(**SPEC))
    assert found["etc/hostname"][1] == b"worker-1\n"
    assert found["etc/machine-id"][1] == b"0123456789abcdef0123456789abcdef\n"
    assert found["root/.ssh/authorized_keys"][1] == b"ssh-ed25519 AAAA lab\n"
    assert b"192.168.60.11\tmaster-1" in found["etc/hosts"][1]
    modes = {name: entry.mode for name, (entry, _) in found.items()}
    assert modes["etc/ssh/ssh_host_ed25519_key"] == 0o600
    assert modes["etc/ssh/ssh_host_ed25519_key.pub"] == 0o644
    assert modes["root/.ssh"] == 0o700
    assert {entry.uid for entry, _ in found.values()} == {0}


def test_starts_like_the_tar_that_the_initrd_looks_for_and_fills_whole_sectors() -> None:
    data = render_seed(**SPEC)
    assert data[257:262] == b"ustar"
    assert len(data) % 512 == 0


def test_is_equal_for_equal_input_and_differs_otherwise() -> None:
    assert render_seed(**SPEC) == render_seed(**SPEC)
    assert render_seed(**SPEC) != render_seed(**{**SPEC, "hostname": "worker-2"})


def test_further_files_are_included() -> None:
    found = members(render_seed(**SPEC, files={"/etc/modules-load.d/x.conf": "ip_vs\n"}))
    assert found["etc/modules-load.d/x.conf"][1] == b"ip_vs\n"


def test_private_keys_are_not_readable_by_others(tmp_path: Path) -> None:
    build_seed(tmp_path / "seed.img", **SPEC)
    assert stat.S_IMODE((tmp_path / "seed.img").stat().st_mode) == 0o600


def test_network_batch() -> None:
    assert render_network(["10.0.0.2/24"], ["10.0.0.1"]).splitlines() == [
        "link set eth0 up",
        "address replace 10.0.0.2/24 dev eth0",
        "route replace default via 10.0.0.1 dev eth0",
    ]
    assert "default" not in render_network(["10.0.0.2/24"], [])
    assert render_network(["10.0.0.2/24", "fd00::2/64"], ["10.0.0.1", "fd00::1"]).splitlines()[2:] == [
        "address replace fd00::2/64 dev eth0 nodad",
        "route replace default via 10.0.0.1 dev eth0",
        "route replace default via fd00::1 dev eth0",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"addresses": ["192.168.60.21"]},
        {"addresses": ["nonsense/24"]},
        {"machine_id": "short"},
        {"gateways": ["x"]},
        {"dns": ["y"]},
    ],
    ids=["no prefix length", "no address", "machine-id", "gateway", "dns"],
)
def test_malformed_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        render_seed(**{**SPEC, **wrong})
