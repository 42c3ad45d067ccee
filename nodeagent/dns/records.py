"""What the cluster's zone holds: the Kubernetes DNS specification, schema 1.1.0, over listers. No I/O.

https://github.com/kubernetes/dns/blob/master/docs/specification.md; sections are cited as "spec 2.3".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from apimachinery.cache.lister import Lister
from apimachinery.meta import objects
from nodeagent.dns.message import (
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    SRV,
    TXT,
    A,
    Answer,
    Name,
    Record,
    a,
    parse_name,
    soa,
    txt,
)

Object = dict[str, Any]

SCHEMA_VERSION = "1.1.0"
BY_ADDRESS, BY_SERVICE = "address", "service"
_SERVICE_LABEL = "kubernetes.io/service-name"


def service_addresses(service: Object) -> Iterable[str]:
    """Index function: the cluster addresses of a Service; "None" is no address."""
    return [
        ip
        for ip in service["spec"].get("clusterIPs") or [service["spec"].get("clusterIP")]
        if ip not in (None, "", "None")
    ]


def slice_service(slice_: Object) -> Iterable[str]:
    """Index function: `namespace/name` of the Service that an EndpointSlice belongs to."""
    name = objects.labels(slice_).get(_SERVICE_LABEL)
    return [f"{objects.namespace(slice_)}/{name}"] if name else []


def slice_addresses(slice_: Object) -> Iterable[str]:
    """Index function: the addresses of an EndpointSlice."""
    return {address for endpoint in slice_.get("endpoints") or () for address in endpoint["addresses"]}


class ClusterRecords:
    """Answers for one zone such as cluster.local.

    The listers hold Services (index BY_ADDRESS), EndpointSlices (BY_SERVICE, BY_ADDRESS) and Namespaces.
    ttl: seconds, of every record. serial: the zone's, grows when something changed.
    """

    def __init__(
        self,
        zone: Name,
        services: Lister,
        slices: Lister,
        namespaces: Lister,
        *,
        ttl: int,
        pods: bool,
        serial: Callable[[], int],
    ) -> None:
        self.zone, self._ttl, self._pods, self._serial = zone, ttl, pods, serial
        self._services, self._slices, self._namespaces = services, slices, namespaces

    def covers(self, name: Name) -> bool:
        return name[-len(self.zone) :] == self.zone

    def answer(self, name: Name, qtype: int) -> Answer:
        """For a name that `covers`. NXDOMAIN and empty answers carry the SOA, so that they can be kept (RFC 2308)."""
        found = self._find(name[: -len(self.zone)], name)
        if found is None:
            return Answer(NXDOMAIN, authority=(soa(self.zone, self._ttl, self._serial()),))
        matching = tuple(record for record in found if record.type in (qtype, CNAME) or qtype == ANY)
        if not matching:
            return Answer(NOERROR, authority=(soa(self.zone, self._ttl, self._serial()),))
        targets = {record.data[3] for record in matching if record.type == SRV}
        extra = tuple(record for target in targets for record in self._of_target(target) if record.type == A)
        return Answer(NOERROR, matching, additional=extra)

    def reverse(self, address: str) -> Answer | None:
        """The PTR of a cluster address or of a headless endpoint; None when the address is not the cluster's."""
        name = parse_name(ipaddress.ip_address(address).reverse_pointer)
        targets = [self._service_name(service) for service in self._services.by_index(BY_ADDRESS, address)]
        if not targets:
            targets = [
                (_endpoint_label(endpoint, address), *self._service_name(service))
                for slice_ in self._slices.by_index(BY_ADDRESS, address)
                if (service := self._headless_of(slice_)) is not None
                for endpoint in slice_["endpoints"]
                if address in endpoint["addresses"]
            ]
        if not targets:
            return None
        return Answer(NOERROR, tuple(Record(name, PTR, self._ttl, target) for target in dict.fromkeys(targets)))

    def _find(self, labels: Name, name: Name) -> list[Record] | None:
        """Every record of a name; None when the name does not exist. labels: what stands before the zone."""
        match labels:
            case ():
                return [
                    soa(self.zone, self._ttl, self._serial()),
                    Record(name, NS, self._ttl, ("ns", "dns", *self.zone)),
                ]
            case ("dns-version",):
                return [Record(name, TXT, self._ttl, txt(SCHEMA_VERSION))]
            case ("dns",) | ("svc",):
                return []
            case ("ns", "dns"):
                service = self._services.get("kube-dns", "kube-system")
                return [self._a(name, ip) for ip in service_addresses(service)] if service else []
            case ("pod",):
                return [] if self._pods else None
            case (*rest, namespace, "svc") if self._namespaces.get(namespace):
                return self._in_namespace(tuple(rest), namespace, name)
            case (*rest, namespace, "pod") if self._pods and self._namespaces.get(namespace):
                return self._pod(tuple(rest), name)
        return None

    def _in_namespace(self, labels: Name, namespace: str, name: Name) -> list[Record] | None:
        if not labels:
            return []
        service = self._services.get(labels[-1], namespace)
        if service is None:
            return None
        if service["spec"].get("type") == "ExternalName":
            # spec 2.5; nothing exists below it.
            target = parse_name(service["spec"]["externalName"])
            return [Record(name, CNAME, self._ttl, target)] if len(labels) == 1 else None
        match labels[:-1]:
            case ():
                return self._addresses(service, name)
            case (protocol,) if protocol in ("_tcp", "_udp", "_sctp"):
                return [] if any(self._srv(service, None, protocol[1:], name)) else None
            case (port, protocol) if port[:1] == "_" and protocol[:1] == "_":
                return list(self._srv(service, port[1:], protocol[1:], name)) or None
            case (host,) if _is_headless(service):
                found = [
                    self._a(name, address)
                    for endpoint, _ in self._ready_endpoints(service)
                    for address in endpoint["addresses"]
                    if _endpoint_label(endpoint, address) == host
                ]
                return found or None
        return None

    def _addresses(self, service: Object, name: Name) -> list[Record] | None:
        if not _is_headless(service):
            return [self._a(name, ip) for ip in service_addresses(service) if ":" not in ip]
        addresses = [address for endpoint, _ in self._ready_endpoints(service) for address in endpoint["addresses"]]
        # spec 2.4.1: a headless Service without ready endpoints has no record; CoreDNS answers NXDOMAIN.
        return [self._a(name, address) for address in dict.fromkeys(addresses)] or None

    def _srv(self, service: Object, port: str | None, protocol: str, name: Name) -> Iterable[Record]:
        """spec 2.3.2 and 2.4.2. port: its name; None for any. Ports without a name have no SRV record."""
        own = self._service_name(service)
        if not _is_headless(service):
            for each in service["spec"].get("ports") or ():
                if _is_port(each, port, protocol):
                    yield Record(name, SRV, self._ttl, (0, 100, each["port"], own))
            return
        seen = set()
        for endpoint, slice_ in self._ready_endpoints(service):
            for each in slice_.get("ports") or ():
                if not _is_port(each, port, protocol):
                    continue
                for address in endpoint["addresses"]:
                    target = (_endpoint_label(endpoint, address), *own)
                    if (target, each["port"]) not in seen:
                        seen.add((target, each["port"]))
                        yield Record(name, SRV, self._ttl, (0, 100, each["port"], target))

    def _pod(self, labels: Name, name: Name) -> list[Record] | None:
        """spec 2.6 as CoreDNS's `pods insecure` has it: any address, whether there is such a pod or not."""
        if not labels:
            return []
        if len(labels) != 1:
            return None
        try:
            return [self._a(name, str(ipaddress.IPv4Address(labels[0].replace("-", "."))))]
        except ValueError:
            return None

    def _of_target(self, target: Any) -> list[Record]:
        return (self._find(target[: -len(self.zone)], target) if self.covers(target) else None) or []

    def _ready_endpoints(self, service: Object) -> Iterable[tuple[Object, Object]]:
        every = bool(service["spec"].get("publishNotReadyAddresses"))
        for slice_ in self._slices.by_index(BY_SERVICE, objects.key(service)):
            if slice_.get("addressType") != "IPv4":
                continue
            for endpoint in slice_.get("endpoints") or ():
                # An unknown readiness is to be taken for ready (discovery.k8s.io/v1, EndpointConditions).
                if every or (endpoint.get("conditions") or {}).get("ready") is not False:
                    yield endpoint, slice_

    def _headless_of(self, slice_: Object) -> Object | None:
        for key in slice_service(slice_):
            service = self._services.get_by_key(key)
            if service is not None and _is_headless(service):
                return service
        return None

    def _service_name(self, service: Object) -> Name:
        return (objects.name(service), objects.namespace(service), "svc", *self.zone)

    def _a(self, name: Name, address: str) -> Record:
        return Record(name, A, self._ttl, a(address))


def _is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def _is_port(port: Object, name: str | None, protocol: str) -> bool:
    if (port.get("protocol") or "TCP").lower() != protocol or not port.get("name"):
        return False
    return name is None or bool(port["name"] == name)


def _endpoint_label(endpoint: Object, address: str) -> str:
    """An endpoint's own label: its hostname, or its address with dashes."""
    label: str = endpoint.get("hostname") or address.replace(".", "-").replace(":", "-")
    return label
