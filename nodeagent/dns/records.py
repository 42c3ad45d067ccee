"""What the cluster's zone holds: the Kubernetes DNS specification, schema 1.1.0, over listers. No I/O.

https://github.com/kubernetes/dns/blob/master/docs/specification.md; sections are cited as "spec 2.3".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from apimachinery.cache.lister import Lister
from apimachinery.meta import objects
from nodeagent.dns.indexes import BY_ADDRESS, BY_SERVICE, Object, service_addresses, slice_service
from nodeagent.dns.message import (
    AAAA,
    ANY,
    AXFR,
    CNAME,
    IXFR,
    MAX_LABEL,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    SRV,
    TXT,
    A,
    Answer,
    Name,
    Record,
    a,
    aaaa,
    is_name,
    parse_name,
    soa,
    txt,
)
from nodeagent.dns.reverse import reversed_address
from nodeagent.dns.settings import Kubernetes, covers

SCHEMA_VERSION = "1.1.0"
_VERSION_TTL = 28800  # seconds; CoreDNS's
_REVERSE = (("in-addr", "arpa"), ("ip6", "arpa"))
_FOLLOWED = frozenset((A, AAAA, CNAME, TXT))  # what CoreDNS answers with an alias
_NO_PORTS: tuple[Object, ...] = ({},)

Place = tuple[str, int, Name]
"""An address, the number of a port (0 where none is told), and what SRV records call it."""


class ClusterRecords:
    """Answers for one zone such as cluster.local, or for a reverse one.

    The listers hold Services (index BY_ADDRESS), EndpointSlices (BY_SERVICE, BY_ADDRESS), Namespaces and, where pods
    are to be verified, Pods (BY_ADDRESS). home: the zone that reverse answers lead to. serial: grows with each change.
    """

    def __init__(
        self,
        zone: Name,
        services: Lister,
        slices: Lister,
        namespaces: Lister,
        *,
        settings: Kubernetes,
        serial: Callable[[], int],
        pods: Lister | None = None,
        home: Name | None = None,
    ) -> None:
        self.zone, self._settings, self._serial = zone, settings, serial
        self._ttl, self._home = settings.ttl, home or zone
        self._services, self._slices, self._namespaces, self._pods = services, slices, namespaces, pods

    def covers(self, name: Name) -> bool:
        return covers((self.zone,), name)

    def answer(self, name: Name, qtype: int) -> Answer:
        """For a name that `covers`. NXDOMAIN and empty answers carry the SOA, so that they can be kept (RFC 2308).

        As CoreDNS, which has no records of the type ANY and hands the zone to nobody unless `transfer` says so.
        """
        if qtype in (AXFR, IXFR):
            return Answer(REFUSED, authoritative=False)
        if self.zone[-2:] in _REVERSE and len(name) > len(self.zone):
            return self._reverse(name, qtype)
        found = self._find(name[: len(name) - len(self.zone)], name)
        if found is None:
            return self.nothing(NXDOMAIN)
        if any(record.type == CNAME and not is_name(record.data) for record in found):
            # Kubernetes takes an externalName with a label that no message can hold.
            return Answer(SERVFAIL, authoritative=False)
        matching = tuple(
            record
            for record in found
            if qtype != ANY and (record.type == qtype or (record.type == CNAME and qtype in _FOLLOWED))
        )
        if not matching:
            return self.nothing(NOERROR)
        targets = dict.fromkeys(
            record.data[3] if record.type == SRV else record.data for record in matching if record.type in (SRV, NS)
        )
        extra = tuple(record for target in targets for record in self._of_target(target) if record.type in (A, AAAA))
        return Answer(NOERROR, matching, additional=extra)

    def nothing(self, rcode: int) -> Answer:
        """No record of what was asked for (NOERROR), or no such name (NXDOMAIN)."""
        return Answer(rcode, authority=(soa(self.zone, self._ttl, self._serial()),))

    def _reverse(self, name: Name, qtype: int) -> Answer:
        """The PTR of a cluster address or of an endpoint (spec 2.3.3 and 2.4.3)."""
        address = reversed_address(name)
        if address is None:
            return self.nothing(NXDOMAIN)
        targets = [
            self._service_name(service)
            for service in self._services.by_index(BY_ADDRESS, address)
            if self._exposed(objects.namespace(service))
        ][:1]
        if not targets:
            targets = [
                (self._label(endpoint, address), *self._service_name(service))
                for slice_ in self._slices.by_index(BY_ADDRESS, address)
                if (service := self._service_of(slice_)) is not None
                for endpoint in self._ready(service, slice_)
                if address in endpoint["addresses"]
            ]
        if not targets:
            return self.nothing(NXDOMAIN)
        if qtype != PTR:
            return self.nothing(NOERROR)
        return Answer(NOERROR, tuple(Record(name, PTR, self._ttl, target) for target in dict.fromkeys(targets)))

    def _exposed(self, namespace: str) -> bool:
        only = self._settings.namespaces
        return (not only or namespace in only) and self._namespaces.get(namespace) is not None

    def _find(self, labels: Name, name: Name) -> list[Record] | None:
        """Every record of a name; None when the name does not exist. labels: what stands before the zone."""
        match labels:
            case ():
                return [
                    soa(self.zone, self._ttl, self._serial()),
                    Record(name, NS, self._ttl, self._server()),
                ]
            case ("dns-version",):
                return [Record(name, TXT, _VERSION_TTL, txt(SCHEMA_VERSION))]
            case ("dns",) | ("svc",) | ("pod",):
                return []
            case ("ns", "dns"):
                service = self._services.get("kube-dns", "kube-system")
                return [self._address(name, ip) for ip in service_addresses(service)] if service else []
            case (*rest, namespace, "svc") if self._exposed(namespace):
                return self._in_namespace(tuple(rest), namespace, name)
            case (*rest, namespace, "pod") if self._exposed(namespace):
                return self._pod(tuple(rest), namespace, name)
        return None

    def _in_namespace(self, labels: Name, namespace: str, name: Name) -> list[Record] | None:
        if not labels:
            return []
        service = self._services.get(labels[-1], namespace)
        if service is None:
            return None
        if service["spec"].get("type") == "ExternalName":
            # spec 2.5; nothing exists below it. An address is no alias (CoreDNS's HostType).
            target = parse_name(service["spec"]["externalName"])
            if len(labels) != 1 or _is_address(service["spec"]["externalName"]):
                return None
            return [Record(name, CNAME, self._ttl, target), Record(name, SRV, self._ttl, (0, 100, 0, target))]
        if self._settings.ignore_empty and not _is_headless(service) and not any(self._ready_endpoints(service)):
            return None
        match labels[:-1]:
            case ():
                places = self._places(service)
            case (protocol,) if protocol in ("_tcp", "_udp", "_sctp"):
                # Names exist below it (RFC 8020), though it has no record itself.
                return [] if self._places(service, protocol=protocol[1:]) else None
            case (host,):
                # CoreDNS answers for endpoints of Services with a cluster address as well.
                places = self._places(service, host=host)
            case (port, protocol):
                # CoreDNS does without the underscores, too.
                places = self._places(service, port.removeprefix("_"), protocol.removeprefix("_"))
            case _:
                return None
        return self._records(name, places)

    def _records(self, name: Name, places: list[Place]) -> list[Record] | None:
        """The addresses, and SRV records whose weights add up to 100: CoreDNS gives both for all of a Service's names.

        None where there is no place: for a headless Service without ready endpoints, NXDOMAIN (spec 2.4.1).
        """
        found = [self._address(name, address) for address in dict.fromkeys(address for address, _, _ in places)]
        # An address more is a place more, though the record be the same: a Service with two families has 50 in each.
        weight = max(1, 100 // len(places)) if places else 0
        for number, target in dict.fromkeys((number, target) for _, number, target in places if number):
            found.append(Record(name, SRV, self._ttl, (0, weight, number, target)))
        return found or None

    def _places(self, service: Object, port: str = "", protocol: str = "", host: str = "") -> list[Place]:
        """Where a Service may be reached (spec 2.3.2 and 2.4.2). port: its name; host: an endpoint's; "" for any."""
        own = (objects.name(service), objects.namespace(service), "svc", *self.zone)
        if not _is_headless(service) and not host:
            ports = [each for each in service["spec"].get("ports") or _NO_PORTS if _is_port(each, port, protocol)]
            return [(ip, each.get("port") or 0, own) for each in ports for ip in service_addresses(service)]
        return [
            (address, each.get("port") or 0, (label, *own))
            for endpoint, slice_ in self._ready_endpoints(service)
            for address in endpoint["addresses"]
            if (label := self._label(endpoint, address)) == host or not host
            for each in slice_.get("ports") or _NO_PORTS
            if _is_port(each, port, protocol)
        ]

    def _pod(self, labels: Name, namespace: str, name: Name) -> list[Record] | None:
        """spec 2.6: `insecure` answers for any address, `verified` where a pod of that namespace has it."""
        if self._settings.pods == "disabled":
            return None
        if not labels:
            return []
        if len(labels) != 1:
            return None
        label = labels[0]
        four = label.count("-") == 3 and "--" not in label
        text = label.replace("-", "." if four else ":")
        if not _is_address(text):
            return None
        if self._settings.pods == "verified":
            address = str(ipaddress.ip_address(text))
            found = self._pods.by_index(BY_ADDRESS, address) if self._pods is not None else []
            if not any(objects.namespace(pod) == namespace for pod in found):
                return None
        return [self._address(name, text)]

    def _of_target(self, target: Any) -> list[Record]:
        return (self._find(target[: -len(self.zone)], target) if self.covers(target) else None) or []

    def _ready_endpoints(self, service: Object) -> Iterable[tuple[Object, Object]]:
        for slice_ in self._slices.by_index(BY_SERVICE, objects.key(service)):
            for endpoint in self._ready(service, slice_):
                yield endpoint, slice_

    def _ready(self, service: Object, slice_: Object) -> Iterable[Object]:
        """The endpoints of one slice that have records."""
        if not self._settings.endpoints or slice_.get("addressType") not in ("IPv4", "IPv6"):
            return
        every = bool(service["spec"].get("publishNotReadyAddresses"))
        for endpoint in slice_.get("endpoints") or ():
            # An unknown readiness is to be taken for ready (discovery.k8s.io/v1, EndpointConditions).
            if every or (endpoint.get("conditions") or {}).get("ready") is not False:
                yield endpoint

    def _server(self) -> Name:
        """What the zone's server is called: CoreDNS tells the Service that leads to it."""
        known = self._services.get("kube-dns", "kube-system") is not None and self.zone[-2:] not in _REVERSE
        return ("kube-dns", "kube-system", "svc", *self.zone) if known else ("ns", "dns", *self.zone)

    def _service_of(self, slice_: Object) -> Object | None:
        for key in slice_service(slice_):
            service = self._services.get_by_key(key)
            if service is not None and self._exposed(objects.namespace(service)):
                return service
        return None

    def _service_name(self, service: Object) -> Name:
        return (objects.name(service), objects.namespace(service), "svc", *self._home)

    def _address(self, name: Name, address: str) -> Record:
        if ":" in address:
            return Record(name, AAAA, self._ttl, aaaa(address))
        return Record(name, A, self._ttl, a(address))

    def _label(self, endpoint: Object, address: str) -> str:
        """An endpoint's own label: its hostname, its pod's name where asked for, or its address with dashes."""
        label: str = endpoint.get("hostname") or ""
        target = endpoint.get("targetRef") or {}
        if not label and self._settings.pod_names and target.get("kind") == "Pod":
            name: str = target.get("name") or ""
            label = name if len(name) <= MAX_LABEL else ""
        return label or address.replace(".", "-").replace(":", "-")


def _is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def _is_port(port: Object, name: str, protocol: str) -> bool:
    """Where no ports are told, `port` is empty: that is any port, and none of a name or a protocol."""
    if protocol and (not port or (port.get("protocol") or "TCP").lower() != protocol):
        return False
    return not name or port.get("name") == name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
