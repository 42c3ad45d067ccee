"""Kinds of storage that a pod's volume and a PersistentVolume share (pkg/apis/core/validation).

Where upstream only asks that fields are set, the fields stand in a table.
"""

import re
from collections.abc import Callable

from apimachinery.api.validation.checks import Object, dns_label, dns_subdomain
from apimachinery.api.validation.csi import driver_name
from apimachinery.api.validation.go_values import go_strings
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, invalid, not_supported, required

Source = Callable[[Object, Path, bool], list[Problem]]

_HOST_PATH = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
_CACHING = ("None", "ReadOnly", "ReadWrite")
_DISKS = ("Dedicated", "Managed", "Shared")
_MANAGED_URI = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_URI = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_PAIRS = "must be a host:port pair or multiple pairs separated by commas"
_INITIATORS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9\-.]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[a-zA-Z0-9]{16}$"),
    "naa": re.compile(r"^naa.[a-zA-Z0-9]{32}$"),
}
PORTAL_TOO_LONG = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters"
    " if iscsi.initiatorName is specified."
)
_NEEDS: dict[str, tuple[str, ...]] = {
    "azureFile": ("secretName", "shareName"),
    "cephfs": ("monitors",),
    "cinder": ("volumeID",),
    "glusterfs": ("endpoints", "path"),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "rbd": ("monitors", "image"),
    "scaleIO": ("gateway", "system", "volumeName"),
    "vsphereVolume": ("volumePath",),
}


def check_source(kind: str, source: Object, path: Path, persistent: bool) -> list[Problem]:
    """A source of that kind. persistent: in a PersistentVolume, where secrets have a namespace."""
    problems = [required(path.child(field)) for field in _NEEDS.get(kind, ()) if not source.get(field)]
    check = _CHECKS.get(kind)
    return problems + (check(source, path, persistent) if check else [])


def portal_too_long(name: str, source: Object) -> bool:
    """Whether an iSCSI source's portal and the volume's name are too long to name an interface."""
    portal = f"{name}:{source.get('targetPortal', '')}"
    return source.get("initiatorName") is not None and len(portal.encode()) > 64


def descending_path(text: str, path: Path) -> list[Problem]:
    """A relative path that does not climb."""
    problems = [invalid(path, text, "must be a relative path")] if text.startswith("/") else []
    return problems + no_backsteps(text, path)


def no_backsteps(text: str, path: Path) -> list[Problem]:
    """A path that does not climb."""
    return [invalid(path, text, "must not contain '..'")] if ".." in text.split("/") else []


def _host_path(source: Object, path: Path, persistent: bool) -> list[Problem]:
    text, kind = source.get("path", ""), source.get("type")
    if not text:
        return [required(path.child("path"))]
    problems = no_backsteps(text, path.child("path"))
    if kind is not None and kind not in _HOST_PATH:
        problems.append(not_supported(path.child("type"), kind, _HOST_PATH))
    return problems


def _local(source: Object, path: Path, persistent: bool) -> list[Problem]:
    text, where = source.get("path", ""), path.child("path")
    return no_backsteps(text, where) if text else [required(where)]


def _nfs(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems = [required(path.child(field)) for field in ("server", "path") if not source.get(field)]
    text = source.get("path", "")
    if not text.startswith("/"):
        problems.append(invalid(path.child("path"), text, "must be an absolute path"))
    return problems


def _partitioned(field: str) -> Source:
    def check(source: Object, path: Path, persistent: bool) -> list[Problem]:
        problems = [] if source.get(field) else [required(path.child(field))]
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            problems.append(invalid(path.child("partition"), partition, names.range_error(1, 255)))
        return problems

    return check


def _csi(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems = driver_name(source.get("driver", ""), path.child("driver"))
    if not persistent:
        secret = source.get("nodePublishSecretRef")
        if secret is None:
            return problems
        if not secret.get("name"):
            return [*problems, required(path.child("nodePublishSecretRef", "name"))]
        return problems + dns_subdomain(secret["name"], path.child("name"))
    if not source.get("volumeHandle"):
        problems.append(required(path.child("volumeHandle")))
    for field in ("controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"):
        secret, where = source.get(f"{field}SecretRef"), path.child(f"{field}SecretRef")
        if secret is None:
            continue
        name, namespace = secret.get("name", ""), secret.get("namespace", "")
        problems += dns_subdomain(name, where.child("name")) if name else [required(where.child("name"))]
        place = where.child("namespace")
        problems += dns_label(namespace, place) if namespace else [required(place)]
    return problems


def _iscsi(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems = [] if source.get("targetPortal") else [required(path.child("targetPortal"))]
    iqn, where = source.get("iqn", ""), path.child("iqn")
    problems += _initiator(iqn, where, persistent) if iqn else [required(where)]
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        problems.append(invalid(path.child("lun"), lun, names.range_error(0, 255)))
    secret = source.get("secretRef")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and secret is None:
        problems.append(required(path.child("secretRef")))
    if persistent and secret is not None and not secret.get("name"):
        problems.append(required(path.child("secretRef", "name")))
    if source.get("initiatorName") is not None:
        problems += _initiator(source["initiatorName"], path.child("initiatorname"), persistent)
    return problems


def _initiator(text: str, path: Path, persistent: bool) -> list[Problem]:
    pattern = _INITIATORS.get(text[:3])
    if pattern is None:
        more = "" if persistent else " starting with iqn, eui, or naa"
        return [invalid(path, text, f"must be valid format{more}")]
    return [] if pattern.search(text) else [invalid(path, text, "must be valid format")]


def _fibre_channel(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems: list[Problem] = []
    targets, lun, where = source.get("targetWWNs"), source.get("lun"), path.child("targetWWNs")
    if not targets and not source.get("wwids"):
        problems.append(required(where, "must specify either targetWWNs or wwids, but not both"))
    if targets and source.get("wwids"):
        text = "targetWWNs and wwids can not be specified simultaneously"
        problems.append(invalid(where, go_strings(targets), text))
    if targets and lun is None:
        problems.append(required(path.child("lun"), "lun is required if targetWWNs is specified"))
    elif targets and not 0 <= (lun or 0) <= 255:
        problems.append(invalid(path.child("lun"), lun, names.range_error(0, 255)))
    return problems


def _flex(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems = [] if source.get("driver") else [required(path.child("driver"))]
    for key in source.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            problems.append(invalid(path.child("options").key(key), key, text))
    return problems


def _flocker(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems: list[Problem] = []
    name, uid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uid:
        problems.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        problems.append(invalid(path, "resource", text))
    if "/" in name:
        problems.append(invalid(path.child("datasetName"), name, "must not contain '/'"))
    return problems


def _quobyte(source: Object, path: Path, persistent: bool) -> list[Problem]:
    registry = source.get("registry", "")
    problems: list[Problem] = []
    if not registry:
        problems.append(required(path.child("registry"), _PAIRS))
    elif len(source.get("tenant", "").encode()) >= 65:
        text = "must be a UUID and may not exceed a length of 64 characters"
        problems.append(required(path.child("tenant"), text))
    else:
        pairs = (re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*", pair) for pair in registry.split(","))
        problems += [invalid(path.child("registry"), registry, _PAIRS) for pair in pairs if pair is None]
    return problems + ([] if source.get("volume") else [required(path.child("volume"))])


def _azure_disk(source: Object, path: Path, persistent: bool) -> list[Problem]:
    problems = [required(path.child(field)) for field in ("diskName", "diskURI") if not source.get(field)]
    caching, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI", "")
    if caching is not None and caching not in _CACHING:
        problems.append(not_supported(path.child("cachingMode"), caching, _CACHING))
    if kind is not None and kind not in _DISKS:
        problems.append(not_supported(path.child("kind"), kind, _DISKS))
    prefix, example = ("/subscriptions/", _MANAGED_URI) if kind == "Managed" else ("https://", _BLOB_URI)
    if kind is not None and not uri.startswith(prefix):
        problems.append(not_supported(path.child("diskURI"), uri, (example,)))
    return problems


def _storage_os(source: Object, path: Path, persistent: bool) -> list[Problem]:
    name, namespace = source.get("volumeName", ""), source.get("volumeNamespace", "")
    problems = dns_label(name, path.child("volumeName")) if name else [required(path.child("volumeName"))]
    if namespace:
        problems += dns_label(namespace, path.child("volumeNamespace"))
    return problems + _secret(source, path, persistent)


def _secret(source: Object, path: Path, persistent: bool) -> list[Problem]:
    secret = source.get("secretRef")
    fields = ("name", "namespace") if persistent else ("name",)
    if secret is None:
        return []
    return [required(path.child("secretRef", field)) for field in fields if not secret.get(field)]


def _azure_file(source: Object, path: Path, persistent: bool) -> list[Problem]:
    return [required(path.child("secretNamespace"))] if source.get("secretNamespace") == "" else []


def _glusterfs(source: Object, path: Path, persistent: bool) -> list[Problem]:
    namespace, where = source.get("endpointsNamespace"), path.child("endpointsNamespace")
    if namespace is None or not persistent:
        return []
    text = "if the endpointnamespace is set, it must be a valid namespace name"
    return dns_label(namespace, where) if namespace else [invalid(where, namespace, text)]


_CHECKS: dict[str, Source] = {
    "awsElasticBlockStore": _partitioned("volumeID"),
    "azureDisk": _azure_disk,
    "azureFile": _azure_file,
    "cinder": _secret,
    "csi": _csi,
    "fc": _fibre_channel,
    "flexVolume": _flex,
    "flocker": _flocker,
    "gcePersistentDisk": _partitioned("pdName"),
    "glusterfs": _glusterfs,
    "hostPath": _host_path,
    "iscsi": _iscsi,
    "local": _local,
    "nfs": _nfs,
    "quobyte": _quobyte,
    "storageos": _storage_os,
}
