"""A machine's identity as a tar archive on a small raw disk, unpacked by the initrd before systemd starts.

The guest image is the same for every machine; what differs (name, addresses, keys) travels in the seed. The initrd
unpacks it over the root file system once per content: it remembers the SHA-256 of the last seed it applied, so that a
reboot keeps what people changed on the machine, and a new seed is applied at the next boot. Unlike cloud-init this
costs one ``tar`` and no interpreter.
"""

from __future__ import annotations

import io
import ipaddress
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from apimachinery.kit.files import write_atomic

#: Disk sizes are multiples of this many bytes; a raw image shorter than a sector multiple is rounded up by QEMU.
_ALIGNMENT = 64 * 1024


def render_network(addresses: Sequence[str], gateways: Sequence[str], device: str = "eth0") -> str:
    """The batch for ``ip -force -batch`` that ``kubelab-network.service`` runs: one process instead of a network
    daemon.

    ``addresses``: of the interface, with prefix length (``192.168.60.11/24``, ``fd00:60::11/64``); ``gateways``: at
    most one of each family. Raises ``ValueError`` for anything else.
    """
    lines = [f"link set {device} up"]
    for address in addresses:
        if "/" not in address:
            raise ValueError(f"address {address!r} lacks a prefix length")
        interface = ipaddress.ip_interface(address)
        # Nobody else has it: looking for a duplicate costs the second in which what starts now cannot bind to it.
        lines.append(f"address replace {interface} dev {device}{' nodad' if interface.version == 6 else ''}")
    # The gateway says which family's default it is: a line of a batch takes no -6.
    lines += [f"route replace default via {ipaddress.ip_address(gateway)} dev {device}" for gateway in gateways]
    return "\n".join(lines) + "\n"


def render_hosts(hostname: str, hosts: Mapping[str, str]) -> str:
    """``/etc/hosts``: loopback, the machine's own name, and ``hosts`` (name → address)."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    if hostname not in hosts:
        lines.append(f"127.0.1.1\t{hostname}")
    lines += [f"{ipaddress.ip_address(address)}\t{name}" for name, address in hosts.items()]
    return "\n".join(lines) + "\n"


def render_seed(
    *,
    hostname: str,
    addresses: Sequence[str],
    gateways: Sequence[str],
    dns: Sequence[str],
    ssh_public_key: str,
    host_keys: Mapping[str, str | bytes],
    machine_id: str,
    hosts: Mapping[str, str],
    files: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """The seed's bytes; equal input gives equal bytes. Arguments as for ``build_seed``."""
    if len(machine_id) != 32 or any(c not in "0123456789abcdef" for c in machine_id):
        raise ValueError(f"machine_id {machine_id!r} is not 32 lower-case hexadecimal digits")
    content: dict[str, tuple[str | bytes, int]] = {
        "etc/hostname": (hostname + "\n", 0o644),
        "etc/hosts": (render_hosts(hostname, hosts), 0o644),
        "etc/machine-id": (machine_id + "\n", 0o444),
        "etc/kubelab/network": (render_network(addresses, gateways), 0o644),
        "root/.ssh/authorized_keys": (ssh_public_key.rstrip("\n") + "\n", 0o600),
    }
    if dns:
        content["etc/resolv.conf"] = ("".join(f"nameserver {ipaddress.ip_address(d)}\n" for d in dns), 0o644)
    for name, key in host_keys.items():
        content[f"etc/ssh/{name}"] = (key, 0o644 if name.endswith(".pub") else 0o600)
    for path, data in (files or {}).items():
        content[path.lstrip("/")] = (data, 0o644)

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        directory = tarfile.TarInfo("root/.ssh")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(directory)
        for path, (data, mode) in sorted(content.items()):
            raw = data.encode() if isinstance(data, str) else data
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(raw), mode
            archive.addfile(entry, io.BytesIO(raw))
    return pad(buffer.getvalue())


def pad(data: bytes) -> bytes:
    """``data``, an archive, as a raw disk's content: a tar archive ends with zeros of any number."""
    return data + b"\0" * (-len(data) % _ALIGNMENT)


def build_seed(
    path: Path,
    *,
    hostname: str,
    addresses: Sequence[str],
    gateways: Sequence[str],
    dns: Sequence[str],
    ssh_public_key: str,
    host_keys: Mapping[str, str | bytes],
    machine_id: str,
    hosts: Mapping[str, str],
    files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write the seed of one machine to ``path``, a raw disk image of some 64 KiB, mode 0600 (it holds private keys).

    Attach it as the machine's second virtio disk (``vdb``). ``addresses`` and ``gateways``: see ``render_network``;
    ``host_keys`` maps file names under ``/etc/ssh`` (``ssh_host_ed25519_key`` and ``….pub``) to their contents;
    ``machine_id`` is 32 hexadecimal digits; ``hosts`` maps names to addresses for ``/etc/hosts``; ``files`` maps any
    other absolute path to its content (mode 0644). Raises ``ValueError`` for a malformed address or machine-id.
    """
    data = render_seed(
        hostname=hostname,
        addresses=addresses,
        gateways=gateways,
        dns=dns,
        ssh_public_key=ssh_public_key,
        host_keys=host_keys,
        machine_id=machine_id,
        hosts=hosts,
        files=files,
    )
    write_atomic(path, data, mode=0o600)
