"""Which field labels a selector may name for a kind, and what they are called inside.

The registered conversions of upstream's pkg/apis/*/v1/conversion.go (AddFieldLabelConversionFunc); every other kind has
the two of metadata. Their values come from the strategies' `fields`.
"""

from __future__ import annotations

from collections.abc import Mapping

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


_PODS = ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork")

_LABELS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("", "Pod"): {
        **_same(_NAME, _NAMESPACE, *(f"spec.{field}" for field in _PODS)),
        **_same("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
        "spec.host": "spec.nodeName",
    },
    ("", "Node"): _same(_NAME, "spec.unschedulable"),
    ("", "ReplicationController"): _same(_NAME, _NAMESPACE, "status.replicas"),
    ("", "Event"): {
        **_same(_NAME, _NAMESPACE, "reason", "reportingComponent", "source", "type"),
        **_same(*(f"involvedObject.{field}" for field in _REFERENCE)),
    },
    ("events.k8s.io", "Event"): {
        **_same(_NAME, _NAMESPACE, "reason", "type"),
        **{f"regarding.{field}": f"involvedObject.{field}" for field in _REFERENCE},
        "reportingController": "reportingComponent",
    },
    ("", "Namespace"): _same(_NAME, "status.phase"),
    ("", "Secret"): _same(_NAME, _NAMESPACE, "type"),
    ("", "Service"): _same(_NAME, _NAMESPACE, "spec.clusterIP", "spec.type"),
    ("apps", "ReplicaSet"): _same(_NAME, _NAMESPACE, "status.replicas"),
    ("batch", "Job"): _same(_NAME, _NAMESPACE, "status.successful"),
    ("certificates.k8s.io", "CertificateSigningRequest"): _same(_NAME, "spec.signerName"),
}


def field_label(group: str, kind: str, label: str) -> str:
    """The name under which the value of `label` is kept. Raises ValueError with upstream's sentence."""
    known = _LABELS.get((group, kind))
    if known is None:
        if label in (_NAME, _NAMESPACE):
            return label
        raise ValueError(f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if label not in known:
        raise ValueError(f"field label not supported: {label}")
    return known[label]
