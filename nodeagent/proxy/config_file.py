"""KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1, Kubernetes 1.32): every field and its type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apimachinery.kit.config import ConfigError
from apimachinery.meta.config_fields import WrongType, decode, mismatch
from apimachinery.meta.go_print import quoted
from apimachinery.meta.yaml_text import BadYaml, load, unmarshal_errors

API_VERSION, KIND = "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"

_PERIODS = {"syncPeriod": "duration", "minSyncPeriod": "duration"}
_MASQUERADE = {"masqueradeBit": "int32", "masqueradeAll": "bool"}
# Section → (Go's name of its struct, field → Go type); an empty type: whatever is there. The section "" is the file.
_SECTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "": (
        KIND,
        {
            "featureGates": "map[string]bool",
            "hostnameOverride": "string",
            "bindAddress": "string",
            "healthzBindAddress": "string",
            "metricsBindAddress": "string",
            "bindAddressHardFail": "bool",
            "enableProfiling": "bool",
            "showHiddenMetricsForVersion": "string",
            "mode": "string",
            "detectLocalMode": "string",
            "clusterCIDR": "string",
            "nodePortAddresses": "[]string",
            "oomScoreAdj": "int32",
            "configSyncPeriod": "duration",
            "portRange": "string",
            "windowsRunAsService": "bool",
        },
    ),
    "clientConnection": (
        "ClientConnectionConfiguration",
        {
            "kubeconfig": "string",
            "acceptContentTypes": "string",
            "contentType": "string",
            "qps": "float32",
            "burst": "int32",
        },
    ),
    "logging": (
        "LoggingConfiguration",
        dict.fromkeys(("format", "flushFrequency", "verbosity", "vmodule", "options"), ""),
    ),
    "iptables": ("KubeProxyIPTablesConfiguration", _MASQUERADE | {"localhostNodePorts": "bool"} | _PERIODS),
    "nftables": ("KubeProxyNFTablesConfiguration", _MASQUERADE | _PERIODS),
    "ipvs": (
        "KubeProxyIPVSConfiguration",
        _PERIODS
        | {
            "scheduler": "string",
            "excludeCIDRs": "[]string",
            "strictARP": "bool",
            "tcpTimeout": "duration",
            "tcpFinTimeout": "duration",
            "udpTimeout": "duration",
        },
    ),
    "winkernel": (
        "KubeProxyWinkernelConfiguration",
        {
            "networkName": "string",
            "sourceVip": "string",
            "enableDSR": "bool",
            "rootHnsEndpointName": "string",
            "forwardHealthCheckVip": "bool",
        },
    ),
    "detectLocal": ("DetectLocalConfiguration", {"bridgeInterface": "string", "interfaceNamePrefix": "string"}),
    "conntrack": (
        "KubeProxyConntrackConfiguration",
        {
            "maxPerCore": "int32",
            "min": "int32",
            "tcpEstablishedTimeout": "duration",
            "tcpCloseWaitTimeout": "duration",
            "tcpBeLiberal": "bool",
            "udpTimeout": "duration",
            "udpStreamTimeout": "duration",
        },
    ),
}


def read_file(path: Path) -> tuple[dict[str, Any], str]:
    """What the file says, each field of its type, and what only strict decoding minds: the empty text for nothing.

    Unknown and repeated fields are only warned of: v1alpha1 is decoded leniently when it cannot be strictly
    (cmd/kube-proxy/app/options.go). Of a repeated field the last setting counts. Raises ConfigError.
    """
    repeated: list[str] = []
    try:
        text = path.read_bytes()
        document = load(text, repeated)
    except OSError as error:
        raise _failed(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    except BadYaml as error:
        raise _failed(f"failed to decode: {error}") from None
    _check_kind(document if isinstance(document, dict) else {}, text)
    strict = [unmarshal_errors(repeated)] if repeated else []
    try:
        _check_fields(document, "", strict)
    except WrongType as error:
        raise _failed(f"failed to decode: {error}") from None
    return document, f"strict decoding error: {', '.join(strict)}" if strict else ""


def _failed(why: str) -> ConfigError:
    return ConfigError([f"failed complete: {why}"])


def _check_kind(document: Mapping[str, Any], text: bytes) -> None:
    """Raises ConfigError with what Go's decoder says of a document of another kind."""
    for key, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not document.get(key):
            shows = text.decode(errors="replace")
            raise _failed(f"failed to decode: Object '{shown}' is missing in '{shows}'")
    kind, version = document["kind"], document["apiVersion"]
    if (kind, version) != (KIND, API_VERSION):
        known = f"no kind {quoted(str(kind))} is registered for version {quoted(str(version))}"
        raise _failed(f'failed to decode: {known} in scheme "pkg/proxy/apis/config/scheme/scheme.go:30"')


def _check_fields(section: dict[str, Any], name: str, strict: list[str]) -> None:
    """Raises WrongType with the first value that is of a wrong type; what is unknown goes to `strict`. Durations are
    written as Go writes them."""
    owner, fields = _SECTIONS[name]
    for key, entry in section.items():
        path = f"{name}.{key}" if name else key
        if key in fields:
            if entry is not None:
                section[key] = decode(owner, path, fields[key], entry)
        elif not name and key in _SECTIONS:
            if isinstance(entry, dict):
                _check_fields(entry, key, strict)
            elif entry is not None:
                raise WrongType(mismatch(owner, key, entry, f"v1alpha1.{_SECTIONS[key][0]}"))
        elif name or key not in ("apiVersion", "kind", "metadata"):
            strict.append(f'unknown field "{path}"')
