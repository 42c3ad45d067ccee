"""lab.yaml → ``Lab``: every problem at once, each with the line it is on."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import yaml

from provisioner.errors import BadInput
from provisioner.spec import (
    FIRST_WORKER,
    MAX_MASTERS,
    MAX_WORKERS,
    MIB,
    NODE_CIDR_PREFIX,
    ControlPlane,
    Driver,
    Group,
    Lab,
    Network,
    ProxyMode,
    Size,
)

GIB = 1024 * MIB
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SIZE = re.compile(r"(\d+)(Mi|Gi)B?")

#: Below these a machine boots but its daemons are killed for want of memory, or its disk is smaller than the image.
MIN_MASTER_MEMORY, MIN_WORKER_MEMORY, MIN_DISK = 1024 * MIB, 512 * MIB, 4 * GIB
MASTER = Size(vcpus=2, memory=2 * GIB, disk=12 * GIB)
WORKER = Size(vcpus=1, memory=1280 * MIB, disk=12 * GIB)


def load_lab(path: Path, *, driver: str | None = None) -> Lab:
    """Read and check a lab file. ``driver`` overrides the file's.

    Raises ``BadInput`` with ``FILE:LINE: KEY: what`` lines.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise BadInput([f"{path}: there is no such file"], advice="Name a lab file with --file.") from None
    except OSError as error:
        raise BadInput([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise BadInput([f"{path}: not UTF-8 text: {error.reason} at byte {error.start}"]) from None
    return parse_lab(text, str(path), driver=driver)


def parse_lab(text: str, source: str = "lab.yaml", *, driver: str | None = None) -> Lab:
    """The same for text at hand; ``source`` is the name used in messages."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise BadInput([f"{where}: not YAML: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise BadInput([f"{source}: not YAML: {error}"]) from None
    if root is None:
        root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    problems: list[str] = []
    lab = _Reader(source, root, problems, "").lab(driver)
    if problems:
        raise BadInput(problems)
    assert lab is not None  # without a problem every field was read
    return lab


def dump_lab(lab: Lab) -> str:
    """A lab as JSON, for ``labs/NAME/lab.json``; ``restore_lab`` reads it."""
    plain = asdict(lab)
    for key in ("network", "pod_cidr", "service_cidr"):
        plain[key] = str(plain[key])
    return json.dumps(plain, indent=2) + "\n"


def restore_lab(text: str) -> Lab:
    """The lab that ``dump_lab`` wrote."""
    plain = json.loads(text)
    groups = {key: Group(plain[key]["count"], Size(**plain[key]["size"])) for key in ("masters", "workers")}
    return Lab(
        name=plain["name"],
        driver=Driver(plain["driver"]),
        masters=groups["masters"],
        workers=groups["workers"],
        network=Network(plain["network"]),
        pod_cidr=Network(plain["pod_cidr"]),
        service_cidr=Network(plain["service_cidr"]),
        dns_domain=plain["dns_domain"],
        proxy_mode=ProxyMode(plain["proxy_mode"]),
        control_plane=ControlPlane(plain["control_plane"]),
    )


class _Reader:
    """One mapping of the file. Reads keys with a type and a default, and notes what is wrong."""

    def __init__(self, source: str, node: yaml.Node, problems: list[str], prefix: str) -> None:
        self._source, self._problems, self._prefix = source, problems, prefix
        self._node = node
        self._values: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            self._add(node, prefix.rstrip(".") or "document", "must be a mapping of keys to values")
            return
        for key, value in node.value:
            name = str(key.value)
            if name in self._values:
                self._add(key, prefix + name, "is given twice")
            self._values[name] = value
        self._keys = {str(key.value): key for key, _ in node.value}

    def _add(self, node: yaml.Node, where: str, what: str) -> None:
        self._problems.append(f"{self._source}:{_line(node)}: {where}: {what}")

    def known(self, *names: str) -> None:
        for name in self._values:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names)}"
                self._add(self._keys[name], self._prefix + name, f"unknown key{hint}")

    def read(self, name: str, default: T, convert: Callable[[yaml.Node], T]) -> T:
        """The value of a key; ``convert`` raises ``ValueError`` with what is wrong."""
        node = self._values.get(name)
        if node is None:
            return default
        try:
            return convert(node)
        except ValueError as error:
            self._add(node, self._prefix + name, str(error))
            return default

    def at(self, name: str, what: str) -> None:
        """Note a problem with a key that was read, or with the whole when it was left out."""
        self._add(self._values.get(name, self._node), self._prefix + name, what)

    def lab(self, driver: str | None) -> Lab | None:
        keys = ("name", "driver", "masters", "workers", "vcpus", "memory", "disk", "network", "podCIDR", "serviceCIDR")
        self.known(*keys, "dnsDomain", "proxyMode", "controlPlane")
        shared = self._size(None)
        lab = Lab(
            name=self.read("name", "lab", _name),
            driver=self.read("driver", Driver.LIBVIRT, _choice(Driver)),
            masters=self._group("masters", 1, _sized(MASTER, shared)),
            workers=self._group("workers", 2, _sized(WORKER, shared)),
            network=self.read("network", Network("192.168.60.0/24"), _cidr(16, 26)),
            pod_cidr=self.read("podCIDR", Network("10.244.0.0/16"), _cidr(8, NODE_CIDR_PREFIX)),
            service_cidr=self.read("serviceCIDR", Network("10.96.0.0/12"), _cidr(12, 27)),
            dns_domain=self.read("dnsDomain", "cluster.local", _domain),
            proxy_mode=self.read("proxyMode", ProxyMode.IPTABLES, _choice(ProxyMode)),
            control_plane=self.read("controlPlane", ControlPlane.STATIC_PODS, _choice(ControlPlane)),
        )
        if driver is not None:
            if driver not in list(Driver):
                self._problems.append(f"--driver: {driver!r} is not one of {', '.join(Driver)}")
                return None
            lab = replace(lab, driver=Driver(driver))
        self._check_counts(lab)
        self._check_networks(lab)
        return lab

    def _group(self, name: str, count: int, size: Size) -> Group:
        node = self._values.get(name)
        if node is None:
            return Group(count, size)
        if isinstance(node, yaml.MappingNode):
            inner = _Reader(self._source, node, self._problems, f"{name}.")
            inner.known("count", "vcpus", "memory", "disk")
            own = inner._size(size)
            assert own.vcpus and own.memory and own.disk
            return Group(inner.read("count", count, _count), own)
        return Group(self.read(name, count, _count), size)

    def _size(self, default: Size | None) -> Size:
        base = default or Size(0, 0, 0)
        size = Size(
            vcpus=self.read("vcpus", base.vcpus, _vcpus),
            memory=self.read("memory", base.memory, _bytes),
            disk=self.read("disk", base.disk, _bytes),
        )
        if "disk" in self._values and 0 < size.disk < MIN_DISK:
            self.at("disk", f"{size.disk // MIB}Mi is less than the {MIN_DISK // GIB}Gi that the guest image needs")
        return size

    def _check_counts(self, lab: Lab) -> None:
        if lab.masters.count < 1:
            self.at("masters", "a lab needs a master")
        if lab.masters.count > MAX_MASTERS:
            self.at(
                "masters",
                f"{lab.masters.count} masters need a load balancer before their API servers, "
                "which is not built yet: use 1",
            )
        if lab.workers.count > MAX_WORKERS:
            self.at("workers", f"{lab.workers.count} is more than {MAX_WORKERS}")
        elif FIRST_WORKER + lab.workers.count >= lab.network.num_addresses:
            self.at(
                "network", f"{lab.network} has no room for {lab.workers.count} workers from its address {FIRST_WORKER}"
            )
        for name, group, minimum in (
            ("masters", lab.masters, MIN_MASTER_MEMORY),
            ("workers", lab.workers, MIN_WORKER_MEMORY),
        ):
            if group.size.memory < minimum:
                need = f"{group.size.memory // MIB}Mi is less than the {minimum // MIB}Mi that the daemons need"
                self.at(name, f"memory {need}")
        nodes = lab.masters.count + lab.workers.count
        room = 2 ** (NODE_CIDR_PREFIX - lab.pod_cidr.prefixlen)
        if nodes > room:
            self.at("podCIDR", f"{lab.pod_cidr} has a /{NODE_CIDR_PREFIX} for {room} nodes, and the lab has {nodes}")

    def _check_networks(self, lab: Lab) -> None:
        named = [("network", lab.network), ("podCIDR", lab.pod_cidr), ("serviceCIDR", lab.service_cidr)]
        for index, (name, network) in enumerate(named):
            for other_name, other in named[:index]:
                if network.overlaps(other):
                    self.at(name, f"{network} overlaps with {other_name} {other}")


def _line(node: yaml.Node) -> int:
    mark = node.start_mark
    return int(mark.line) + 1 if mark is not None else 1


def _sized(role: Size, shared: Size) -> Size:
    return Size(shared.vcpus or role.vcpus, shared.memory or role.memory, shared.disk or role.disk)


def _scalar(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("must be a single value")
    return str(node.value)


def _integer(node: yaml.Node) -> int:
    text = _scalar(node)
    if not re.fullmatch(r"-?\d+", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _count(node: yaml.Node) -> int:
    count = _integer(node)
    if count < 0:
        raise ValueError(f"{count} is negative")
    return count


def _vcpus(node: yaml.Node) -> int:
    count = _integer(node)
    if not 1 <= count <= 64:
        raise ValueError(f"{count} is not between 1 and 64")
    return count


def _bytes(node: yaml.Node) -> int:
    text = _scalar(node)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 1280Mi or 2Gi")
    size = int(match[1]) * (GIB if match[2] == "Gi" else MIB)
    if size == 0:
        raise ValueError("must be more than nothing")
    return size


def _name(node: yaml.Node) -> str:
    text = _scalar(node)
    if not _LABEL.fullmatch(text) or len(text) > 20:
        raise ValueError(f"{text!r} must be at most 20 of a-z, 0-9 and '-', begin with a letter and not end with '-'")
    return text


def _domain(node: yaml.Node) -> str:
    text = _scalar(node)
    if len(text) > 100 or not all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in text.split(".")):
        raise ValueError(f"{text!r} is not a DNS domain")
    return text


def _choice(kind: type[E]) -> Callable[[yaml.Node], E]:
    def convert(node: yaml.Node) -> E:
        text = _scalar(node)
        if text not in list(kind):
            raise ValueError(f"{text!r} is not one of {', '.join(kind)}")
        return kind(text)

    return convert


def _cidr(shortest: int, longest: int) -> Callable[[yaml.Node], Network]:
    """IPv4 networks whose prefix length is between the two."""

    def convert(node: yaml.Node) -> Network:
        text = _scalar(node)
        if "/" not in text:
            raise ValueError(f"{text!r} is not a network such as 10.0.0.0/16")
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(str(error)) from None
        if not isinstance(network, Network):
            raise ValueError(f"{text} is IPv6; labs are IPv4")
        if not network.is_private:
            raise ValueError(f"{text} is not a private network (RFC 1918): its addresses belong to others")
        if not shortest <= network.prefixlen <= longest:
            raise ValueError(f"{text}: the prefix length must be between {shortest} and {longest}")
        return network

    return convert
