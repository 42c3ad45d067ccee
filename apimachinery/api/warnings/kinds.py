"""Warnings for kinds beside pods: each is a function of the new object."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from apimachinery.api.warnings.labels import DEPRECATED_LABELS, node_selector
from apimachinery.api.warnings.volumes import claim_spec
from apimachinery.meta import names
from apimachinery.meta.paths import Path

Object = Mapping[str, Any]

_TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_MANY_COMPLETIONS, _MANY_PODS = 100_000, 10_000


def pod_name(obj: Object) -> Iterator[str]:
    """A pod whose name is no label."""
    if texts := _not_a_label(obj):
        yield (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label "
            f"is recommended: {texts}"
        )


def workload_name(obj: Object) -> Iterator[str]:
    """A workload whose name is no label."""
    if texts := _not_a_label(obj):
        yield (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS "
            f"label is recommended: {texts}"
        )


def _not_a_label(obj: Object) -> str:
    texts = names.dns1123_label((obj.get("metadata") or {}).get("name") or "")
    return f"[{' '.join(texts)}]" if texts else ""


def stateful_set(obj: Object, *, changed: bool = False) -> Iterator[str]:
    """Claim templates and a history without end. changed: not a new one, whose templates upstream names otherwise."""
    spec = obj.get("spec") or {}
    for position, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = Path("spec.volumeClaimTemplates").index(position)
        yield from claim_spec(claim.get("spec") or {}, path.child("Spec") if changed else path)
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield (
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def job_spec(spec: Object, path: Path) -> Iterator[str]:
    """More indexes than can be told apart."""
    many = (spec.get("completions") or 0) > _MANY_COMPLETIONS and (spec.get("parallelism") or 0) > _MANY_PODS
    if spec.get("completionMode") == "Indexed" and many:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
            "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )


def service(obj: Object) -> Iterator[str]:
    """Addresses written in ways to come to an end, and fields that the type does not use."""
    spec, annotations = obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}
    if _TOPOLOGY_HINTS in annotations:
        yield f"annotation {_TOPOLOGY_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead"
    path = Path("spec")
    if spec.get("clusterIP") not in (None, "", "None"):
        for position, text in enumerate(spec.get("clusterIPs") or ()):
            yield from _address(text, path.child("clusterIPs").index(position))
    for position, text in enumerate(spec.get("externalIPs") or ()):
        yield from _address(text, path.child("externalIPs").index(position))
    if spec.get("loadBalancerIP"):
        yield from _address(spec["loadBalancerIP"], path.child("loadBalancerIP"))
    for position, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from _prefix(text, path.child("loadBalancerSourceRanges").index(position))
    external = spec.get("type") == "ExternalName"
    if external and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not external and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'


def _address(text: str, path: Path) -> Iterator[str]:
    try:
        address = ip_address(text)
    except ValueError:
        wrong = f'ParseAddr("{text}"): {_go_address_error(text)}'
        yield f"{path}: IP address was accepted, but will be invalid in a future Kubernetes release: {wrong}"
        return
    if address.version == 6 and str(address) != text:
        yield (
            f'{path}: IPv6 address "{text}" is not in RFC 5952 canonical format ("{address}"), which may cause '
            "controller apply-loops"
        )


def _prefix(text: str, path: Path) -> Iterator[str]:
    address = text.partition("/")[0]
    try:
        network = ip_network(text, strict=False)
        canonical = f"{ip_address(address)}/{network.prefixlen}"
    except ValueError:
        wrong = f'netip.ParsePrefix("{text}"): ParseAddr("{address}"): {_go_address_error(address)}'
        yield f"{path}: IP prefix was accepted, but will be invalid in a future Kubernetes release: {wrong}"
        return
    if network.version == 6 and canonical != text:
        yield (
            f'{path}: IPv6 prefix "{text}" is not in RFC 5952 canonical format ("{canonical}"), which may cause '
            "controller apply-loops"
        )


def _go_address_error(text: str) -> str:
    if any(part.startswith("0") and len(part) > 1 for part in text.split(".")):
        return "IPv4 field has octet with leading zero"
    return "unable to parse IP"


def ingress(obj: Object) -> Iterator[str]:
    """The old annotation."""
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if _INGRESS_CLASS in annotations and (obj.get("spec") or {}).get("ingressClassName") is None:
        yield f"annotation \"{_INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


def node(obj: Object) -> Iterator[str]:
    """Fields nobody reads."""
    spec = obj.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is no longer supported"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


def runtime_class(obj: Object) -> Iterator[str]:
    """Labels of nodes with newer names."""
    for key in (obj.get("scheduling") or {}).get("nodeSelector") or ():
        if text := DEPRECATED_LABELS.get(key):
            yield f"scheduling.nodeSelector: {text}"


def storage_class(obj: Object) -> Iterator[str]:
    """Labels of nodes with newer names."""
    for position, term in enumerate(obj.get("allowedTopologies") or ()):
        path = Path("allowedTopologies").index(position).child("matchLabelExpressions")
        for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
            if text := DEPRECATED_LABELS.get(expression.get("key", "")):
                yield f"{path.index(index).child('key')}: {text}"


def storage_capacity(obj: Object) -> Iterator[str]:
    """Labels of nodes with newer names."""
    yield from node_selector(obj.get("nodeTopology") or {}, Path("nodeTopology"))


def endpoint_slice(obj: Object) -> Iterator[str]:
    """Addresses that nobody resolves."""
    if obj.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"


def service_account(obj: Object) -> Iterator[str]:
    """The annotation that limits its secrets."""
    if _MOUNTABLE in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield (
            f"metadata.annotations[{_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access "
            "to mounted secrets"
        )


def secret(obj: Object) -> Iterator[str]:
    """A key that is not its certificate's."""
    if obj.get("type") != "kubernetes.io/tls":
        return
    data = obj.get("data") or {}
    certificate, key = (b64decode(data.get(field) or "") for field in ("tls.crt", "tls.key"))
    for pem, what in ((certificate, "certificate"), (key, "key")):
        if b"-----BEGIN " not in pem:
            yield f"tls: failed to find any PEM data in {what} input"
            return
    # 20 ms, for what few servers ever see
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        private = serialization.load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError) as error:
        yield f"tls: failed to parse certificate or key: {error}"
        return
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != private.public_bytes(*form):
        yield "tls: private key does not match public key"
