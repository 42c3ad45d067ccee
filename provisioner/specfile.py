"""lab.yaml → ``Lab``: every problem at once, each with the line it is on."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
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
    NODE_CIDR_PREFIX_V6,
    CloudProvider,
    ControlPlane,
    Driver,
    Group,
    Lab,
    Network,
    NetworkV6,
    PodNetwork,
    ProxyMode,
    Size,
)
from provisioner.specvalues import (
    GIB,
    address_range,
    address_range_v6,
    choice,
    cidr,
    cidr_v6,
    dns_domain,
    lab_name,
    network_v6,
    number_of,
    service_cidr_v6,
    size_in_bytes,
    vcpus,
    yes_or_no,
    zones,
)

T = TypeVar("T")
_Pool = tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | tuple[ipaddress.IPv6Address, ipaddress.IPv6Address]

#: Below these a machine boots but its daemons are killed for want of memory, or its disk is smaller than the image.
MIN_MASTER_MEMORY, MIN_WORKER_MEMORY, MIN_DISK = 1024 * MIB, 512 * MIB, 4 * GIB
MASTER = Size(vcpus=2, memory=2 * GIB, disk=12 * GIB)
WORKER = Size(vcpus=1, memory=1280 * MIB, disk=12 * GIB)


@dataclass(frozen=True, slots=True)
class LabText:
    """A lab file that was read. lab: as far as it is right, with defaults for the rest; ``None`` when nothing is.

    problems: what is wrong, by line. lines: key → line. wrong: the keys that problems are about.
    """

    source: str
    lab: Lab | None
    problems: tuple[str, ...]
    lines: Mapping[str, int]
    wrong: frozenset[str]

    def checked(self) -> Lab:
        """The lab. Raises ``BadInput`` with every problem."""
        if self.problems or self.lab is None:
            raise BadInput(self.problems)
        return self.lab

    def located(self, problems: Iterable[str]) -> list[str]:
        """Problems that begin with ``KEY:``, found elsewhere (on the host, say), with the line of their key in front.

        Without those about keys that the file has wrong anyway: they would speak of defaults.
        """
        found = []
        for problem in problems:
            keys = _RESTS_ON.get(key := problem.partition(":")[0], (key,))
            if self.wrong.isdisjoint(keys):
                line = next((self.lines[each] for each in keys if each in self.lines), None)
                found.append(f"{self.source}:{line}: {problem}" if line is not None else problem)
        return found


#: What a check outside of the file calls a thing → the keys of the file that it may come from.
_RESTS_ON = {
    "memory": ("memory", "workers.memory", "masters.memory", "workers", "masters"),
    "disk": (),
    "workers' size": ("workers", "vcpus", "memory", "disk"),
}


def load_lab(path: Path, *, driver: str | None = None) -> Lab:
    """Read and check a lab file. ``driver`` overrides the file's.

    Raises ``BadInput`` with ``FILE:LINE: KEY: what`` lines.
    """
    return read_lab(path, driver=driver).checked()


def read_lab(path: Path, *, driver: str | None = None) -> LabText:
    """The same, with the problems as a value. Raises ``BadInput`` for what is no text of YAML at all."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput([f"{path}: there is no such file"], advice="Name a lab file with --file.") from None
    except OSError as error:
        raise BadInput([f"{path}: {error.strerror}"]) from None
    advice = "Save the file as UTF-8."
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput([f"{path}: UTF-16 text"], advice=advice)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput([f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8"], advice=advice) from None
    return read_text(text, str(path), driver=driver)


def parse_lab(text: str, source: str = "lab.yaml", *, driver: str | None = None) -> Lab:
    """A lab from text at hand; ``source`` is the name used in messages. Raises ``BadInput``."""
    return read_text(text, source, driver=driver).checked()


def read_text(text: str, source: str, *, driver: str | None = None) -> LabText:
    """The same, with the problems as a value. Raises ``BadInput`` for what is not YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput([f"{source}:{line}: not YAML: it holds the character U+{error.character:04X}"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise BadInput([f"{where}: not YAML: {_yaml_words(error)}"]) from None
    except RecursionError:
        raise BadInput([f"{source}: not a lab file: nested too deeply"]) from None
    if root is None:
        root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    notes = _Notes(source)
    lab = _Reader(notes, root, "").lab(driver)
    return LabText(source, lab, notes.sorted(), notes.lines, frozenset(notes.wrong))


def _yaml_words(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "'\\t'" in error.problem:
        return "a tab; indent with spaces"
    if error.context and "single document" in error.context:
        return "a second document begins; a lab file holds one"
    return str(error.problem or error.context)


class _Notes:
    """What is found while a file is read, by all its readers."""

    def __init__(self, source: str) -> None:
        self.lines: dict[str, int] = {}
        self.wrong: set[str] = set()
        self._source = source
        self._problems: list[tuple[int, str]] = []

    def add(self, line: int | None, key: str, what: str) -> None:
        """``line``: ``None`` for what is not in the file."""
        self.wrong.update((key, key.partition(".")[0]))
        where = f"{self._source}:{line}: " if line is not None else ""
        self._problems.append((line or 0, f"{where}{key}: {what}"))

    def sorted(self) -> tuple[str, ...]:
        return tuple(text for _, text in sorted(self._problems, key=lambda each: each[0]))


class _Reader:
    """One mapping of the file. Reads keys with a type and a default, and notes what is wrong."""

    def __init__(self, notes: _Notes, node: yaml.Node, prefix: str) -> None:
        self._notes, self._prefix = notes, prefix
        self._node = node
        self._values: dict[str, yaml.Node] = {}
        self._keys: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode):
            self._add(node, prefix.rstrip(".") or "document", "must be a mapping of keys to values")
            return
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._add(key, prefix.rstrip(".") or "document", "a key must be a single word")
                continue
            name = str(key.value)
            if name in self._values:
                self._add(key, prefix + name, "is given twice")
            self._values[name], self._keys[name] = value, key
            notes.lines[prefix + name] = _line(key)

    def _add(self, node: yaml.Node, where: str, what: str) -> None:
        self._notes.add(_line(node), where, what)

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
        self.known(
            *keys, "dnsDomain", "proxyMode", "controlPlane", "metricsServer", "podNetwork", "networkv6", "podCIDRv6",
            "serviceCIDRv6", "cloudProvider", "loadBalancers", "loadBalancersv6", "zones",
        )  # fmt: skip
        shared = self._size(None)
        lab = Lab(
            name=self.read("name", "lab", lab_name),
            driver=self.read("driver", Driver.LIBVIRT, choice(Driver)),
            masters=self._group("masters", 1, _sized(MASTER, shared)),
            workers=self._group("workers", 2, _sized(WORKER, shared)),
            network=self.read("network", Network("192.168.60.0/24"), cidr(16, 26)),
            pod_cidr=self.read("podCIDR", Network("10.244.0.0/16"), cidr(8, NODE_CIDR_PREFIX)),
            service_cidr=self.read("serviceCIDR", Network("10.96.0.0/12"), cidr(12, 27)),
            dns_domain=self.read("dnsDomain", "cluster.local", dns_domain),
            proxy_mode=self.read("proxyMode", ProxyMode.IPTABLES, choice(ProxyMode)),
            control_plane=self.read("controlPlane", ControlPlane.STATIC_PODS, choice(ControlPlane)),
            metrics_server=self.read("metricsServer", True, yes_or_no),
            pod_network=self.read("podNetwork", PodNetwork.AUTO, choice(PodNetwork)),
            network_v6=self.read("networkv6", None, network_v6),
            pod_cidr_v6=self.read("podCIDRv6", None, cidr_v6),
            service_cidr_v6=self.read("serviceCIDRv6", None, service_cidr_v6),
            cloud_provider=self.read("cloudProvider", CloudProvider.NONE, choice(CloudProvider)),
            load_balancers=self.read("loadBalancers", None, address_range),
            load_balancers_v6=self.read("loadBalancersv6", None, address_range_v6),
            zones=self.read("zones", 1, zones),
        )
        if lab.cloud_provider is CloudProvider.EXTERNAL and lab.load_balancers is None:
            # The last twenty before the broadcast address.
            lab = replace(lab, load_balancers=(lab.network[-21], lab.network[-2]))
        if lab.cloud_provider is CloudProvider.EXTERNAL and lab.network_v6 is not None and not lab.load_balancers_v6:
            lab = replace(lab, load_balancers_v6=(lab.network_v6[0x200], lab.network_v6[0x213]))
        if driver is not None:
            if driver not in list(Driver):
                self._notes.add(None, "--driver", f"{driver!r} is not one of {', '.join(Driver)}")
                return None
            lab = replace(lab, driver=Driver(driver))
        self._check_counts(lab)
        self._check_networks(lab)
        self._check_cloud(lab)
        return lab

    def _group(self, name: str, count: int, size: Size) -> Group:
        node = self._values.get(name)
        if node is None:
            return Group(count, size)
        if isinstance(node, yaml.MappingNode):
            inner = _Reader(self._notes, node, f"{name}.")
            inner.known("count", "vcpus", "memory", "disk")
            own = inner._size(size)
            assert own.vcpus and own.memory and own.disk
            return Group(inner.read("count", count, number_of), own)
        return Group(self.read(name, count, number_of), size)

    def _size(self, default: Size | None) -> Size:
        base = default or Size(0, 0, 0)
        size = Size(
            vcpus=self.read("vcpus", base.vcpus, vcpus),
            memory=self.read("memory", base.memory, size_in_bytes),
            disk=self.read("disk", base.disk, size_in_bytes),
        )
        if "disk" in self._values and 0 < size.disk < MIN_DISK:
            self.at("disk", f"{size.disk // MIB}Mi is less than the {MIN_DISK // GIB}Gi that the guest image needs")
        return size

    def _check_counts(self, lab: Lab) -> None:
        if lab.masters.count < 1:
            self.at("masters", "a lab needs a master")
        if lab.masters.count > MAX_MASTERS:
            self.at("masters", f"{lab.masters.count} is more than {MAX_MASTERS}")
        elif lab.masters.count > 1 and lab.control_plane is ControlPlane.SERVICE:
            self.at("masters", "controlPlane: service is for one master; several run it as static pods")
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
        if lab.pod_cidr_v6 is None and "podCIDRv6" not in self._values:
            for name, network in (("serviceCIDRv6", lab.service_cidr_v6), ("networkv6", lab.network_v6)):
                if network is not None:
                    what = "Services" if name == "serviceCIDRv6" else "machines"
                    self.at(name, f"{what} of IPv6 need pods with such addresses: podCIDRv6")
        nodes = lab.masters.count + lab.workers.count
        for name, pods, prefix in (
            ("podCIDR", lab.pod_cidr, NODE_CIDR_PREFIX),
            ("podCIDRv6", lab.pod_cidr_v6, NODE_CIDR_PREFIX_V6),
        ):
            if pods is not None and nodes > (room := 2 ** (prefix - pods.prefixlen)):
                self.at(name, f"{pods} has a /{prefix} for {room} nodes, and the lab has {nodes}")

    def _check_cloud(self, lab: Lab) -> None:
        if lab.cloud_provider is CloudProvider.NONE:
            for name in ("loadBalancers", "loadBalancersv6", "zones"):
                if name in self._values:
                    self.at(name, "only with cloudProvider: external, whose work it is")
            return
        if lab.load_balancers_v6 is not None and lab.network_v6 is None and "networkv6" not in self._values:
            self.at("loadBalancersv6", "balancers of IPv6 need machines with such addresses: networkv6")
        self._check_pool("loadBalancers", lab.load_balancers, "network", lab.network, lab)
        self._check_pool("loadBalancersv6", lab.load_balancers_v6, "networkv6", lab.network_v6, lab)

    def _check_pool(self, key: str, pool: _Pool | None, of: str, network: Network | NetworkV6 | None, lab: Lab) -> None:
        if pool is None or network is None or not self._notes.wrong.isdisjoint((key, of)):
            return
        default = "" if key in self._values else ", the default,"
        shown = f"{pool[0]}-{pool[1]}{default}"
        first, last = int(pool[0]), int(pool[1])
        if not int(network[2]) <= first <= last <= int(network[-2]):
            inside = f"{network[2]} to {network[-2]}"
            self.at(key, f"{shown} is not within {inside}, the addresses of {network} but the host's")
        held = [(ip, f"of {machine.name}") for machine in lab.machines for ip in machine.ips]
        if lab.shared_ip:
            held.append((lab.shared_ip, "of the API servers"))
        for text, whose in held:
            ip = ipaddress.ip_address(text)
            if ip.version == network.version and first <= int(ip) <= last:
                self.at(key, f"{shown} has {ip}, the address {whose}")
                return

    def _check_networks(self, lab: Lab) -> None:
        self._check_overlaps(("network", lab.network), ("podCIDR", lab.pod_cidr), ("serviceCIDR", lab.service_cidr))
        v6 = (("networkv6", lab.network_v6), ("podCIDRv6", lab.pod_cidr_v6), ("serviceCIDRv6", lab.service_cidr_v6))
        self._check_overlaps(*((name, network) for name, network in v6 if network is not None))

    def _check_overlaps(self, *named: tuple[str, Network | NetworkV6]) -> None:
        """``named``: of one family."""
        right = [(name, network) for name, network in named if name not in self._notes.wrong]
        for index, (name, network) in enumerate(right):
            for other_name, other in right[:index]:
                if network.overlaps(other):
                    # Told at a line that is there: one of the two may be a default.
                    first, second = (name, network), (other_name, other)
                    if name not in self._values:
                        first, second = second, first
                    default = "" if second[0] in self._values else ", the default"
                    self.at(first[0], f"{first[1]} overlaps with {second[0]} {second[1]}{default}")


def _line(node: yaml.Node) -> int:
    mark = node.start_mark
    return int(mark.line) + 1 if mark is not None else 1


def _sized(role: Size, shared: Size) -> Size:
    return Size(shared.vcpus or role.vcpus, shared.memory or role.memory, shared.disk or role.disk)
